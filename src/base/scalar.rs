//! Texts in YAML that is written line by line.

/// A text as a YAML scalar: plain where that can mean nothing else, else in double quotes.
pub fn yaml_scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_back_as_the_text_it_was() {
        for text in ["a", "On", "true", "1", "1e3", "a b", "a: b", "ü", "-x", "", "~", "a#b", "\"'", "x.y/z"]
        {
            let read: String = serde_yaml::from_str(&yaml_scalar(text)).expect("reads");
            assert_eq!(read, text);
        }
        assert_eq!(yaml_scalar("train-1"), "train-1");
    }
}
