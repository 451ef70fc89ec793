//! Telling of a breach: a webhook, a command.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::MonitorError;

/// How long a webhook or a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Posts `body`, which is JSON, to `url`. What goes wrong is told without the URL, which is a secret.
///
/// # Errors
/// [`MonitorError::Alert`] if it does not answer with a success within a minute.
pub fn post(url: &str, body: &str) -> Result<(), MonitorError> {
    let failed = |detail: String| MonitorError::Alert { detail };
    let told = |error: reqwest::Error| failed(format!("the webhook: {}", error.without_url()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(told)?;
        let request = client.post(url).header("content-type", "application/json").body(body.to_owned());
        let status = request.send().await.map_err(told)?.status();
        if status.is_success() { Ok(()) } else { Err(failed(format!("the webhook answered {status}"))) }
    })
}

/// Runs a command line with `body` as its standard input; what it prints goes to standard error.
///
/// # Errors
/// [`MonitorError::Alert`] if it fails, or goes on for over a minute, after which it is ended.
pub fn run(command: &str, body: &str) -> Result<(), MonitorError> {
    let failed = |detail: String| MonitorError::Alert { detail: format!("the command {detail}") };
    let cannot = |error: std::io::Error| failed(format!("cannot be run: {error}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(std::io::stderr())
        .spawn()
        .map_err(cannot)?;
    let begun = Instant::now();
    if let Some(mut stdin) = child.stdin.take() {
        let body = body.to_owned();
        // One that does not read it must not hold us up; the thread ends with the command.
        std::thread::spawn(move || drop(stdin.write_all(body.as_bytes())));
    }
    loop {
        match child.try_wait().map_err(cannot)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(format!("ended with {status}"))),
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("took over a minute".to_owned()));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
