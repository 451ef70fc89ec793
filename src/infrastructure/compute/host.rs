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
    /// What an hour there costs; runs tell what they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
    /// Whether runs there measure what GPUs and processors draw.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub power: bool,
}

/// What an hour with a machine costs. At least one of `gpu_hour` and `hour`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSpec {
    /// An hour with one GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_hour: Option<f64>,
    /// An hour with the machine, whether with GPUs or without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<f64>,
    /// The currency: `EUR`.
    pub currency: String,
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
        self.price()?;
        Ok(destination)
    }

    /// Refuses a price that is none.
    fn price(&self) -> Result<(), JobError> {
        let Some(price) = &self.spec.price else { return Ok(()) };
        let wrong = |detail: String| Err(JobError::Price { host: self.name.clone(), detail });
        let currency = &price.currency;
        if currency.len() != 3 || !currency.chars().all(|letter| letter.is_ascii_uppercase()) {
            let shown = currency.chars().take(80).collect::<String>();
            return wrong(format!("`{}` is no currency such as `EUR`", shown.escape_debug()));
        }
        match [price.gpu_hour, price.hour].into_iter().flatten().collect::<Vec<f64>>().as_slice() {
            [] => wrong("`price` says neither `gpu_hour` nor `hour`".to_owned()),
            amounts => match amounts.iter().find(|amount| !amount.is_finite() || **amount < 0.0) {
                Some(amount) => wrong(format!("{amount} is no price")),
                None => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_an_amount_in_a_currency() {
        let host = |gpu_hour: Option<f64>, currency: &str| Host {
            name: "gpu1".into(),
            spec: HostSpec {
                price: Some(PriceSpec { gpu_hour, hour: None, currency: currency.into() }),
                ..HostSpec::default()
            },
        };
        assert!(host(Some(0.45), "EUR").destination().is_ok());
        for wrong in
            [host(None, "EUR"), host(Some(-1.0), "EUR"), host(Some(f64::NAN), "EUR"), host(Some(1.0), "€")]
        {
            assert!(wrong.destination().is_err(), "{wrong:?}");
        }
    }

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
