//! What the server answers: `/predict`, and the Open Inference Protocol below `/v2`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::engine::{Engine, Made};
use super::{Answered, Limits, Observer, Refusal, Served, Signature, body, input, protocol};
use crate::base::{Digest, Id, Name, Time};
use crate::platform::data::{Inputs, images};
use crate::platform::train::Prediction;

/// What the handlers share.
pub(super) struct App {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    /// Room for bodies, in units of [`body::UNIT`].
    pub(super) memory: Arc<Semaphore>,
    /// Whether only this machine can reach the server: then requests must be addressed to it by name.
    pub(super) loopback: bool,
    /// Those who see each answered request.
    pub(super) observers: Vec<Arc<dyn Observer>>,
}

impl App {
    /// Gives the predictions their identifier and shows them to the observers.
    fn answered(&self, served: Arc<Served>, began: Instant, made: Made) -> Arc<Answered> {
        let Made { count, inputs, predictions } = made;
        let (id, time, latency) = (Id::new(), Time::now(), began.elapsed());
        let answered =
            Arc::new(Answered { id, served, canary: false, time, count, inputs, predictions, latency });
        self.observers.iter().for_each(|observer| observer.answered(&answered));
        answered
    }
}

type Shared = State<Arc<App>>;
type Answer = Result<Response, Refusal>;

/// The routes with their limits around them.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/predict", post(predict))
        .route("/v2", get(server))
        .route("/v2/health/live", get(health))
        .route("/v2/health/ready", get(health))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/ready", get(ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

/// Checks what concerns every request, and limits the time it may take.
async fn guard(State(app): Shared, request: Request, next: Next) -> Response {
    if let Err(refusal) = admit(&app, &request) {
        return refusal.into_response();
    }
    tokio::time::timeout(app.limits.request_time, next.run(request))
        .await
        .unwrap_or_else(|_| body::slow().into_response())
}

fn admit(app: &App, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > app.limits.headers || size > app.limits.header_bytes {
        let message =
            format!("more than {} headers or {} bytes of them", app.limits.headers, app.limits.header_bytes);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal::new(status, "headers-too-large", message).closing());
    }
    // A page of another site that resolves its own name to this machine (DNS rebinding) names itself here.
    if app.loopback && !headers.get(header::HOST).is_none_or(names_this_machine) {
        let message = "the server listens on this machine only and `Host` names another one";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "wrong-host", message).closing());
    }
    Ok(())
}

fn names_this_machine(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What `POST /predict` answers.
#[derive(Serialize)]
struct Predicted<'a> {
    model: &'a Name,
    version: u64,
    digest: Digest,
    id: Id,
    predictions: &'a [Prediction],
}

async fn predict(State(app): Shared, headers: HeaderMap, body: Body) -> Answer {
    let kind = content_type(&headers);
    let image = match kind.as_str() {
        "application/json" => false,
        "image/png" | "image/jpeg" | "image/webp" => true,
        _ => return Err(unsupported(&kind, "application/json, image/png, image/jpeg or image/webp")),
    };
    let body = body::read(&headers, body, app.limits.body, &app.memory).await?;
    let began = Instant::now();
    let served = Arc::clone(app.engine.served());
    let read = move |signature: &Signature| {
        let (count, inputs) =
            if image { picture(&body.bytes, signature)? } else { input::instances(&body.bytes, signature)? };
        Ok(((), count, inputs))
    };
    let ((), made) = app.engine.predict(&served, read).await?;
    let answered = app.answered(served, began, made);
    let served = &answered.served;
    let answer = Predicted {
        model: &served.name,
        version: served.version,
        digest: served.tree,
        id: answered.id,
        predictions: &answered.predictions,
    };
    Ok(identified(&answered, Json(answer).into_response()))
}

fn picture(bytes: &[u8], signature: &Signature) -> Result<(usize, Inputs), Refusal> {
    if !signature.pixels {
        return Err(Refusal::input("this model takes no images; send `{\"instances\": [...]}`"));
    }
    let pixels = images::decode(bytes, &signature.shape, "the image")
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "bad-image", error.to_string()))?;
    Ok((1, Inputs::U8(Arc::new(pixels))))
}

