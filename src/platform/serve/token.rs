//! A token that clients show: `Authorization: Bearer TOKEN`.

use axum::http::{HeaderMap, StatusCode, header};

use super::Refusal;

/// The token of a server, kept as its digest.
#[derive(Clone, Copy)]
pub struct Token(blake3::Hash);

impl Token {
    /// The token whose text is `secret`.
    pub fn new(secret: &str) -> Self {
        Self(blake3::hash(secret.as_bytes()))
    }

    /// Refuses a request without it. Digests are compared, in constant time, so that an answer's time tells nothing of how much
    /// of a guess is right.
    pub(super) fn check(self, headers: &HeaderMap) -> Result<(), Refusal> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        // The comparison of `blake3::Hash` takes constant time.
        match shown.map(blake3::hash) {
            Some(shown) if shown == self.0 => Ok(()),
            Some(_) => Err(refusal("the token is not the one of this server")),
            None => Err(refusal("send `Authorization: Bearer TOKEN`")),
        }
    }
}

fn refusal(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message).closing()
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_lets_in() {
        let token = Token::new("hunter2");
        let checked = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().expect("is a header"));
            }
            token.check(&headers)
        };
        assert_eq!(checked(Some("Bearer hunter2")), Ok(()));
        assert_eq!(checked(Some("bearer  hunter2 ")), Ok(()));
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer hunter"),
            Some("Bearer hunter22"),
            Some("Basic hunter2"),
        ] {
            let refusal = checked(wrong).expect_err("is not the token");
            assert_eq!((refusal.status, refusal.code), (StatusCode::UNAUTHORIZED, "unauthorized"));
            assert!(!refusal.message.contains("hunter"));
        }
        assert_eq!(format!("{token:?}"), "Token");
    }
}
