//! Points in time, written as RFC 3339 in UTC with milliseconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time with millisecond resolution: `2026-11-24T02:31:11.123Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(jiff::Timestamp);

impl Time {
    /// The current time, cut to milliseconds.
    pub fn now() -> Self {
        Self::from_ms(jiff::Timestamp::now().as_millisecond())
    }

    /// From milliseconds since 1970; clamps to what a calendar can show.
    pub fn from_ms(ms: i64) -> Self {
        Self(jiff::Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        }))
    }

    /// Milliseconds since 1970.
    pub fn as_ms(&self) -> i64 {
        self.0.as_millisecond()
    }

    /// Seconds from `earlier` to this time; negative if this time is the earlier one.
    pub fn seconds_since(&self, earlier: Time) -> f64 {
        (self.as_ms() - earlier.as_ms()) as f64 / 1000.0
    }

    /// How long before `now` this was, in words: `just now`, `5 min ago`, `3 h ago`, `2 d ago`.
    pub fn ago(&self, now: Time) -> String {
        match now.seconds_since(*self) as i64 {
            i64::MIN..=9 => "just now".to_owned(),
            seconds @ 10..=119 => format!("{seconds} s ago"),
            seconds @ 120..=7_199 => format!("{} min ago", seconds / 60),
            seconds @ 7_200..=172_799 => format!("{} h ago", seconds / 3_600),
            seconds => format!("{} d ago", seconds / 86_400),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        jiff::Timestamp::from_str(text)
            .map(|stamp| Self::from_ms(stamp.as_millisecond()))
            .map_err(|_| format!("`{text}` is not a time such as 2026-05-03T12:00:00Z"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 in UTC with milliseconds."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_survives_a_round_trip() {
        let time = Time::from_ms(1_795_487_471_123);
        assert_eq!(time.to_string(), "2026-11-24T02:31:11.123Z");
        assert_eq!(time.to_string().parse(), Ok(time));
    }
}