/// The media type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unsupported(kind: &str, wanted: &str) -> Refusal {
    let found = if kind.is_empty() { "absent".to_owned() } else { format!("`{}`", input::short(kind)) };
    let message = format!("`Content-Type` is {found}; send {wanted}");
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-type", message).closing()
}

/// The answer with headers that tell which bytes gave it, and what it is called.
fn identified(answered: &Answered, response: Response) -> Response {
    let mut response = told(&answered.served, response);
    if let Ok(id) = HeaderValue::from_str(&answered.id.to_string()) {
        response.headers_mut().insert("x-mlp-prediction", id);
    }
    response
}

/// The answer with headers that tell which version it is about.
fn told(served: &Served, mut response: Response) -> Response {
    let (name, version) = (served.name.as_str(), served.version.to_string());
    let digest = served.tree.to_string();
    for (header, value) in [("x-mlp-model", name), ("x-mlp-version", &version), ("x-mlp-digest", &digest)] {
        // Names, numbers and digests are ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(header, value);
        }
    }
    response
}

async fn server() -> Json<Value> {
    Json(json!({"name": "mlp", "version": env!("CARGO_PKG_VERSION"), "extensions": []}))
}

/// The server listens only once the model is loaded: being reached is being ready.
async fn health() -> StatusCode {
    StatusCode::OK
}

/// The model, and the version if there is one, that a path names.
#[derive(serde::Deserialize)]
struct Named {
    model: String,
    version: Option<String>,
}

fn check(served: &Served, named: &Named) -> Result<(), Refusal> {
    if named.model != served.name.as_str() {
        let message =
            format!("model `{}` is not served here, `{}` is", input::short(&named.model), served.name);
        return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown-model", message));
    }
    match &named.version {
        Some(version) if *version != served.version.to_string() => {
            let message =
                format!("version `{}` is not served here, {} is", input::short(version), served.version);
            Err(Refusal::new(StatusCode::NOT_FOUND, "unknown-version", message))
        }
        _ => Ok(()),
    }
}

async fn ready(State(app): Shared, Path(named): Path<Named>) -> Answer {
    let served = app.engine.served();
    check(served, &named)?;
    Ok(told(served, StatusCode::OK.into_response()))
}

async fn metadata(State(app): Shared, Path(named): Path<Named>) -> Answer {
    let served = app.engine.served();
    check(served, &named)?;
    let (inputs, outputs) = protocol::tensors(&served.signature, served.model.classes.len());
    let mut answer = json!({
        "name": served.name,
        "versions": [served.version.to_string()],
        "platform": "mlp",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"digest": served.tree},
    });
    if !served.model.classes.is_empty() {
        answer["parameters"]["classes"] = json!(served.model.classes);
    }
    Ok(told(served, Json(answer).into_response()))
}

async fn infer(State(app): Shared, Path(named): Path<Named>, headers: HeaderMap, body: Body) -> Answer {
    let served = Arc::clone(app.engine.served());
    check(&served, &named).map_err(Refusal::closing)?;
    let kind = content_type(&headers);
    if kind != "application/json" {
        return Err(unsupported(&kind, "application/json"));
    }
    let body = body::read(&headers, body, app.limits.body, &app.memory).await?;
    let began = Instant::now();
    let read = move |signature: &Signature| {
        let protocol::Infer { id, outputs, batch: (count, inputs) } =
            protocol::infer(&body.bytes, signature)?;
        Ok(((id, outputs), count, inputs))
    };
    let ((request, wanted), made) = app.engine.predict(&served, read).await?;
    let answered = app.answered(served, began, made);
    let served = &answered.served;
    let answer = protocol::Inferred {
        model_name: &served.name,
        model_version: served.version.to_string(),
        id: request,
        parameters: protocol::Parameters { digest: served.tree, prediction_id: answered.id },
        outputs: protocol::outputs(&answered.predictions, served.model.classes.len(), &wanted)?,
    };
    Ok(identified(&answered, Json(answer).into_response()))
}

async fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no-such-route", "no such route; see `/predict` and `/v2`").closing()
}

async fn wrong_method(method: Method) -> Refusal {
    let message = format!("the route takes no {}", input::short(method.as_str()));
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message).closing()
}
