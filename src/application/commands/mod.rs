//! One file per verb: arguments, one call, one report.

mod agent;
mod approve;
mod audit;
mod check;
mod ci;
mod completions;
mod data;
mod dossier;
mod eval;
mod explain;
mod export;
mod gate;
mod hook;
mod host;
mod impact;
mod import;
mod init;
mod lifecycle;
mod lineage;
mod merge;
mod model;
mod monitor;
mod predict;
mod promote;
mod reproduce;
mod rollback;
mod run;
mod runs;
mod schema;
mod serve;
mod status;
mod store;
mod sweep;
mod train;
mod verify;
mod waive;
mod why;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::completion;
use super::ui::{Mode, Ui, UiError, install_panic_hook, verbose};
use crate::base::{Exit, Failure};
use crate::infrastructure::store::Rate;
use crate::platform::project::Project;

/// What every command gets.
pub(crate) struct Context {
    /// Where it writes.
    pub(crate) ui: Ui,
    /// The folder it works in (`-C`).
    pub(crate) dir: PathBuf,
    /// What may go to and come from each store (`--limit-rate`).
    limit_rate: Option<Rate>,
}

impl Context {
    /// The project that the folder lies in.
    pub(crate) fn project(&self) -> Result<Project, Failure> {
        self.project_at(&self.dir)
    }

    /// The project that `dir` lies in, with the command line's limit for its stores.
    pub(crate) fn project_at(&self, dir: &Path) -> Result<Project, Failure> {
        let mut project = Project::open(dir)?;
        if let Some(rate) = self.limit_rate {
            let places = project.manifest.stores.values_mut().chain(project.manifest.imports.values_mut());
            places.for_each(|spec| spec.limit_rate = Some(rate));
        }
        Ok(project)
    }
}

/// What every command answers: its exit status, or a failure.
pub(crate) type Answer = Result<Exit, Failure>;

/// A machine-learning platform in one binary.
#[derive(clap::Parser, Debug)]
#[command(name = "mlp", version = version(), about, long_about = None)]
struct Cli {
    /// Work as if started in this folder.
    #[arg(short = 'C', long = "directory", global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write JSON: one document for a query, one line per event for work.
    #[arg(long, global = true)]
    json: bool,
    /// Write only errors and the answers of queries.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Tell of each request to a store, without credentials.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// Send to and get from each store at most so many bytes a second: 500k, 20MiB.
    #[arg(long, global = true, value_name = "RATE")]
    limit_rate: Option<Rate>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Schema(schema::Args),
    Ci(ci::Args),
    Data(data::Args),
    Store(store::Args),
    Import(import::Args),
    Export(export::Args),
    Merge(merge::Args),
    Hook(hook::Args),
    Host(host::Args),
    Train(train::Args),
    Sweep(sweep::Args),
    #[command(name = "run")]
    RunSteps(run::Args),
    Runs(runs::Args),
    Eval(eval::Args),
    Reproduce(reproduce::Args),
    Model(model::Args),
    Monitor(monitor::Args),
    Why(why::Args),
    Impact(impact::Args),
    Dossier(dossier::Args),
    Gate(gate::Args),
    Lifecycle(lifecycle::Args),
    Approve(approve::Args),
    Waive(waive::Args),
    Promote(promote::Args),
    Rollback(rollback::Args),
    Audit(audit::Args),
    Verify(verify::Args),
    Status(status::Args),
    Serve(serve::Args),
    Predict(predict::Args),
    Completions(completions::Args),
    #[command(name = "explain")]
    ExplainCode(explain::Args),
    #[command(hide = true)]
    Fsck(store::fsck::Args),
    #[command(hide = true)]
    Gc(store::gc::Args),
    #[command(hide = true)]
    Repair(store::repair::Args),
    #[command(hide = true)]
    Agent(agent::Args),
}

fn dispatch(command: Command, context: &'static Context) -> Answer {
    match command {
        Command::Init(args) => init::run(args, context),
        Command::Check(args) => check::run(args, context),
        Command::Schema(args) => schema::run(args, context),
        Command::Ci(args) => ci::run(args, context),
        Command::Data(args) => data::run(args, context),
        Command::Store(args) => store::run(args, context),
        Command::Fsck(args) => store::fsck::run(args, context),
        Command::Gc(args) => store::gc::run(args, context),
        Command::Repair(args) => store::repair::run(args, context),
        Command::Import(args) => import::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Merge(args) => merge::run(args, context),
        Command::Hook(args) => hook::run(args, context),
        Command::Host(args) => host::run(args, context),
        Command::Train(args) => train::run(args, context),
        Command::Sweep(args) => sweep::run(args, context),
        Command::RunSteps(args) => run::run(args, context),
        Command::Runs(args) => runs::run(args, context),
        Command::Eval(args) => eval::run(args, context),
        Command::Reproduce(args) => reproduce::run(args, context),
        Command::Model(args) => model::run(args, context),
        Command::Monitor(args) => monitor::run(args, context),
        Command::Why(args) => why::run(&args, context),
        Command::Impact(args) => impact::run(args, context),
        Command::Dossier(args) => dossier::run(args, context),
        Command::Gate(args) => gate::run(args, context),
        Command::Lifecycle(args) => lifecycle::run(args, context),
        Command::Approve(args) => approve::run(args, context),
        Command::Waive(args) => waive::run(args, context),
        Command::Promote(args) => promote::run(args, context),
        Command::Rollback(args) => rollback::run(args, context),
        Command::Audit(args) => audit::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Status(args) => status::run(args, context),
        Command::Serve(args) => serve::run(args, context),
        Command::Predict(args) => predict::run(args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::ExplainCode(args) => explain::run(args, context),
        Command::Agent(args) => agent::run(args, context),
    }
}

/// `0.1.0`, with the commit where the build was told of it.
fn version() -> String {
    // The build's variable `base::variables::BUILD_COMMIT`; the macro wants the name itself.
    match option_env!("MLP_BUILD_COMMIT") {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    install_panic_hook();
    // A panic is a bug: the hook has told of it, the exit status tells it too.
    std::panic::catch_unwind(run_process).unwrap_or(Exit::Bug.into())
}

/// The command line as clap knows it: for completion and the reference.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

fn run_process() -> ExitCode {
    // With the variable COMPLETE set a shell asks what could be typed next: answers and ends the process.
    clap_complete::CompleteEnv::with_factory(|| completion::attach(command())).complete();
    let cli = match <Cli as clap::Parser>::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is not an error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let mode = match (cli.json, cli.quiet) {
        (true, _) => Mode::Json,
        (_, true) => Mode::Quiet,
        _ => Mode::Human,
    };
    let ui = Ui::new(mode);
    let context = Context {
        ui: if cli.verbose { ui.verbose() } else { ui },
        dir: cli.directory.unwrap_or_else(|| PathBuf::from(".")),
        limit_rate: cli.limit_rate,
    };
    // It lives as long as the process: so does the logger that talks through it.
    let context: &'static Context = Box::leak(Box::new(context));
    if cli.verbose {
        verbose::install(&context.ui);
    }
    let answer = dispatch(cli.command, context);
    let lost = context.ui.lost().map(|error| Err(UiError::Output(error).into()));
    match lost.unwrap_or(answer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            context.ui.failure(&failure);
            failure.0.exit().into()
        }
    }
}
