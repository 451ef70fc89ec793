//! `mlp audit`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap_complete::engine::ArgValueCandidates;
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{Grounds, Judging, NoRules};
use crate::application::ui::{Report, Table, clean, plural};
use crate::base::{Digest, Entry, Exit, Failure, Name};
use crate::infrastructure::store::StoreError;
use crate::platform::model::{Audit, History, ModelError, Problem, Records, audit};

/// Checks ledgers: the whole chain, every record that an entry names, every signature.
///
/// Each number must be there and name the entry before it. Each record must be the one that was written and be about what the entry
/// says. Signatures must hold for who made them, then. What was promoted must have open gates, and the approvals that they saw. A
/// ledger that has fewer entries than this clone has seen, or others, fails too.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model; all that have a ledger if left out.
    #[arg(add = ArgValueCandidates::new(completion::models), required_if_eq("accept", "true"))]
    model: Option<String>,
    /// Takes the ledger as it is now, though this clone has seen another one, and audits it. The copy of the former one is kept.
    #[arg(long)]
    accept: bool,
}

#[derive(Serialize)]
struct Audited {
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    former: Option<PathBuf>,
    models: Vec<Audit>,
}

impl Report for Audited {
    fn schema(&self) -> &'static str {
        "mlp/audit/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        if let Some(former) = &self.former {
            text.push_str(&format!("the copy of the former ledger is in `{}`\n", former.display()));
        }
        if self.models.is_empty() {
            text.push_str("no model has a ledger yet\n");
        }
        for audit in &self.models {
            let looked = format!(
                "{}, {}, {}",
                plural(audit.entries, "entry"),
                plural(audit.records, "record"),
                plural(audit.signatures, "signature")
            );
            let head = match audit.findings.len() as u64 {
                0 => style(format!("{} is sound", audit.model)).green(),
                found => style(format!("{}: {}", audit.model, plural(found, "finding"))).red(),
            };
            text.push_str(&format!("{} ({looked})\n", head.bold()));
            if let Some(head) = audit.head {
                text.push_str(&format!("  last entry {head}\n"));
            }
            let mut table = Table::plain().indent(2);
            for finding in &audit.findings {
                table.row([
                    format!("entry {}", finding.seq),
                    style(finding.problem.name()).red().to_string(),
                    clean(&finding.what).into_owned(),
                    clean(&finding.why).into_owned(),
                ]);
            }
            text.push_str(&table.render());
        }
        text
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let registry = judging.registry();
    let mut unread = None;
    let names = match args.model.as_deref() {
        Some(model) => vec![judging.model(Some(model))?],
        None => with_ledgers(&judging, &mut unread)?,
    };
    let mut former = None;
    if let (true, [model]) = (args.accept, names.as_slice()) {
        former = registry.ledger(model).accept().map_err(ModelError::from)?;
    }
    let mut models = Vec::new();
    let get = |ids: &BTreeSet<Digest>| judging.bring(ids.iter().copied());
    let records = Records { store: &project.store, lost: &judging.lost, get: &get };
    for name in names {
        let grounds = Grounds::new(&judging, &name);
        let audited =
            audit(&registry, &records, &name, &|history, entry| went_past(&grounds, history, entry))?;
        if audited.entries > 0 || !audited.findings.is_empty() || args.model.is_some() {
            models.push(audited);
        }
    }
    let sound = models.iter().all(|audit| audit.findings.is_empty());
    // Whose ledger that is cannot be told: it is not among those that were looked at.
    if let Some(error) = unread.filter(|_| sound) {
        return Err(error.into());
    }
    context.ui.report(&Audited { sound, former, models });
    Ok(if sound { Exit::Ok } else { Exit::No })
}

/// What the promotion `entry` went past by the rules of its time.
fn went_past(grounds: &Grounds<'_, '_>, history: &History, entry: &Entry) -> Vec<(Problem, String)> {
    match grounds.gaps(history, entry, None) {
        Ok(Ok(gaps)) => gaps.iter().map(|gap| (Problem::VerdictMissing, gap.to_string())).collect(),
        Ok(Err(NoRules::Unnamed)) if !entry.evidence.is_empty() => Vec::new(),
        Ok(Err(why)) => vec![(Problem::RulesVoid, why.to_string())],
        Err(failure) => vec![(Problem::RulesVoid, failure.to_string())],
    }
}

/// All models that `mlp.yaml` or a ledger knows. A ledger whose first entry is damaged does not say its name: the rest is looked at
/// all the same.
fn with_ledgers(judging: &Judging<'_>, unread: &mut Option<StoreError>) -> Result<Vec<Name>, Failure> {
    let project = judging.project;
    let mut names: Vec<Name> =
        project.manifest.models.keys().chain(project.manifest.steps.keys()).cloned().collect();
    match judging.home.models(project.id()) {
        Ok(more) => names.extend(more),
        Err(error @ StoreError::LedgerDamaged { .. }) => *unread = Some(error),
        Err(error) => return Err(error.into()),
    }
    names.sort();
    names.dedup();
    Ok(names)
}
