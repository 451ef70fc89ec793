//! `mlp monitor push`.

use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::ui::{Report, bytes, plural};
use crate::application::{completion, predictions, stores};
use crate::base::{Digest, Exit, Name, RecordKind};
use crate::infrastructure::store::{PinKind, missing, push};

/// Sends the prediction logs of this machine to a store, so that `mlp monitor` sees them elsewhere, and the records of what was found.
///
/// Sends what is there now; what was sent before is not sent again. Run it now and then beside a server, by cron or a systemd timer.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The models; all that have a log if none is named.
    #[arg(value_name = "MODEL", add = ArgValueCandidates::new(completion::models))]
    models: Vec<Name>,
    /// The store, by its name in `stores:`; the first of them if left out.
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::stores))]
    store: Option<String>,
    /// Only say what would be sent.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Pushed {
    store: String,
    dry_run: bool,
    logs: Vec<Log>,
    /// Records of what `mlp monitor` found here or elsewhere, as many as the store lacked.
    records: usize,
}

#[derive(Serialize)]
struct Log {
    model: Name,
    files: usize,
    bytes: u64,
    /// Whether it is as it was sent before.
    same: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Digest>,
}

impl Report for Pushed {
    fn schema(&self) -> &'static str {
        "mlp/monitor-push/1"
    }

    fn human(&self) -> String {
        let found = match self.records {
            0 => String::new(),
            count => format!("{} of what was found\n", plural(count as u64, "record")),
        };
        if self.logs.is_empty() {
            return format!("no answers were logged here\n{found}");
        }
        let verb = if self.dry_run { "would push" } else { "pushed" };
        let line = |log: &Log| {
            let (files, size) = (plural(log.files as u64, "file"), bytes(log.bytes));
            match log.same {
                true => format!("`{}` has the log of {} already: {files}, {size}\n", self.store, log.model),
                false => format!("{verb} the log of {} to `{}`: {files}, {size}\n", log.model, self.store),
            }
        };
        self.logs.iter().map(line).collect::<String>() + &found
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let remote = stores::remote(&project, args.store.as_deref())?;
    let models = if args.models.is_empty() { predictions::models(&project)? } else { args.models };
    let mut logs = Vec::new();
    for model in models {
        if let Some(kept) = predictions::keep(&project, &model, args.dry_run)? {
            let predictions::Kept { record, files, bytes, same } = kept;
            logs.push(Log { model, files, bytes, same, record: Some(record).filter(|_| !args.dry_run) });
        }
    }
    let mut pins = project.store.pins()?;
    pins.retain(|pin| match pin.kind {
        PinKind::Record(RecordKind::Drift) => true,
        PinKind::Record(RecordKind::Predictions) => {
            pin.records.iter().any(|id| logs.iter().any(|log| log.record == Some(*id)))
        }
        _ => false,
    });
    let records = match pins.is_empty() {
        true => 0,
        false => {
            let missing = missing(&project.store, &remote, project.id(), &pins)?.pins;
            missing.iter().filter(|pin| pin.kind == PinKind::Record(RecordKind::Drift)).count()
        }
    };
    if !args.dry_run && !pins.is_empty() {
        push(&project.store, &remote, project.id(), &pins, &context.ui)?;
    }
    context.ui.report(&Pushed { store: remote.name.to_string(), dry_run: args.dry_run, logs, records });
    Ok(Exit::Ok)
}
