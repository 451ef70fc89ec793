//! A program that proposes settings: asked and told by lines of JSON on its standard input, it answers on its standard output.
//!
//! ```text
//! {"ask":{"trial":1}}                                    -> {"set":{"train.optimizer.adamw.lr":0.01}} or {"done":true}
//! {"report":{"trial":1,"epoch":2,"value":0.93}}          -> {"stop":true} or {}      only after {"set":…,"reports":true}
//! {"tell":{"trial":1,"state":"done","value":0.98,…}}     no answer
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::RunError;
use super::Settings;

/// A longer line is no answer.
const LONGEST: u64 = 1 << 20;
/// So long it may go on when nothing is asked any more.
const GRACE: Duration = Duration::from_secs(5);

/// The program, which is asked one thing at a time.
pub struct Optimiser {
    command: String,
    child: Arc<Mutex<Child>>,
    /// None once nothing is asked any more.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What it answers to `ask`.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Settings, and whether it wants to hear of every epoch.
    Try(Settings, bool),
    /// It has nothing more to try.
    Done,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    set: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    reports: bool,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    stop: bool,
}

impl Optimiser {
    /// Starts `command` by `sh -c`; what it writes to standard error is for people.
    pub fn start(command: &str) -> Result<Self, RunError> {
        let wrong = |detail: String| RunError::Optimiser { command: command.to_owned(), detail };
        let mut sh = Command::new("sh");
        sh.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for mlp, which tells it the ends of its trials before it lets it go.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut sh, 0);
        let mut child = sh.spawn().map_err(|error| wrong(format!("it does not start: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(wrong("it has no standard input and output".to_owned()));
        };
        Ok(Self {
            command: command.to_owned(),
            child: Arc::new(Mutex::new(child)),
            input: Some(input),
            output: BufReader::new(output),
        })
    }

    /// Ends it, also while it is asked and does not answer.
    pub fn leash(&self) -> impl Fn() + use<> {
        let child = self.child.clone();
        move || drop(child.lock().unwrap_or_else(PoisonError::into_inner).kill())
    }

    /// Asks for the settings of a trial, counted from 1.
    pub fn ask(&mut self, trial: usize) -> Result<Answer, RunError> {
        self.say(&json!({ "ask": { "trial": trial } }))?;
        let line = self.hear()?;
        match line {
            Line { done: true, .. } => Ok(Answer::Done),
            Line { set: Some(set), reports, .. } => Ok(Answer::Try(set.into_iter().collect(), reports)),
            _ => Err(self.wrong("it was asked for settings: expected `set` or `done`".to_owned())),
        }
    }

    /// Reports an epoch; whether the trial is to be stopped.
    pub fn report(&mut self, trial: usize, epoch: u64, value: f64) -> Result<bool, RunError> {
        self.say(&json!({ "report": { "trial": trial, "epoch": epoch, "value": value } }))?;
        Ok(self.hear()?.stop)
    }

    /// Tells how a trial ended.
    pub fn tell(&mut self, end: &Value) -> Result<(), RunError> {
        self.say(&json!({ "tell": end }))
    }

    fn say(&mut self, line: &Value) -> Result<(), RunError> {
        let Some(input) = &mut self.input else { return Err(self.gone()) };
        writeln!(input, "{line}").and_then(|()| input.flush()).map_err(|_| self.gone())
    }

    fn hear(&mut self) -> Result<Line, RunError> {
        let mut line = Vec::new();
        let read = (&mut self.output).take(LONGEST).read_until(b'\n', &mut line);
        match read {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(self.gone()),
        }
        serde_json::from_slice(&line).map_err(|error| {
            let text: String = String::from_utf8_lossy(&line).trim().chars().take(80).collect();
            self.wrong(format!("its answer `{}` cannot be read: {error}", text.escape_debug()))
        })
    }

    fn gone(&mut self) -> RunError {
        let how = match self.end() {
            Some(status) => status.to_string(),
            None => "it closed its output".to_owned(),
        };
        self.wrong(format!("it ended before it was asked to ({how})"))
    }

    /// Lets it end; one that does not is ended. Its exit status if it ended by itself.
    fn end(&mut self) -> Option<std::process::ExitStatus> {
        drop(self.input.take());
        let begun = Instant::now();
        loop {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            match child.try_wait() {
                Ok(None) if begun.elapsed() < GRACE => {}
                Ok(Some(status)) => return Some(status),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return None;
                }
            }
            drop(child);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is wrong with it.
    pub fn wrong(&self, detail: String) -> RunError {
        RunError::Optimiser { command: self.command.clone(), detail }
    }
}

impl Drop for Optimiser {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_told_and_may_stop_a_trial() {
        let program = r#"read a; echo '{"set":{"train.seed":7},"reports":true}'; read r; echo '{"stop":true}'; read t
            read a; echo '{"done":true}'; cat >/dev/null"#;
        let mut optimiser = Optimiser::start(program).expect("starts");
        let settings = vec![("train.seed".to_owned(), json!(7))];
        assert_eq!(optimiser.ask(1).expect("answers"), Answer::Try(settings, true));
        assert!(optimiser.report(1, 1, 0.5).expect("answers"));
        optimiser.tell(&json!({ "trial": 1 })).expect("hears");
        assert_eq!(optimiser.ask(2).expect("answers"), Answer::Done);
    }

    #[test]
    fn a_wrong_answer_and_an_early_end_are_said() {
        let ask =
            |program: &str| Optimiser::start(program).expect("starts").ask(1).expect_err("fails").to_string();
        assert!(ask("exit 3").contains("exit status: 3"), "{}", ask("exit 3"));
        assert!(ask("echo hello; cat").contains("`hello`"));
        assert!(ask(r#"echo '{"sett":{}}'; cat"#).contains("sett"));
        assert!(ask("echo '{}'; cat").contains("expected `set` or `done`"));
    }
}
