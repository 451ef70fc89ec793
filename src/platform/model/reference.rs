//! How a user names a model version: `digits`, `digits@7`, `digits@production`.

use std::fmt;

use super::ModelError;
use crate::base::Name;

/// Which version of a model is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest registered one: `digits`.
    Newest,
    /// The one with this number: `digits@7`.
    Version(u64),
    /// The one that is live in a stage: `digits@production`.
    Stage(Name),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => Ok(()),
            Self::Version(number) => write!(f, "@{number}"),
            Self::Stage(stage) => write!(f, "@{stage}"),
        }
    }
}

/// Reads `digits`, `digits@7` or `digits@production`. A text of digits is a version, never a stage.
pub fn parse_reference(text: &str) -> Result<(Name, Selector), ModelError> {
    let wrong =
        |why: &str| ModelError::Reference { text: text.escape_debug().to_string(), why: why.to_owned() };
    let (model, rest) = match text.split_once('@') {
        Some((model, rest)) => (model, Some(rest)),
        None => (text, None),
    };
    if model.is_empty() {
        return Err(wrong("it names no model"));
    }
    let model = model.parse::<Name>().map_err(|error| wrong(&error.to_string()))?;
    let selector = match rest {
        None => Selector::Newest,
        Some("") => return Err(wrong("nothing follows the `@`")),
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => match number.parse::<u64>() {
            Ok(0) | Err(_) => return Err(wrong("versions are counted from 1")),
            Ok(number) => Selector::Version(number),
        },
        Some(stage) => Selector::Stage(stage.parse::<Name>().map_err(|error| wrong(&error.to_string()))?),
    };
    Ok((model, selector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        let name = |text: &str| text.parse::<Name>().expect("is a name");
        for (text, selector) in [
            ("digits", Selector::Newest),
            ("digits@7", Selector::Version(7)),
            ("digits@production", Selector::Stage(name("production"))),
        ] {
            assert_eq!(parse_reference(text).expect(text), (name("digits"), selector));
        }
    }

    #[test]
    fn hostile_and_half_references_are_refused() {
        for text in [
            "",
            "@",
            "@7",
            "digits@",
            "digits@0",
            "digits@99999999999999999999",
            "../x",
            "a@b@c",
            "a@-1",
            "a b",
        ] {
            assert!(parse_reference(text).is_err(), "{text}");
        }
        let said = parse_reference("@nope").expect_err("names no model").to_string();
        assert_eq!(said, "`@nope` does not name a model version: it names no model");
    }
}
