//! `mlp serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{Answer, Context};
use crate::application::ui::Report;
use crate::application::{chosen, predictions};
use crate::base::{Digest, Exit, Level, Name, Sink};
use crate::platform::serve::{Limits, PredictionLog, ServeError, Server};

/// Serves a model version over HTTP.
///
/// Before it listens it verifies the model's ledger and every byte of the model. Ctrl-C or SIGTERM stops it after
/// the requests under way. Routes: POST /predict, and the Open Inference Protocol below /v2.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What to serve: MODEL@STAGE, MODEL@VERSION, or MODEL for its newest version.
    #[arg(value_name = "MODEL[@REF]")]
    reference: String,
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Address to listen on; only this machine can reach the default.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: String,
}

/// What is said once requests are answered.
#[derive(Serialize)]
struct Ready {
    model: Name,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Name>,
    digest: Digest,
    address: SocketAddr,
    url: String,
}

impl Report for Ready {
    fn schema(&self) -> &'static str {
        "mlp/serve/1"
    }

    fn human(&self) -> String {
        format!("listening on {}\n", self.url)
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let served = chosen::open(&project, &args.reference, &context.ui)?;
    let from = served.stage.as_ref().map(|stage| format!(", live in {stage}")).unwrap_or_default();
    let serving = format!("serving {}{from}, tree {}", served.reference(), served.tree);
    let limits = Limits::from(&project.manifest.serve);
    let (model, version) = (served.name.clone(), served.version);
    let (stage, digest) = (served.stage.clone(), served.tree);
    let mut server = Server::bind(&args.host, args.port, served, limits)?;
    if let Some(log) = &project.manifest.serve.log {
        server = server.observe(Arc::new(PredictionLog::new(predictions::logs(&project), log.clone())));
    }
    let address = server.address()?;
    context.ui.log(Level::Info, &serving);
    if !address.ip().is_loopback() {
        let text =
            "everybody who can reach this address can ask for predictions: the server asks for no password";
        context.ui.log(Level::Warn, text);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { action: "start threads", source })?;
    runtime.block_on(async {
        // Signals are taken before anybody is told that the server is there.
        let stop =
            stop_signal().map_err(|source| ServeError::System { action: "wait for signals", source })?;
        context.ui.report(&Ready {
            model,
            version,
            stage,
            digest,
            address,
            url: format!("http://{address}"),
        });
        server.run(stop).await
    })?;
    // A prediction that outlived the time to drain is of no use to anybody.
    runtime.shutdown_background();
    context.ui.log(Level::Info, "stopped");
    Ok(Exit::Ok)
}

/// Ends when the process is told to stop.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Ends when the process is told to stop.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
