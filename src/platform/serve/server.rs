//! The accept loop: hyper's own HTTP/1 connections, because `axum::serve` has no time limit for request heads.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use indexmap::IndexMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::engine::Engine;
use super::routes::{App, Door, Peer, clients, operators};
use super::stalled::Impatient;
use super::{BatchSpec, Deployment, Metrics, Observer, ServeError, ServeSpec, Tls, Token, body};
use crate::base::Name;

/// What a client may take of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body in bytes.
    pub body: usize,
    /// From the end of a request's head to its answer.
    pub request_time: Duration,
    /// For a request's head, and for an open connection without a request.
    pub head_time: Duration,
    /// Headers of one request.
    pub headers: usize,
    /// Bytes of these headers.
    pub header_bytes: usize,
    /// Open connections; more wait in the system's queue.
    pub connections: usize,
    /// Bytes of all bodies held at one time; what would go beyond is refused with 503.
    pub memory: usize,
    /// Requests that wait for a prediction while others are computed; more are refused with 503.
    pub queue: usize,
    /// How requests that wait are computed together.
    pub batch: BatchSpec,
    /// For requests under way when the server is told to stop.
    pub drain_time: Duration,
}

impl From<&ServeSpec> for Limits {
    fn from(spec: &ServeSpec) -> Self {
        Self {
            body: spec.max_body,
            request_time: Duration::from_secs(spec.timeout_s),
            head_time: Duration::from_secs(5),
            headers: 64,
            header_bytes: 16 << 10,
            connections: 4096,
            memory: (8 * spec.max_body).max(64 << 20),
            queue: 256,
            batch: spec.batch,
            drain_time: Duration::from_secs(10),
        }
    }
}

/// A server that has its address and its models, but answers nothing yet.
pub struct Server {
    clients: std::net::TcpListener,
    /// Where counts and health are asked for, if not at the clients' address.
    operators: Option<std::net::TcpListener>,
    deployments: IndexMap<Name, Arc<Deployment>>,
    limits: Limits,
    observers: Vec<Arc<dyn Observer>>,
    metrics: Arc<Metrics>,
    tls: Option<TlsAcceptor>,
    token: Option<Token>,
}

/// A listener on an address; port 0 takes any free port.
fn bind(host: &str, port: u16) -> Result<std::net::TcpListener, ServeError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    std::net::TcpListener::bind((host, port))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| {
            let address =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            ServeError::Bind { address, source }
        })
}

fn address(listener: &std::net::TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(|source| ServeError::System { action: "read the address", source })
}

fn listen(listener: std::net::TcpListener) -> Result<TcpListener, ServeError> {
    TcpListener::from_std(listener).map_err(|source| ServeError::System { action: "listen", source })
}

impl Server {
    /// Takes the address for these models; port 0 takes any free port.
    pub fn bind(
        host: &str,
        port: u16,
        deployments: impl IntoIterator<Item = Arc<Deployment>>,
        limits: Limits,
    ) -> Result<Self, ServeError> {
        let metrics = Arc::new(Metrics::default());
        let counting: Arc<dyn Observer> = Arc::clone(&metrics) as _;
        Ok(Self {
            clients: bind(host, port)?,
            operators: None,
            deployments: deployments.into_iter().map(|served| (served.name().clone(), served)).collect(),
            limits,
            observers: vec![counting],
            metrics,
            tls: None,
            token: None,
        })
    }

    /// Talks TLS to clients.
    pub fn secured(self, tls: &Arc<Tls>) -> Result<Self, ServeError> {
        Ok(Self { tls: Some(tls.acceptor()?), ..self })
    }

    /// Answers clients that show the token, and no others.
    pub fn guarded(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Takes another address for counts and health, which clients are then not told.
    pub fn operators_at(self, host: &str, port: u16) -> Result<Self, ServeError> {
        Ok(Self { operators: Some(bind(host, port)?), ..self })
    }

    /// Shows each answered request to `observer`, too.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The address for clients, with the real port.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        address(&self.clients)
    }

    /// The address for operators, if it is another.
    pub fn operators_address(&self) -> Result<Option<SocketAddr>, ServeError> {
        self.operators.as_ref().map(address).transpose()
    }

