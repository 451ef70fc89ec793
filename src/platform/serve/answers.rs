//! What clients are answered: `/predict`, and the Open Inference Protocol below `/v2`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};

use super::engine::Made;
use super::input::Batch;
use super::routes::{App, Peer, Shared};
use super::{Answered, Canary, Deployment, Refusal, Served, Signature, body, input, protocol};
use crate::base::{Digest, Id, Name, Time};
use crate::platform::data::{Inputs, images};
use crate::platform::train::Prediction;

/// The header that says who asks, so that a canary always answers the same clients; the address of the client without it.
const KEY: &str = "x-mlp-key";
/// Bytes of JSON that are read without a thread of their own: some tenths of a millisecond.
const SHORT: usize = 64 << 10;

type Answer = Result<Response, Refusal>;

/// What `POST /predict` answers.
#[derive(Serialize)]
struct Predicted<'a> {
    model: &'a Name,
    version: u64,
    digest: Digest,
    id: Id,
    predictions: &'a [Prediction],
}

impl App {
    /// The deployment of `model`.
    fn deployment(&self, model: &str) -> Result<&Arc<Deployment>, Refusal> {
        self.deployments.get(model).ok_or_else(|| {
            let served: Vec<_> = self.deployments.keys().map(|name| format!("`{name}`")).collect();
            let message =
                format!("model `{}` is not served here: {} is", input::short(model), served.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, "unknown-model", message)
        })
    }

    /// Lets `chosen` predict for what `read` gives, gives the predictions their identifier and shows them to the observers.
    async fn ask<T: Send + 'static>(
        &self,
        chosen: Chosen<'_>,
        long: bool,
        read: impl FnOnce(&Signature) -> Result<(T, Batch), Refusal> + Send + 'static,
    ) -> Result<(T, Arc<Answered>), Refusal> {
        let began = Instant::now();
        let Chosen { served, canary } = chosen;
        let mut patience = Patience { canary, began, limit: self.limits.request_time };
        let predicted = self.engine.predict(&served, long, read).await;
        patience.canary = None;
        let (extra, made) = predicted.inspect_err(|refusal| {
            let own_fault = refusal.status.is_server_error() && refusal.code != "busy";
            canary.filter(|_| own_fault).into_iter().for_each(|canary| canary.failed());
        })?;
        let Made { count, inputs, predictions, computing } = made;
        let (id, time, latency) = (Id::new(), Time::now(), began.elapsed());
        let answered = Answered {
            id,
            served,
            canary: canary.is_some(),
            time,
            count,
            inputs,
            predictions,
            latency,
            computing,
        };
        let answered = Arc::new(answered);
        self.observers.iter().for_each(|observer| observer.answered(&answered));
        Ok((extra, answered))
    }
}

/// How long a canary is waited for. What takes so long that the request is given up is its failure, and nobody is there any more to
/// say so.
struct Patience<'a> {
    canary: Option<&'a Arc<Canary>>,
    began: Instant,
    limit: Duration,
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        // The limit counts from the beginning of the request; a client that leaves sooner is no fault of the canary.
        if let Some(canary) = self.canary.filter(|_| self.began.elapsed() > self.limit / 2) {
            canary.failed();
        }
    }
}

/// The version that answers a request.
struct Chosen<'a> {
    served: Arc<Served>,
    /// There if it is the canary.
    canary: Option<&'a Arc<Canary>>,
}

impl<'a> Chosen<'a> {
    /// The version for the client that `headers` and `peer` tell: the canary's clients are always the same.
    fn by_client(deployment: &'a Deployment, headers: &HeaderMap, peer: IpAddr) -> Self {
        let canary = deployment.canary().and_then(|canary| {
            let served = match headers.get(KEY) {
                Some(key) => canary.answers(key.as_bytes()),
                None => canary.answers(peer.to_string().as_bytes()),
            };
            Some((canary, Arc::clone(served?)))
        });
        match canary {
            Some((canary, served)) => Self { served, canary: Some(canary) },
            None => Self { served: deployment.live(), canary: None },
        }
    }

    /// The version with this number: the live one or the canary.
    fn by_version(deployment: &'a Deployment, version: &str) -> Result<Self, Refusal> {
        let live = deployment.live();
        if live.version.to_string() == version {
            return Ok(Self { served: live, canary: None });
        }
        let canary = deployment.canary().and_then(|canary| Some((canary, canary.served()?)));
        if let Some((canary, served)) = canary.filter(|(_, served)| served.version.to_string() == version) {
            return Ok(Self { served: Arc::clone(served), canary: Some(canary) });
        }
        let message = format!("version `{}` is not served here, {} is", input::short(version), live.version);
        Err(Refusal::new(StatusCode::NOT_FOUND, "unknown-version", message))
    }
}

/// `POST /predict`, where one model is served.
pub(super) async fn predict(
    State(app): Shared,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    match app.deployments.values().next() {
        Some(only) if app.deployments.len() == 1 => predicted(&app, only, peer, &headers, body).await,
        _ => {
            let message = "several models are served here: ask `/predict/MODEL`";
            Err(Refusal::new(StatusCode::NOT_FOUND, "which-model", message).closing())
        }
    }
}

