//! `mlp serve`.

mod emit;
mod follow;
mod trials;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use self::emit::Manager;
use self::follow::Follower;
use super::{Answer, Context};
use crate::application::ui::Report;
use crate::application::{chosen, predictions};
use crate::base::{Digest, Exit, Failure, Level, Name, Sink};
use crate::platform::model::parse_reference;
use crate::platform::project::Project;
use crate::platform::serve::{Deployment, Limits, PredictionLog, ServeError, Served, Server, Tls, Token};

/// Serves model versions over HTTP.
///
/// Before it listens it verifies the ledger of each model and every byte of its files. A model named by a stage follows it: a
/// promotion or rollback is verified and takes over without a dropped request. Ctrl-C or SIGTERM stops it after the requests under
/// way. Routes: POST /predict, the Open Inference Protocol below /v2, /metrics, /live and /ready.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What to serve: MODEL@STAGE, MODEL@VERSION, or MODEL for its newest version. One version per model.
    #[arg(value_name = "MODEL[@REF]", required = true)]
    reference: Vec<String>,
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Address to listen on; only this machine can reach the default.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: String,
    /// Answer /metrics, /live and /ready here, and no longer at the other address: HOST:PORT.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Ask this version too, off the path of the answers, and record where it disagrees: MODEL@N.
    #[arg(long, value_name = "MODEL@REF")]
    shadow: Vec<String>,
    /// Let this version answer a share of the clients, until a rule of `serve: {canary: {abort}}` is broken: MODEL@N=5%.
    #[arg(long, value_name = "MODEL@REF=SHARE")]
    canary: Vec<String>,
    /// Talk TLS with this chain of certificates (PEM), read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Answer only clients that send this secret as `Authorization: Bearer`: its name, an environment variable or an entry under
    /// `secrets:` of the user's configuration.
    #[arg(long, value_name = "SECRET")]
    token: Option<String>,
    /// Print how a service manager runs this server, and end.
    #[arg(long, value_enum, value_name = "MANAGER")]
    emit: Option<Manager>,
    /// The container image of `--emit kubernetes`.
    #[arg(long, default_value = "mlp:latest", value_name = "IMAGE", requires = "emit")]
    image: String,
    /// Answers without the prediction log of `serve:`: a rehearsal is no production.
    #[arg(long, hide = true)]
    no_log: bool,
}

/// What is said once requests are answered.
#[derive(Serialize)]
struct Ready {
    models: Vec<Model>,
    address: SocketAddr,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

/// A model that is served.
#[derive(Serialize)]
struct Model {
    model: Name,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Name>,
    digest: Digest,
}

impl Report for Ready {
    fn schema(&self) -> &'static str {
        "mlp/serve/1"
    }

    fn human(&self) -> String {
        let metrics = self.metrics.as_ref().map(|url| format!("counts and health at {url}\n"));
        format!("listening on {}\n{}", self.url, metrics.unwrap_or_default())
    }
}

impl Model {
    fn of(served: &Served) -> Self {
        Self {
            model: served.name.clone(),
            version: served.version,
            stage: served.stage.clone(),
            digest: served.tree,
        }
    }
}

