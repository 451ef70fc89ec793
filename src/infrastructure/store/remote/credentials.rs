//! Where the credentials of a store come from: `MLP_STORE_<NAME>_<KEY>` first, then what `credentials` refers to. What neither has
//! is left to the service's own provider chain.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;

use crate::base::Name;
use crate::infrastructure::keys::{expanded, only_for_its_owner, output};
use crate::infrastructure::store::{CredentialsSpec, StoreError, StoreSpec};

/// Letters of a secret that is worth hiding, at least.
const SHORT: usize = 6;

/// The credentials of one store, by key: `ACCESS_KEY_ID`, `PASSWORD`, …
pub(super) struct Credentials<'a> {
    store: &'a Name,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// The prefix of further variables.
    prefix: Option<&'a str>,
    /// What a file or command gave.
    read: BTreeMap<String, String>,
    /// What was asked for and found.
    given: RefCell<Vec<String>>,
}

impl<'a> Credentials<'a> {
    /// Reads what `spec` refers to. A command is run once in a process.
    pub(super) fn read(
        store: &'a Name,
        spec: &'a StoreSpec,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, StoreError> {
        let mut credentials =
            Self { store, environment, prefix: None, read: BTreeMap::new(), given: RefCell::default() };
        let wrong = |detail: String| StoreError::Spec { store: store.to_string(), detail };
        match &spec.credentials {
            None => {}
            Some(CredentialsSpec::Env(prefix)) => credentials.prefix = Some(prefix),
            Some(CredentialsSpec::File(path)) => {
                let path = expanded(path, environment);
                only_for_its_owner(&path).map_err(wrong)?;
                let text = fs::read_to_string(&path)
                    .map_err(|error| wrong(format!("cannot read `{path}`: {error}")))?;
                credentials.read = parse(&text).ok_or_else(|| {
                    wrong(format!("`{path}` is neither lines of KEY=VALUE nor a JSON object of texts"))
                })?;
            }
            Some(CredentialsSpec::Command(command)) => {
                let text = output(command).map_err(|detail| wrong(format!("credentials: {detail}")))?;
                credentials.read = parse(&text).ok_or_else(|| {
                    wrong(
                        "the credentials command printed neither lines of KEY=VALUE nor a JSON object"
                            .to_owned(),
                    )
                })?;
            }
        }
        Ok(credentials)
    }

    /// The credential `key`, if it is somewhere.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        (self.environment)(&variable(self.store, key))
            .or_else(|| self.prefix.and_then(|prefix| (self.environment)(&format!("{prefix}_{key}"))))
            .or_else(|| self.read.get(key).cloned())
            .filter(|value| !value.is_empty())
            .inspect(|value| self.given.borrow_mut().push(value.clone()))
    }

    /// What of all that was given must not be seen, in whatever form it is sent.
    pub(super) fn secrets(self) -> Secrets {
        let given = self.given.into_inner();
        // User and password go together, in Base64.
        let pairs = given.iter().flat_map(|user| {
            given.iter().map(move |password| {
                let both = format!("{user}:{password}");
                base64::engine::general_purpose::STANDARD.encode(both).trim_end_matches('=').to_owned()
            })
        });
        // A token that is a query is sent in parts.
        let parts = given
            .iter()
            .flat_map(|value| value.split(['&', '?']))
            .map(|part| part.split_once('=').map_or(part, |(_, value)| value).to_owned());
        let mut secrets: Vec<String> = pairs.chain(parts).chain(given.iter().cloned()).collect();
        // Short ones are words and numbers, which would make other texts unreadable.
        secrets.retain(|secret| secret.len() >= SHORT);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Secrets(secrets)
    }
}