/// `POST /predict/MODEL`.
pub(super) async fn predict_for(
    State(app): Shared,
    Path(model): Path<String>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let deployment = app.deployment(&model).map_err(Refusal::closing)?;
    predicted(&app, deployment, peer, &headers, body).await
}

async fn predicted(
    app: &App,
    deployment: &Deployment,
    peer: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Answer {
    let kind = content_type(headers);
    let image = match kind.as_str() {
        "application/json" => false,
        "image/png" | "image/jpeg" | "image/webp" => true,
        _ => return Err(unsupported(&kind, "application/json, image/png, image/jpeg or image/webp")),
    };
    let body = body::read(headers, body, app.limits.body, &app.memory).await?;
    // Chosen now and not before: a body may take its time, and the stage move meanwhile.
    let chosen = Chosen::by_client(deployment, headers, peer);
    let long = image || body.bytes.len() > SHORT;
    let read = move |signature: &Signature| {
        let batch =
            if image { picture(&body.bytes, signature)? } else { input::instances(&body.bytes, signature)? };
        Ok(((), batch))
    };
    let ((), answered) = app.ask(chosen, long, read).await?;
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

/// `GET /v2`.
pub(super) async fn server() -> Json<Value> {
    Json(json!({
        "name": "mlp",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    }))
}

/// The model, and the version if there is one, that a path names.
#[derive(serde::Deserialize)]
pub(super) struct Named {
    model: String,
    version: Option<String>,
}

impl Named {
    /// The version that the path means, whoever asks.
    fn served(&self, app: &App) -> Result<Arc<Served>, Refusal> {
        let deployment = app.deployment(&self.model)?;
        match &self.version {
            Some(version) => Ok(Chosen::by_version(deployment, version)?.served),
            None => Ok(deployment.live()),
        }
    }
}

/// `GET /v2/models/MODEL[/versions/N]/ready`.
pub(super) async fn ready(State(app): Shared, Path(named): Path<Named>) -> Answer {
    let served = named.served(&app)?;
    Ok(told(&served, StatusCode::OK.into_response()))
}

/// `GET /v2/models/MODEL[/versions/N]`.
pub(super) async fn metadata(State(app): Shared, Path(named): Path<Named>) -> Answer {
    let served = named.served(&app)?;
    let canary = app.deployment(&named.model)?.canary().and_then(|canary| canary.served());
    let versions: Vec<_> = match &named.version {
        Some(version) => vec![version.clone()],
        None => {
            [Some(&served), canary].into_iter().flatten().map(|served| served.version.to_string()).collect()
        }
    };
    let (inputs, outputs) = protocol::tensors(&served.signature, served.model.classes.len());
    let mut answer = json!({
        "name": served.name,
        "versions": versions,
        "platform": "mlp",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"digest": served.tree},
    });
    if !served.model.classes.is_empty() {
        answer["parameters"]["classes"] = json!(served.model.classes);
    }
    Ok(told(&served, Json(answer).into_response()))
}

/// `POST /v2/models/MODEL[/versions/N]/infer`.
pub(super) async fn infer(
    State(app): Shared,
    Path(named): Path<Named>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let deployment = app.deployment(&named.model).map_err(Refusal::closing)?;
    let choose = || match &named.version {
        Some(version) => Chosen::by_version(deployment, version),
        None => Ok(Chosen::by_client(deployment, &headers, peer)),
    };
    choose().map_err(Refusal::closing)?;
    let head = protocol::head_length(&headers).map_err(Refusal::closing)?;
    let kind = content_type(&headers);
    match kind.as_str() {
        "application/json" => {}
        // Clients of the extension send one of these.
        "application/octet-stream" | "" if head.is_some() => {}
        _ => return Err(unsupported(&kind, "application/json")),
    }
    let body = body::read(&headers, body, app.limits.body, &app.memory).await?;
    let chosen = choose()?;
    let long = body.bytes.len() > SHORT;
    let read = move |signature: &Signature| {
        let (batch, asked) = protocol::infer(&body.bytes, head, signature)?;
        Ok((asked, batch))
    };
    let (asked, answered) = app.ask(chosen, long, read).await?;
    let inferred = protocol::Inferred::new(&answered, asked)?;
    let response = match inferred.binary() {
        None => Json(&inferred).into_response(),
        Some(binary) => {
            let json = serde_json::to_vec(&inferred).map_err(|error| Refusal::internal(error.to_string()))?;
            let length = HeaderValue::from(json.len());
            let kind = HeaderValue::from_static("application/octet-stream");
            let headers =
                [(HeaderName::from_static(protocol::HEAD_LENGTH), length), (header::CONTENT_TYPE, kind)];
            (headers, [json, binary].concat()).into_response()
        }
    };
    Ok(identified(&answered, response))
}
