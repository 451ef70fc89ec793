//! A limit on the bytes a second that go to and from a store.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::Bytes;

/// Bytes a second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches("/s").trim_end_matches("/S");
        let Bytes(bytes) = number.parse().map_err(|_| {
            format!("`{}` is not a rate: write for example 500k or 20MiB", text.escape_debug())
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A rate as it stands in a file: a number, or a number with a unit.
struct Written;

impl Visitor<'_> for Written {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes a second, such as 500k or 20MiB")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Rate, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Rate, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_f64<E: Error>(self, bytes: f64) -> Result<Rate, E> {
        self.visit_str(&bytes.to_string())
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes a second: `500k`, `20MiB`; k, M and G alone are powers of 1024.",
            "type": ["string", "integer"]
        })
    }
}

/// Hands out moments at which bytes may go, so that over time no more than the rate do. Clones share it.
#[derive(Clone)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When all that was handed out has gone.
    free: Arc<Mutex<Instant>>,
}

impl Pace {
    /// A pace that nothing limits if there is no rate.
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, free: Arc::new(Mutex::new(Instant::now())) }
    }

    /// How long to wait before `bytes` more may go, if at all.
    pub(super) fn wait(&self, bytes: usize) -> Option<Duration> {
        let rate = self.rate?.0;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let start = now.max(*free);
        *free = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        (start > now).then(|| start - now)
    }

    /// Waits in this thread until `bytes` more may go.
    pub(super) fn pass(&self, bytes: usize) {
        if let Some(wait) = self.wait(bytes) {
            std::thread::sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Rate>().map(|rate| rate.0);
        assert_eq!(read("1000"), Ok(1000));
        assert_eq!(read("500k"), Ok(512_000));
        assert_eq!(read("1.5MiB/s"), Ok(1_572_864));
        assert_eq!(read("20 MB"), Ok(20_000_000));
        assert_eq!(read("1G"), Ok(1 << 30));
        for wrong in ["", "fast", "0", "-3", "1e3", "1.2.3", "5 parsecs", "k", "99999999999999T", "0.5"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let read = |text: &str| serde_json::from_str::<Rate>(text).ok().map(|rate| rate.0);
        assert_eq!(
            (read("2048"), read("\"2k\""), read("-1"), read("true")),
            (Some(2048), Some(2048), None, None)
        );
    }

    #[test]
    fn what_goes_waits_for_what_went_before() {
        let pace = Pace::new(Some(Rate(1000)));
        assert_eq!(pace.wait(10_000), None, "the first goes at once");
        let second = pace.clone().wait(1000).expect("waits");
        assert!(second > Duration::from_secs(9) && second <= Duration::from_secs(10), "{second:?}");
        let third = pace.wait(1).expect("waits");
        assert!(third > Duration::from_secs(10), "{third:?}");
        assert_eq!(Pace::new(None).wait(usize::MAX), None);
    }
}
