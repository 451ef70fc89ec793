//! `stores:` in `mlp.yaml`.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Rate;

/// One remote store. Credentials never stand here: they come from `MLP_STORE_<NAME>_<KEY>`, from where `credentials` says, or from
/// the service's own provider chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StoreSpec {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `sftp://user@host:port/path`, `webdavs://host/path`,
    /// `webdav://host/path`, `https://host/path` (read-only), `webhdfs://host:port/path`, `fs:///absolute/path`, `memory://name`.
    pub url: String,
    /// Endpoint of an S3-compatible service, of Google Cloud Storage or of Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of an S3 service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where credentials are read from, after the environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// Path of the private key for `sftp://`; without, ssh's own configuration and agent say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// Path of the known hosts for `sftp://`; without, ssh's own. A host that is not known is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// Where the ledgers live if this is the first store: in the store itself, or in references of the git remote.
    #[serde(default, skip_serializing_if = "LedgerPlace::is_store")]
    pub ledger: LedgerPlace,
    /// Bytes a second that may go to and come from the store, together; `--limit-rate` stands above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_rate: Option<Rate>,
    /// Seconds without a single byte after which a connection counts as broken; 30 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<NonZeroU16>,
}

impl StoreSpec {
    /// A store of which nothing but the URL is said.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// Where credentials are read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialsSpec {
    /// Environment variables with this prefix: `PREFIX_ACCESS_KEY_ID`.
    Env(String),
    /// A file of lines `KEY=VALUE`, which only its owner may read.
    File(String),
    /// A command that prints lines `KEY=VALUE` or one JSON object. Only in the configuration of the user or of this clone, never in
    /// `mlp.yaml`.
    Command(String),
}

/// Where ledgers live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerPlace {
    /// In the store: needs one where of several writers exactly one can create an object.
    #[default]
    Store,
    /// In `refs/mlp/ledger/…` of the git remote.
    Git,
}

impl LedgerPlace {
    fn is_store(&self) -> bool {
        *self == Self::Store
    }
}

/// As written, with the keys that people are tempted to write: each is refused with a word on where it belongs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    credentials: Option<CredentialsSpec>,
    key_file: Option<String>,
    known_hosts: Option<String>,
    #[serde(default)]
    ledger: LedgerPlace,
    limit_rate: Option<Rate>,
    #[serde(default, deserialize_with = "seconds")]
    timeout: Option<NonZeroU16>,
    #[serde(rename = "access_key_id", alias = "access_key", alias = "key")]
    _access_key_id: Option<Refused>,
    #[serde(rename = "secret_access_key", alias = "secret_key", alias = "secret")]
    _secret_access_key: Option<Refused>,
    #[serde(rename = "session_token", alias = "token")]
    _session_token: Option<Refused>,
    #[serde(rename = "password", alias = "account_key", alias = "connection_string", alias = "sas_token")]
    _password: Option<Refused>,
}

/// Seconds, at least one.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU16>, D::Error> {
    let Some(seconds) = Option::<i64>::deserialize(deserializer)? else { return Ok(None) };
    let fits = u16::try_from(seconds).ok().and_then(NonZeroU16::new);
    fits.map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("{seconds} s is no limit: it is 1 to 65535")))
}

/// A value that may not stand in a committed file, whatever it is. It is not repeated in the message.
struct Refused;

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        Err(serde::de::Error::custom(
            "credentials do not belong in a committed file: remove the key and set the environment variables \
             MLP_STORE_<NAME>_ACCESS_KEY_ID and MLP_STORE_<NAME>_SECRET_ACCESS_KEY",
        ))
    }
}

impl<'de> Deserialize<'de> for StoreSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let Written { url, endpoint, region, credentials, key_file, known_hosts, ledger, .. } = written;
        let Written { limit_rate, timeout, .. } = written;
        Ok(Self { url, endpoint, region, credentials, key_file, known_hosts, ledger, limit_rate, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_file_is_refused_without_being_repeated() {
        for key in ["secret", "secret_access_key", "token", "password", "access_key_id"] {
            let text = format!(r#"{{"url": "s3://bucket", "{key}": "hunter2"}}"#);
            let error = serde_json::from_str::<StoreSpec>(&text).expect_err("refused").to_string();
            assert!(error.contains("MLP_STORE_<NAME>_SECRET_ACCESS_KEY"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_in_words() {
        let read = |rest: &str| serde_json::from_str::<StoreSpec>(&format!(r#"{{"url": "s3://b", {rest}}}"#));
        for (rest, words) in [
            (r#""limit_rate": -5"#, "`-5` is not a rate"),
            (r#""limit_rate": "fast""#, "`fast` is not a rate"),
            (r#""limit_rate": true"#, "expected bytes a second, such as 500k or 20MiB"),
            (r#""timeout": 0"#, "0 s is no limit"),
            (r#""timeout": 99999"#, "99999 s is no limit"),
        ] {
            let error = read(rest).expect_err(rest).to_string();
            assert!(error.contains(words), "{rest}: {error}");
        }
        let sound = read(r#""limit_rate": 1e3, "timeout": 5"#).expect("reads");
        assert_eq!((sound.limit_rate, sound.timeout), ("1000".parse().ok(), NonZeroU16::new(5)));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<StoreSpec>(r#"{"url": "s3://b", "regoin": "eu"}"#).is_err());
    }

    #[test]
    fn the_schema_has_the_public_keys_alone() {
        let schema = schemars::schema_for!(StoreSpec);
        let keys: Vec<_> = schema.as_value()["properties"].as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            [
                "url",
                "endpoint",
                "region",
                "credentials",
                "key_file",
                "known_hosts",
                "ledger",
                "limit_rate",
                "timeout"
            ]
        );
        assert_eq!(schema.as_value()["additionalProperties"], false);
    }
}