/// What must not be seen.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// `text` without them.
    pub(super) fn masked(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// The environment variable for `key`.
pub(super) fn variable(store: &Name, key: &str) -> String {
    let store = store.as_str().to_ascii_uppercase().replace('-', "_");
    format!("{}{store}_{key}", crate::base::variables::STORE_PREFIX)
}

/// The variables that people set for a URL of this scheme.
pub(super) fn variables(store: &Name, scheme: &str) -> Vec<String> {
    let keys: &[&str] = match scheme {
        "s3" => &["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"],
        "gs" => &["CREDENTIAL_FILE"],
        "az" | "azblob" => &["ACCOUNT_NAME", "ACCOUNT_KEY"],
        "webhdfs" => &["USERNAME", "DELEGATION"],
        // ssh knows its own keys, and a disk wants none.
        "sftp" | "fs" | "file" | "memory" => &[],
        _ => &["USERNAME", "PASSWORD"],
    };
    keys.iter().map(|key| variable(store, key)).collect()
}

/// The variables that a job gets the credentials of a store of `mlp.yaml` in, if that wants any: it has no files of them.
pub fn credential_variables(store: &Name, spec: &StoreSpec) -> Vec<String> {
    let usual = variables(store, spec.url.split_once("://").map_or("fs", |(scheme, _)| scheme));
    usual.into_iter().map(|name| name.strip_suffix("_FILE").map_or(name.clone(), str::to_owned)).collect()
}

/// Lines `KEY=VALUE` (empty ones and those that begin with `#` left out), or a JSON object of texts.
fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            Some((key.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(spec: &StoreSpec, environment: &[(&str, &str)], key: &str) -> Result<Option<String>, StoreError> {
        let store: Name = "my-lab".parse().expect("a name");
        let find = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Credentials::read(&store, spec, &find).map(|credentials| credentials.get(key))
    }

    fn with(credentials: CredentialsSpec) -> StoreSpec {
        StoreSpec { credentials: Some(credentials), ..StoreSpec::new("s3://b") }
    }

    #[test]
    fn what_was_given_is_masked_in_every_form_in_which_it_is_sent() {
        let store: Name = "lab".parse().expect("a name");
        let spec = StoreSpec::new("webdav://host");
        let find = |key: &str| match key.strip_prefix("MLP_STORE_LAB_")? {
            "USERNAME" => Some("ada".to_owned()),
            "PASSWORD" => Some("hunter22".to_owned()),
            "SAS_TOKEN" => Some("sv=2024&sig=5ignature".to_owned()),
            _ => None,
        };
        let credentials = Credentials::read(&store, &spec, &find).expect("reads");
        for key in ["USERNAME", "PASSWORD", "SAS_TOKEN", "TOKEN"] {
            credentials.get(key);
        }
        let said = "ada sent Basic YWRhOmh1bnRlcjIy and hunter22 to x?sig=5ignature";
        assert_eq!(credentials.secrets().masked(said), "ada sent Basic *** and *** to x?sig=***");
    }

    #[test]
    fn variables_come_before_what_is_referred_to() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("keys");
        fs::write(&path, "# for the lab\nACCESS_KEY_ID=from-file\nexport SECRET_ACCESS_KEY=\"s\"\n")
            .expect("writes");
        let file = with(CredentialsSpec::File(path.display().to_string()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets the mode");
            let error = get(&file, &[], "ACCESS_KEY_ID").expect_err("refused").to_string();
            assert!(error.contains("chmod 600"), "{error}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("sets the mode");
        }
        assert_eq!(get(&file, &[], "ACCESS_KEY_ID").expect("reads").as_deref(), Some("from-file"));
        assert_eq!(get(&file, &[], "SECRET_ACCESS_KEY").expect("reads").as_deref(), Some("s"));
        let variables = [("MLP_STORE_MY_LAB_ACCESS_KEY_ID", "from-variable")];
        assert_eq!(get(&file, &variables, "ACCESS_KEY_ID").expect("reads").as_deref(), Some("from-variable"));
        let prefixed = with(CredentialsSpec::Env("LAB".to_owned()));
        assert_eq!(get(&prefixed, &[("LAB_TOKEN", "t")], "TOKEN").expect("reads").as_deref(), Some("t"));
        assert_eq!(get(&prefixed, &[], "TOKEN").expect("reads"), None);
    }

    #[test]
    fn a_command_prints_lines_or_json_and_its_failure_is_told_without_its_output() {
        for command in ["echo TOKEN=t", "echo '{\"TOKEN\": \"t\"}'"] {
            let spec = with(CredentialsSpec::Command(command.to_owned()));
            assert_eq!(get(&spec, &[], "TOKEN").expect("runs").as_deref(), Some("t"));
        }
        for command in ["echo hunter2; exit 3", "echo hunter2"] {
            let spec = with(CredentialsSpec::Command(command.to_owned()));
            let error = get(&spec, &[], "TOKEN").expect_err("fails").to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
