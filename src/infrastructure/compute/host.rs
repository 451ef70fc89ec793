//! `hosts:` of `mlp.yaml` and of a user's own configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{JobError, SlurmSpec};

/// A machine that `ssh` reaches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// What `ssh` is given: `user@machine`, or a host of `~/.ssh/config`; the name of the entry if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// The folder of mlp there; `~/.mlp` if nothing is said. For homes that are small or from which nothing may be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// A build of mlp for the host, where the one here does not run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whether the host may read what it lacks from the project's store itself, by links that are signed here and expire; true if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lend: Option<bool>,
    /// The host is the login node of a Slurm cluster: jobs go into its queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmSpec>,
}

/// A host by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name in the configuration.
    pub name: String,
    /// How it is reached.
    #[serde(flatten)]
    pub spec: HostSpec,
}

impl Host {
    /// What `ssh` is given.
    ///
    /// # Errors
    /// [`JobError::HostSpec`] for what `ssh` would take for something else.
    pub fn destination(&self) -> Result<&str, JobError> {
        let destination = self.spec.ssh.as_deref().unwrap_or(&self.name);
        let odd = |letter: char| {
            letter.is_whitespace() || letter.is_control() || "'\"`$;&|<>(){}\\".contains(letter)
        };
        if destination.is_empty() || destination.starts_with('-') || destination.chars().any(odd) {
            return Err(JobError::HostSpec {
                host: self.name.clone(),
                detail: format!("`{}` is nothing that ssh could connect to", destination.escape_debug()),
            });
        }
        if let Some(root) = &self.spec.root
            && (root.trim().is_empty() || root.chars().any(char::is_control))
        {
            let detail = format!("`{}` is no folder for `root`", root.escape_debug());
            return Err(JobError::HostSpec { host: self.name.clone(), detail });
        }
        Ok(destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_cannot_be_an_option_or_a_command() {
        let host = |ssh: &str| Host {
            name: "gpu1".into(),
            spec: HostSpec { ssh: Some(ssh.into()), ..HostSpec::default() },
        };
        for good in
            ["gpu1", "ada@gpu1.example.org", "ssh://ada@gpu1:2222", "[2001:db8::1]", "ada@2001:db8::1"]
        {
            assert_eq!(host(good).destination().expect("is one"), good);
        }
        for bad in ["", "-oProxyCommand=x", "a b", "a;b", "a\nb", "$(x)", "`x`"] {
            assert!(host(bad).destination().is_err(), "{bad:?}");
        }
        assert_eq!(
            Host { name: "gpu1".into(), spec: HostSpec::default() }.destination().expect("its name"),
            "gpu1"
        );
    }
}