    /// What the server counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Answers requests until `stop` ends, then finishes those under way.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (limits, apart) = (self.limits, self.operators.is_some());
        let (inside, outside) = (address(&self.clients)?, self.operators_address()?);
        let metrics = Arc::clone(&self.metrics);
        let engine = Engine::start(crate::hardware::threads(), limits.queue, limits.batch, metrics)?;
        let app = Arc::new(App {
            engine,
            limits,
            memory: Arc::new(Semaphore::new(limits.memory / body::UNIT)),
            deployments: self.deployments,
            observers: self.observers,
            metrics: self.metrics,
            stopping: AtomicBool::new(false),
        });
        let door = |address: SocketAddr, token| Door {
            app: Arc::clone(&app),
            loopback: address.ip().is_loopback(),
            token,
        };
        let (stopping, stopped) = watch::channel(false);
        let (closing, closed) = watch::channel(false);
        let room = limits.connections.min(open_files());
        let answering =
            Answering { service: clients(door(inside, self.token), apart), tls: self.tls, limits, stopped };
        let clients = tokio::spawn(accept_all(listen(self.clients)?, room, answering));
        let operators = match self.operators.zip(outside) {
            Some((listener, address)) => {
                let service = operators(door(address, None));
                let answering = Answering { service, tls: None, limits, stopped: closed };
                // A few who ask for counts must not be kept out by many who ask for predictions.
                Some(tokio::spawn(accept_all(listen(listener)?, 64, answering)))
            }
            None => None,
        };
        stop.await;
        app.stopping.store(true, Ordering::Relaxed);
        // No receiver is left only if there is nobody to tell.
        let _ = stopping.send(true);
        let _ = clients.await;
        let _ = closing.send(true);
        if let Some(operators) = operators {
            let _ = operators.await;
        }
        // Observers may work off what they hold, which is no task's business.
        let finish = move || app.observers.iter().for_each(|observer| observer.finish());
        let _ = tokio::task::spawn_blocking(finish).await;
        Ok(())
    }
}

/// Answers on all connections of a listener, at most `room` at a time, until it is told to stop; then those under way are finished.
async fn accept_all(listener: TcpListener, room: usize, mut answering: Answering) {
    let connections = Arc::new(Semaphore::new(room));
    let mut tasks = JoinSet::new();
    let each = answering.clone();
    loop {
        let accepted = tokio::select! {
            _ = answering.stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let each = each.clone();
        tasks.spawn(async move {
            each.connection(stream, peer).await;
            drop(permit);
        });
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(answering.limits.drain_time, drained).await;
}

/// The next connection, once there is room for it; none after a failure that may pass (no file descriptor left,
/// a client gone again).
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip(), permit)),
        Err(_) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

/// How connections are answered.
#[derive(Clone)]
struct Answering {
    service: axum::Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stopped: watch::Receiver<bool>,
}

impl Answering {
    /// Answers all requests of a connection.
    async fn connection(self, stream: TcpStream, peer: IpAddr) {
        // Answers are small and written at once.
        let _ = stream.set_nodelay(true);
        let stream = Impatient::new(stream, self.limits.request_time);
        let Some(tls) = self.tls.clone() else { return self.requests(stream, peer).await };
        // A client that breaks off, or does not get to its first request in time, is none of the server's troubles.
        if let Ok(Ok(stream)) = tokio::time::timeout(self.limits.head_time, tls.accept(stream)).await {
            self.requests(stream, peer).await;
        }
    }

    async fn requests(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, peer: IpAddr) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time)
            // Who has sent a whole request may close that half of the connection and wait.
            .half_close(true)
            // Above the limits that are answered as JSON; hyper answers the rest with a bare 431.
            .max_headers(4 * self.limits.headers)
            .max_buf_size(8 * self.limits.header_bytes);
        let service = TowerToHyperService::new(self.service);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            service.call(request)
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            // A client that breaks off or talks nonsense is none of the server's troubles.
            _ = connection.as_mut() => return,
            _ = self.stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// How many connections the limit on open files leaves room for, after raising it as far as the system allows.
fn open_files() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Without the right to raise it, the limit stays as it is.
        let _ = setrlimit(Resource::Nofile, wanted);
        let limit = getrlimit(Resource::Nofile).current;
        limit
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
            .saturating_sub(64)
            .clamp(16, Semaphore::MAX_PERMITS)
    }
    #[cfg(not(unix))]
    {
        Semaphore::MAX_PERMITS
    }
}
