//! Secrets do not belong on a terminal, in a log or in a record.

/// `url` without password, query and fragment: `https://ada:secret@host/path?token=1` becomes `https://ada:***@host/path?***`.
///
/// A text that is no URL but looks like one with credentials (`//user:secret@host`) is redacted too.
pub fn redact(url: &str) -> String {
    let (base, query) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], true),
        None => (url, false),
    };
    let mut text = match base.find("//").map(|at| at + 2) {
        None => base.to_owned(),
        Some(start) => {
            let (scheme, rest) = base.split_at(start);
            let authority = rest.find('/').unwrap_or(rest.len());
            match rest[..authority].rfind('@') {
                None => base.to_owned(),
                Some(at) => {
                    let user = rest[..at].split(':').next().unwrap_or_default();
                    let secret = if rest[..at].contains(':') { ":***" } else { "" };
                    format!("{scheme}{user}{secret}{}", &rest[at..])
                }
            }
        }
    };
    if query {
        text.push_str("?***");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_disappear_and_the_rest_stays() {
        for (url, shown) in [
            ("https://host/path", "https://host/path"),
            ("https://ada:se@cret@host/path", "https://ada:***@host/path"),
            ("https://ada@host/path", "https://ada@host/path"),
            ("s3://bucket/prefix?token=1#x", "s3://bucket/prefix?***"),
            ("//u:p@h", "//u:***@h"),
            ("", ""),
        ] {
            assert_eq!(redact(url), shown);
        }
    }
}
