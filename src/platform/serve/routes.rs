//! The routes of the server and what stands before all of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use indexmap::IndexMap;
use tokio::sync::Semaphore;

use super::engine::Engine;
use super::metrics::{self, Metrics};
use super::{Deployment, Limits, Observer, Refusal, Token, answers, body, input};
use crate::base::Name;

/// What the handlers share.
pub(super) struct App {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    /// Room for bodies, in units of [`body::UNIT`].
    pub(super) memory: Arc<Semaphore>,
    /// At least one.
    pub(super) deployments: IndexMap<Name, Arc<Deployment>>,
    /// Those who see each answered request.
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) metrics: Arc<Metrics>,
    /// Whether the server was told to stop.
    pub(super) stopping: AtomicBool,
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// An address that requests come in by.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: Arc<App>,
    /// Whether only this machine can reach it: then requests must be addressed to it by name.
    pub(super) loopback: bool,
    /// What clients must show, except where they ask for health.
    pub(super) token: Option<Token>,
}

/// Routes that tell nothing but whether the server is well.
const HEALTH: [&str; 4] = ["/live", "/ready", "/v2/health/live", "/v2/health/ready"];

pub(super) type Shared = State<Arc<App>>;

/// The routes for clients, with their limits around them. Those for operators are among them unless they are `apart`.
pub(super) fn clients(door: Door, apart: bool) -> Router {
    let routes = Router::new()
        .route("/predict", post(answers::predict))
        .route("/predict/{model}", post(answers::predict_for))
        .route("/v2", get(answers::server))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(answers::metadata))
        .route("/v2/models/{model}/ready", get(answers::ready))
        .route("/v2/models/{model}/infer", post(answers::infer))
        .route("/v2/models/{model}/versions/{version}", get(answers::metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(answers::ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(answers::infer));
    guarded(if apart { routes } else { routes.merge(for_operators()) }, door)
}

/// The routes for operators, on an address of their own.
pub(super) fn operators(door: Door) -> Router {
    guarded(for_operators(), door)
}

fn for_operators() -> Router<Arc<App>> {
    Router::new().route("/live", get(live)).route("/ready", get(ready)).route("/metrics", get(counts))
}

fn guarded(routes: Router<Arc<App>>, door: Door) -> Router {
    let app = Arc::clone(&door.app);
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(door, guard))
        .with_state(app)
}

/// Checks what concerns every request, limits the time it may take, and counts it.
async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = match door.admit(&request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => tokio::time::timeout(door.app.limits.request_time, next.run(request))
            .await
            .unwrap_or_else(|_| body::slow().into_response()),
    };
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    door.app.metrics.request(route, response.status().as_u16());
    response
}

impl Door {
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        let limits = &self.app.limits;
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if headers.len() > limits.headers || size > limits.header_bytes {
            let message =
                format!("more than {} headers or {} bytes of them", limits.headers, limits.header_bytes);
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Refusal::new(status, "headers-too-large", message).closing());
        }
        // A page of another site that resolves its own name to this machine (DNS rebinding) names itself here.
        if self.loopback && !headers.get(header::HOST).is_none_or(names_this_machine) {
            let message = "the server listens on this machine only and `Host` names another one";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "wrong-host", message).closing());
        }
        match self.token.filter(|_| !HEALTH.contains(&request.uri().path())) {
            Some(token) => token.check(headers),
            None => Ok(()),
        }
    }
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

/// The process answers.
async fn live() -> StatusCode {
    StatusCode::OK
}

/// The server listens only once its models are loaded: being reached is being ready, until it is told to stop.
async fn ready(State(app): Shared) -> StatusCode {
    if app.stopping.load(Ordering::Relaxed) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

async fn counts(State(app): Shared) -> Response {
    let answering = app.deployments.values().flat_map(|deployment| {
        let canary = deployment.canary().and_then(|canary| canary.served().cloned());
        std::iter::once((deployment.live(), "live")).chain(canary.map(|canary| (canary, "canary")))
    });
    let served: Vec<_> = answering.collect();
    let text = app.metrics.text(app.engine.waiting(), &served);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no-such-route", "no such route; see `/predict` and `/v2`").closing()
}

async fn wrong_method(method: Method) -> Refusal {
    let message = format!("the route takes no {}", input::short(method.as_str()));
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message).closing()
}
