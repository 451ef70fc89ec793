//! The accept loop: hyper's own HTTP/1 connections, because `axum::serve` has no time limit for request heads.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::engine::Engine;
use super::routes::{App, router};
use super::stalled::Impatient;
use super::{Observer, ServeError, ServeSpec, Served, body};

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
            drain_time: Duration::from_secs(10),
        }
    }
}

/// A server that has its address and its model, but answers nothing yet.
pub struct Server {
    listener: std::net::TcpListener,
    served: Arc<Served>,
    limits: Limits,
    observers: Vec<Arc<dyn Observer>>,
}

impl Server {
    /// Takes the address; port 0 takes any free port.
    pub fn bind(host: &str, port: u16, served: Served, limits: Limits) -> Result<Self, ServeError> {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let listener =
            std::net::TcpListener::bind((host.trim_start_matches('[').trim_end_matches(']'), port))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|source| ServeError::Bind { address, source })?;
        Ok(Self { listener, served: Arc::new(served), limits, observers: Vec::new() })
    }

    /// Shows each answered request to `observer`, too.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The address, with the real port.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(|source| ServeError::System { action: "read the address", source })
    }

    /// Answers requests until `stop` ends, then finishes those under way.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let loopback = self.address()?.ip().is_loopback();
        let listener = TcpListener::from_std(self.listener)
            .map_err(|source| ServeError::System { action: "listen", source })?;
        let limits = self.limits;
        let engine = Engine::new(self.served, crate::hardware::threads(), limits.queue);
        let memory = Arc::new(Semaphore::new(limits.memory / body::UNIT));
        let service =
            router(Arc::new(App { engine, limits, memory, loopback, observers: self.observers.clone() }));
        let connections = Arc::new(Semaphore::new(limits.connections.min(open_files())));
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(_) = tasks.join_next() => continue,
                accepted = accept(&listener, &connections) => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let service = service.clone();
            let stopped = stopped.clone();
            tasks.spawn(async move {
                connection(stream, service, limits, stopped).await;
                drop(permit);
            });
        }
        drop(listener);
        // No receiver is left only if there is no connection to tell.
        let _ = stopping.send(true);
        let drained = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limits.drain_time, drained).await;
        // Observers may work off what they hold, which is no task's business.
        let observers = self.observers;
        let finish = move || observers.iter().for_each(|observer| observer.finish());
        let _ = tokio::task::spawn_blocking(finish).await;
        Ok(())
    }
}

/// The next connection, once there is room for it; none after a failure that may pass (no file descriptor left,
/// a client gone again).
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(_) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    service: axum::Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are small and written at once.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        // Above the limits that are answered as JSON; hyper answers the rest with a bare 431.
        .max_headers(4 * limits.headers)
        .max_buf_size(8 * limits.header_bytes);
    let io = TokioIo::new(Impatient::new(stream, limits.request_time));
    let mut connection = pin!(http.serve_connection(io, TowerToHyperService::new(service)));
    tokio::select! {
        // A client that breaks off or talks nonsense is none of the server's troubles.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
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
