//! Which profile a project follows, and in which version.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::versions;

/// A versioned set of default gates for the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Data and code in order; nothing else stands in the way.
    #[default]
    Research,
    /// Floors, comparison with what is live, a complete card, one approval.
    Product,
    /// As `product`, with slices and two approvals.
    Regulated,
    /// As `research`, with a complete card.
    Student,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Research, Self::Product, Self::Regulated, Self::Student];

    /// As written in `mlp.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Research => "research",
            Self::Product => "product",
            Self::Regulated => "regulated",
            Self::Student => "student",
        }
    }
}

/// A profile in one version, written `product@2`; `product` alone is its first version, so that a newer mlp asks no more of a project
/// than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Following {
    /// The profile.
    pub profile: Profile,
    /// Its version, from 1.
    pub version: u32,
}

impl Following {
    /// The newest version of a profile that this mlp knows.
    pub fn newest(profile: Profile) -> Self {
        Self { profile, version: versions::newest(profile) }
    }
}

impl Default for Following {
    fn default() -> Self {
        Self { profile: Profile::default(), version: 1 }
    }
}

impl fmt::Display for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.profile.as_str(), self.version)
    }
}

impl FromStr for Following {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let profile = Profile::ALL.into_iter().find(|profile| profile.as_str() == name);
        let profile = profile.ok_or_else(|| {
            let known = Profile::ALL.map(|profile| format!("`{}`", profile.as_str())).join(", ");
            // In the words of the parser, whose messages are made into suggestions.
            format!("unknown variant `{}`, expected one of {known}", name.escape_debug())
        })?;
        let newest = versions::newest(profile);
        let version = match version {
            None => 1,
            Some(version) => match version.parse() {
                Ok(version) if (1..=newest).contains(&version) => version,
                _ => {
                    return Err(format!(
                        "this mlp knows the versions 1 to {newest} of the profile `{name}`, not `{}`",
                        version.escape_debug()
                    ));
                }
            },
        };
        Ok(Self { profile, version })
    }
}

impl Serialize for Following {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Following {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Following {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Profile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A versioned set of default gates for the stages, and its version: `product@2`. The profiles are \
                            `research`, `product`, `regulated` and `student`; without a version it is the first.",
            "type": "string",
            "pattern": "^(research|product|regulated|student)(@[0-9]+)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_followed_in_a_version() {
        for (text, shown) in
            [("product", "product@1"), ("product@2", "product@2"), ("student@1", "student@1")]
        {
            let following: Following = text.parse().expect("is a profile");
            assert_eq!(following.to_string(), shown);
        }
        assert_eq!(Following::newest(Profile::Research).to_string(), "research@2");
        for (text, why) in [
            ("prodct", "unknown variant `prodct`, expected one of `research`"),
            ("product@9", "this mlp knows the versions 1 to 2 of the profile `product`, not `9`"),
            ("product@0", "not `0`"),
            ("product@", "not ``"),
        ] {
            let error = text.parse::<Following>().expect_err("is none");
            assert!(error.contains(why), "{error}");
        }
    }
}
