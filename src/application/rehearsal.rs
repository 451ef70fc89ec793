//! A real server of a version, started on loopback for a moment: to see what it answers before anybody depends on it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::base::{Failure, Name};
use crate::platform::model::ModelError;
use crate::platform::serve::ServeError;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest wait until the server listens: it reads and checks all weights first.
const STARTING: Duration = Duration::from_secs(600);
/// Bytes of the server's messages that an error shows.
const SHOWN: usize = 2000;

/// A running `mlp serve`; dropping it stops the server.
pub(crate) struct Rehearsal {
    model: Name,
    child: Child,
    url: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    /// Holds the server's messages.
    folder: TempDir,
}

/// What the server said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// From sending the request to having all of the answer.
    pub(crate) time: Duration,
}

impl Rehearsal {
    /// Starts `mlp serve MODEL@VERSION` in the project `root` and waits until it listens.
    pub(crate) fn start(root: &Path, model: &Name, version: u64) -> Result<Self, Failure> {
        let system = |action| move |source| ServeError::System { action, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system("start a client"))?;
        // What a user set up for the web is not meant for this machine.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        let client = client.map_err(|error| system("start a client")(std::io::Error::other(error)))?;
        let folder = TempDir::new().map_err(system("make a folder"))?;
        let said = std::fs::File::create(folder.path().join("said")).map_err(system("make a file"))?;
        let program = std::env::current_exe().map_err(system("find mlp itself"))?;
        let mut child = Command::new(program)
            .arg("-C")
            .arg(root)
            .args(["--json", "serve", &format!("{model}@{version}"), "--port", "0", "--no-log"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .map_err(system("start the server"))?;
        let answer = match child.stdout.take() {
            Some(stdout) => first(stdout, STARTING),
            None => Err("it says nothing"),
        };
        let url = answer.and_then(|ready| {
            ready["url"].as_str().map(str::to_owned).ok_or("what it said first names no address")
        });
        let mut rehearsal = Self {
            model: model.clone(),
            child,
            url: url.clone().unwrap_or_default(),
            runtime,
            client,
            folder,
        };
        match url {
            Ok(_) => Ok(rehearsal),
            Err(why) => {
                rehearsal.stop();
                Err(rehearsal.failed(format!("the server of {model}@{version} did not start: {why}")))
            }
        }
    }

    /// Sends a body to `POST /predict`.
    pub(crate) fn predict(&self, body: &Value) -> Result<Answer, Failure> {
        self.post("/predict", body)
    }

    /// One prediction for an input that is made up, by the Open Inference Protocol; returns the digest of the files that gave it.
    pub(crate) fn probe(&self) -> Result<String, Failure> {
        let place = format!("/v2/models/{}", self.model);
        let metadata = self.send(self.client.get(format!("{}{place}", self.url)))?.body;
        let input = &metadata["inputs"][0];
        let mut shape: Vec<u64> =
            input["shape"].as_array().into_iter().flatten().map(|size| size.as_u64().unwrap_or(1)).collect();
        // -1 stands for any number of examples.
        if let Some(first) = shape.first_mut() {
            *first = 1;
        }
        let count: u64 = shape.iter().product();
        let zeros = vec![0; usize::try_from(count).unwrap_or_default()];
        let body = json!({"inputs": [
            {"name": input["name"], "shape": shape, "datatype": input["datatype"], "data": zeros}
        ]});
        let answer = self.post(&format!("{place}/infer"), &body)?;
        let digest = answer.body["parameters"]["digest"].as_str().map(str::to_owned);
        match digest.filter(|_| answer.status == 200) {
            Some(digest) => Ok(digest),
            None => Err(self.failed(format!("it answered {}: {}", answer.status, answer.body))),
        }
    }

    fn post(&self, place: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self.client.post(format!("{}{place}", self.url));
        self.send(request.header("content-type", "application/json").body(body.to_string()))
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let start = Instant::now();
        let sent = self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        let time = start.elapsed();
        let (status, bytes) = sent.map_err(|error| self.failed(format!("it did not answer: {error}")))?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, body, time })
    }

    /// What went wrong, with the end of what the server said.
    fn failed(&self, what: String) -> Failure {
        let said = std::fs::read(self.folder.path().join("said")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(SHOWN)..]).trim().to_owned();
        ModelError::Rehearsal { what, said }.into()
    }

    fn stop(&mut self) {
        // It may have ended by itself; then there is nothing to stop, and nobody to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The first JSON value that a program writes, if it comes within `limit`. What follows is read and thrown away, so that the program
/// never waits for a reader.
fn first(mut output: impl Read + Send + 'static, limit: Duration) -> Result<Value, &'static str> {
    let (sender, receiver) = mpsc::channel();
    // It ends with the program, whose output ends then.
    std::thread::spawn(move || {
        let found = serde_json::Deserializer::from_reader(&mut output).into_iter::<Value>().next();
        // Nobody waits any longer after the limit.
        let _ = sender.send(found.and_then(Result::ok));
        let _ = std::io::copy(&mut output, &mut std::io::sink());
    });
    match receiver.recv_timeout(limit) {
        Ok(Some(value)) => Ok(value),
        Ok(None) | Err(RecvTimeoutError::Disconnected) => Err("it ended, or said no JSON"),
        Err(RecvTimeoutError::Timeout) => Err("it took too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;

    #[test]
    fn the_wait_for_a_server_has_an_end() {
        let limit = Duration::from_secs(20);
        let (reader, mut writer) = pipe().expect("makes a pipe");
        writer.write_all(b"{\"url\": \"u\"}\n").expect("writes");
        assert_eq!(first(reader, limit), Ok(json!({"url": "u"})));
        // More than a pipe holds: somebody reads it.
        writer.write_all(&vec![b' '; 1 << 20]).expect("is read");

        let (reader, writer) = pipe().expect("makes a pipe");
        assert_eq!(first(reader, Duration::from_millis(20)), Err("it took too long"));
        drop(writer);
        let (reader, writer) = pipe().expect("makes a pipe");
        drop(writer);
        assert_eq!(first(reader, limit), Err("it ended, or said no JSON"));
    }
}