pub(crate) fn run(args: Args, context: &'static Context) -> Answer {
    let project = context.project()?;
    if let Some(manager) = args.emit {
        args.reference.iter().try_for_each(|reference| parse_reference(reference).map(drop))?;
        context.ui.raw(&match manager {
            Manager::Systemd => emit::systemd(&args, &project)?,
            Manager::Kubernetes => emit::kubernetes(&args, &project)?,
        });
        return Ok(Exit::Ok);
    }
    let spec = &project.manifest.serve;
    let mut deployments: Vec<Arc<Deployment>> = Vec::new();
    // Those named by a stage, with the entries of the ledger that they were chosen by.
    let mut followed = Vec::new();
    for reference in &args.reference {
        let chosen = chosen::choose(&project, reference)?;
        if deployments.iter().any(|deployment| *deployment.name() == chosen.name) {
            return Err(ServeError::Twice { model: chosen.name }.into());
        }
        let entries = chosen.entries;
        let served = chosen::load(&project, chosen, &context.ui)?;
        served.try_out()?;
        let follows = served.stage.is_some();
        let deployment = Arc::new(Deployment::new(served));
        if follows {
            followed.push((reference.clone(), Arc::clone(&deployment), entries));
        }
        deployments.push(deployment);
    }
    let mut server = Server::bind(&args.host, args.port, deployments.iter().cloned(), Limits::from(spec))?;
    if let Some(address) = &args.metrics {
        let (host, port) = split(address)?;
        server = server.operators_at(host, port)?;
    }
    if let Some(log) = spec.log.as_ref().filter(|_| !args.no_log) {
        let tell = Box::new(|level, text: &str| context.ui.log(level, text));
        let (folder, metrics) = (predictions::logs(&project), server.metrics());
        server = server.observe(Arc::new(PredictionLog::new(folder, log.clone(), metrics, tell)));
    }
    for reference in &args.shadow {
        server = trials::shadow(server, reference, &deployments, &project, context)?;
    }
    for written in &args.canary {
        server = trials::canary(server, written, &deployments, &project, context)?;
    }
    let server = guarded(server, &args, &project, context)?;
    let address = server.address()?;
    let ready = Ready {
        models: deployments.iter().map(|deployment| Model::of(&deployment.live())).collect(),
        address,
        url: format!("{}://{address}", if args.tls_cert.is_some() { "https" } else { "http" }),
        metrics: server.operators_address()?.map(|address| format!("http://{address}/metrics")),
    };
    for model in &ready.models {
        let from = model.stage.as_ref().map(|stage| format!(", live in {stage}")).unwrap_or_default();
        let text = format!("serving {}@{}{from}, tree {}", model.model, model.version, model.digest);
        context.ui.log(Level::Info, &text);
    }
    if !address.ip().is_loopback() {
        match (&args.token, &args.tls_cert) {
            (None, _) => context.ui.log(
                Level::Warn,
                "everybody who can reach this address can ask for predictions: `--token` asks for a token",
            ),
            (Some(_), None) => {
                context.ui.log(
                    Level::Warn,
                    "the token goes over the network as plain text: `--tls-cert` encrypts it",
                );
            }
            (Some(_), Some(_)) => {}
        }
    }
    let system = |action: &'static str| move |source| ServeError::System { action, source };
    let metrics = server.metrics();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(system("start threads"))?;
    runtime.block_on(async {
        // Signals are taken before anybody is told that the server is there.
        let stop = stop_signal().map_err(system("wait for signals"))?;
        for (reference, deployment, seen) in followed {
            Follower {
                context,
                reference,
                deployment,
                metrics: Arc::clone(&metrics),
                home: project.ledger_home()?,
                project: project.id(),
                seen,
                far: Duration::from_secs(spec.follow_s.max(1)),
            }
            .start()
            .map_err(system("start threads"))?;
        }
        context.ui.report(&ready);
        Ok::<(), Failure>(server.run(stop).await?)
    })?;
    // A prediction that outlived the time to drain is of no use to anybody.
    runtime.shutdown_background();
    context.ui.log(Level::Info, "stopped");
    Ok(Exit::Ok)
}

/// The server with what the command line says of TLS and a token.
fn guarded(
    mut server: Server,
    args: &Args,
    project: &Project,
    context: &'static Context,
) -> Result<Server, Failure> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let tls = Tls::open(certificate, key)?;
        tls.watch(|read| match read {
            Ok(()) => context.ui.log(Level::Info, "new connections get the new certificate"),
            Err(error) => context.ui.log(Level::Warn, &format!("the old certificate stays in use: {error}")),
        })?;
        server = server.secured(&tls)?;
    }
    if let Some(name) = &args.token {
        let values = project.secrets.values(std::slice::from_ref(name))?;
        let secret = values.get(name).map(String::as_str).unwrap_or_default();
        server = server.guarded(Token::new(secret.trim()));
    }
    Ok(server)
}

/// Host and port of `HOST:PORT`, `:PORT` or `PORT`.
fn split(address: &str) -> Result<(&str, u16), ServeError> {
    let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
    let port = port.parse().map_err(|_| ServeError::Address { address: address.to_owned() })?;
    Ok((if host.is_empty() { "127.0.0.1" } else { host }, port))
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
