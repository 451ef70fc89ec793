//! `stores:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Where the ledgers of a project live whose data are on a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerPlace {
    /// On the store itself.
    #[default]
    Store,
    /// In refs of the shared git repository: for stores that cannot create an object only if it is absent.
    Git,
}

/// One remote store. Credentials never stand here: they come from `MLP_STORE_<NAME>_<KEY>` or the service's own
/// provider chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StoreSpec {
    /// `s3://bucket/prefix`, `fs:///absolute/path`, `memory://name`.
    pub url: String,
    /// Endpoint of an S3-compatible service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where ledgers live, of the first store: on the store, or in refs of the shared git repository.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ledger: LedgerPlace,
}

fn is_default(place: &LedgerPlace) -> bool {
    *place == LedgerPlace::default()
}

/// As written, with the keys that people are tempted to write: each is refused with a word on where it belongs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    ledger: Option<LedgerPlace>,
    #[serde(rename = "access_key_id", alias = "access_key", alias = "key")]
    _access_key_id: Option<Refused>,
    #[serde(rename = "secret_access_key", alias = "secret_key", alias = "secret")]
    _secret_access_key: Option<Refused>,
    #[serde(rename = "session_token", alias = "token")]
    _session_token: Option<Refused>,
    #[serde(rename = "password", alias = "account_key", alias = "connection_string", alias = "sas_token")]
    _password: Option<Refused>,
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
        let Written { url, endpoint, region, ledger, .. } = written;
        Ok(Self { url, endpoint, region, ledger: ledger.unwrap_or_default() })
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
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<StoreSpec>(r#"{"url": "s3://b", "regoin": "eu"}"#).is_err());
    }

    #[test]
    fn the_schema_has_the_public_keys_alone() {
        let schema = schemars::schema_for!(StoreSpec);
        let keys: Vec<_> = schema.as_value()["properties"].as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["url", "endpoint", "region", "ledger"]);
        assert_eq!(schema.as_value()["additionalProperties"], false);
    }
}
