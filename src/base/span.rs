//! Stretches of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Units and their seconds, the largest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Whole seconds, minutes, hours or days: `90s`, `30m`, `2h`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{}` is not a duration: write it as `90s`, `30m`, `2h` or `1d`", text.escape_debug());
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = trimmed[..end].parse().map_err(|_| wrong())?;
        let unit = match trimmed[end..].trim() {
            "min" => "m",
            unit => unit,
        };
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        count.checked_mul(*seconds).map(|seconds| Self(Duration::from_secs(seconds))).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    /// In the largest unit that says it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match UNITS.iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", seconds / unit),
            None => f.write_str("0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_other_text_is_refused() {
        for (text, seconds, shown) in [
            ("90s", 90, "90s"),
            ("120s", 120, "2m"),
            ("30m", 1_800, "30m"),
            ("2h", 7_200, "2h"),
            ("1d", 86_400, "1d"),
            ("5 min", 300, "5m"),
            ("0s", 0, "0s"),
        ] {
            let read: Span = text.parse().expect("reads");
            assert_eq!((read.0.as_secs(), read.to_string().as_str()), (seconds, shown));
            assert_eq!(shown.parse(), Ok(read));
        }
        for text in ["", "2", "h", "-1s", "1.5h", "99999999999999999999d", "18446744073709551615d", "2 weeks"]
        {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
