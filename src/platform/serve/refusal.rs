//! What a request that cannot be answered gets: a status and a JSON body.

use axum::http::StatusCode;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};

/// A request that is not answered as asked. Its body is `{"error": "...", "code": "..."}`; `error` is the key
/// that the Open Inference Protocol gives to messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable word for programs: `bad-json`, `bad-shape`, ….
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
    /// Whether the connection is closed after the answer, because the rest of the request was not read.
    pub close: bool,
}

impl Refusal {
    /// A refusal; the connection stays open.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), close: false }
    }

    /// The body is not JSON, or not the JSON that the route takes.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        let code = if error.is_data() { "bad-input" } else { "bad-json" };
        let empty = error.is_eof() && (error.line(), error.column()) == (1, 0);
        let message = match (empty, error.is_data()) {
            (true, _) => "there is no JSON here".to_owned(),
            (false, true) => error.to_string(),
            (false, false) => format!("this is no JSON: {error}"),
        };
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The values are not what the model takes.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-input", message)
    }

    /// Something that the client cannot help.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The connection is closed after the answer.
    pub(super) fn closing(self) -> Self {
        Self { close: true, ..self }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"error": self.message, "code": self.code});
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if self.close {
            headers.insert(CONNECTION, axum::http::HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
