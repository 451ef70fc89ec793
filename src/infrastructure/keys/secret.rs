//! Secrets by reference: a name in `mlp.yaml`, a source in the configuration of the user, a value nowhere but in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::KeyError;

/// Bytes that a file or command may give.
const LIMIT: u64 = 64 << 10;
/// How long a command may take: somebody may have to touch a key.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the value of a secret comes from. Only the user's own configuration says so: a project that is somebody else's must not
/// choose what of the user's is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSpec {
    /// The environment variable of this name.
    Env(String),
    /// A file that only its owner may read. Line ends at its end do not count.
    File(String),
    /// What a command line for `sh -c` prints. Line ends at the end do not count.
    Command(String),
}

/// Where the secrets of a user come from, by name; those without an entry are environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, SecretSpec>);

impl Secrets {
    /// The values of `names`.
    ///
    /// # Errors
    /// [`KeyError::Secret`] for the first that cannot be had. It never holds a value.
    pub fn values(&self, names: &[String]) -> Result<BTreeMap<String, String>, KeyError> {
        let environment = |name: &str| std::env::var(name).ok();
        let value = |name: &String| {
            let wrong = |detail| KeyError::Secret { name: name.clone(), detail };
            let value = value(name, self.0.get(name), &environment).map_err(wrong)?;
            Ok((name.clone(), value))
        };
        names.iter().map(value).collect()
    }
}

fn value(
    name: &str,
    source: Option<&SecretSpec>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let by_name = SecretSpec::Env(name.to_owned());
    let text = match source.unwrap_or(&by_name) {
        SecretSpec::Env(variable) => {
            environment(variable).ok_or_else(|| format!("the variable `{variable}` is not set"))?
        }
        SecretSpec::File(path) => {
            let path = expanded(path, environment);
            only_for_its_owner(&path)?;
            let file = fs::File::open(&path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
            let mut text = String::new();
            file.take(LIMIT + 1)
                .read_to_string(&mut text)
                .ok()
                .filter(|length| *length as u64 <= LIMIT)
                .ok_or_else(|| format!("`{path}` holds something else than a little text"))?;
            text
        }
        SecretSpec::Command(command) => output(command)?,
    };
    let value = match source {
        Some(SecretSpec::File(_) | SecretSpec::Command(_)) => text.trim_end_matches(['\r', '\n']),
        _ => &text,
    };
    match value {
        "" => Err("it is empty".to_owned()),
        value if value.contains('\0') => Err("it holds a zero byte, which no variable can".to_owned()),
        value => Ok(value.to_owned()),
    }
}

/// `~/` at the beginning stands for the home folder.
pub fn expanded(path: &str, environment: &dyn Fn(&str) -> Option<String>) -> String {
    match path.strip_prefix("~/").zip(environment("HOME")) {
        Some((rest, home)) => format!("{home}/{rest}"),
        None => path.to_owned(),
    }
}

/// Refuses a file that others may read.
pub fn only_for_its_owner(path: &str) -> Result<(), String> {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(path) {
        use std::os::unix::fs::PermissionsExt;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(format!("others may read `{path}`: `chmod 600 {path}` first"));
        }
    }
    Ok(())
}

/// What a command prints, asked for once in a process. What it says on its standard error goes to the user's.
pub fn output(command: &str) -> Result<String, String> {
    static SAID: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = said.get(command) {
        return Ok(text.clone());
    }
    let text = run(command).map_err(|detail| format!("its command failed: {detail}"))?;
    said.insert(command.to_owned(), text.clone());
    Ok(text)
}

/// Runs a command; ended after [`PATIENCE`], or when it prints more than credentials can be.
fn run(command: &str) -> Result<String, String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| error.to_string())?;
    let pipe = child.stdout.take().ok_or("it has no pipe")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = pipe.take(LIMIT + 1).read_to_string(&mut text);
        // Nobody waits any more if it took too long.
        let _ = sender.send(read.map(|_| text));
    });
    let text = receiver.recv_timeout(PATIENCE);
    if !matches!(&text, Ok(Ok(text)) if text.len() as u64 <= LIMIT) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(match text {
            Err(_) => format!("it said nothing for {} seconds", PATIENCE.as_secs()),
            Ok(_) => "it printed something else than a little text".to_owned(),
        });
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(status.to_string());
    }
    text.ok().and_then(Result::ok).ok_or_else(|| "it printed nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(source: Option<&SecretSpec>) -> Result<String, String> {
        let environment = |name: &str| (name == "OWN" || name == "TOKEN").then(|| format!("{name} value\n"));
        value("TOKEN", source, &environment)
    }

    #[test]
    fn a_secret_is_the_variable_of_its_name_or_what_its_source_gives() {
        assert_eq!(asked(None).expect("is set"), "TOKEN value\n");
        assert_eq!(asked(Some(&SecretSpec::Env("OWN".into()))).expect("is set"), "OWN value\n");
        assert_eq!(asked(Some(&SecretSpec::Command("echo printed".into()))).expect("prints"), "printed");
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("token");
        fs::write(&path, "two\nlines\n\n").expect("writes");
        let source = SecretSpec::File(path.display().to_string());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets the mode");
            assert!(asked(Some(&source)).expect_err("others may read it").contains("chmod 600"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("sets the mode");
        }
        assert_eq!(asked(Some(&source)).expect("reads"), "two\nlines");
    }

    #[test]
    fn what_cannot_be_had_says_why_and_never_shows_a_value() {
        let cases = [
            (SecretSpec::Env("NONE".into()), "`NONE` is not set"),
            (SecretSpec::File("/no/such/file".into()), "cannot read `/no/such/file`"),
            (SecretSpec::Command("echo hunter2; exit 3".into()), "exit status: 3"),
            (SecretSpec::Command("true".into()), "is empty"),
            (SecretSpec::Command("printf 'hunter2\\000'".into()), "zero byte"),
        ];
        for (source, why) in cases {
            let said = asked(Some(&source)).expect_err("cannot be had");
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }
}
