//! Everything that a ledger says, held against what is stored: the chain, the records that its entries name, the signatures, and
//! whether what was promoted was approved and judged.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::gates::is_waived;
use super::registry::{distrust, doubt};
use super::{Approvals, GateSpec, History, ModelError, Registry};
use crate::base::{
    AnyRecord, Approval, Digest, Entry, EntryKind, Name, Record, RecordKind, Run, SignedWaiver, Time,
    Verdict, VerdictValue,
};
use crate::infrastructure::keys::{NAMESPACE_APPROVAL, NAMESPACE_WAIVER};
use crate::infrastructure::store::{Head, Local, Lost, StoreError, StoredEntry};

/// How far clocks may be apart, in milliseconds.
const AHEAD_MS: i64 = 10 * 60 * 1000;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// A number has no entry, and later ones have.
    EntryMissing,
    /// The bytes are no entry, or not those that were written.
    EntryDamaged,
    /// An entry stands under another number, or in the ledger of another model.
    EntryMisplaced,
    /// An entry does not name the one before it.
    ChainBroken,
    /// An entry that no correct writer makes.
    EntryImpossible,
    /// An entry is dated later than now, and so is all that follows.
    EntryFromFuture,
    /// Fewer entries than this clone has seen.
    LedgerCut,
    /// Other entries than this clone has seen.
    LedgerRewritten,
    /// An entry that acts is not signed, and entries before it are.
    Unsigned,
    /// A signature does not hold.
    SignatureInvalid,
    /// A record is nowhere to be found.
    RecordMissing,
    /// A record is not what was written.
    RecordDamaged,
    /// A record is not of the kind, or not about what, the entry says.
    RecordForAnother,
    /// An approval is not for what the entry says.
    ApprovalForAnother,
    /// What was promoted lacks the approvals that its gate saw.
    ApprovalMissing,
    /// A version was promoted although a gate was not open.
    VerdictNotPass,
    /// A promotion has no verdict of a gate that its rules have, or not by that rule, or one that no waiver stands behind.
    VerdictMissing,
    /// A promotion by rules that the trust branch never had, or that cannot be read.
    RulesVoid,
}

impl Problem {
    /// Its name: `chain-broken`.
    pub fn name(self) -> &'static str {
        match self {
            Self::EntryMissing => "entry-missing",
            Self::EntryDamaged => "entry-damaged",
            Self::EntryMisplaced => "entry-misplaced",
            Self::ChainBroken => "chain-broken",
            Self::EntryImpossible => "entry-impossible",
            Self::EntryFromFuture => "entry-from-future",
            Self::LedgerCut => "ledger-cut",
            Self::LedgerRewritten => "ledger-rewritten",
            Self::Unsigned => "unsigned",
            Self::SignatureInvalid => "signature-invalid",
            Self::RecordMissing => "record-missing",
            Self::RecordDamaged => "record-damaged",
            Self::RecordForAnother => "record-for-another",
            Self::ApprovalForAnother => "approval-for-another",
            Self::ApprovalMissing => "approval-missing",
            Self::VerdictNotPass => "verdict-not-pass",
            Self::VerdictMissing => "verdict-missing",
            Self::RulesVoid => "rules-void",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The number of the entry.
    pub seq: u64,
    /// What is wrong.
    pub problem: Problem,
    /// What it is wrong with: a record, a file, a key, a person.
    pub what: String,
    /// How it shows.
    pub why: String,
}

/// What an audit of one ledger came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// The model.
    pub model: Name,
    /// How many entries are stored.
    pub entries: u64,
    /// Digest of the last entry, which stands for all of them: the same in every clone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
    /// How many records were read.
    pub records: u64,
    /// How many signatures were checked.
    pub signatures: u64,
    /// What is wrong, by entry.
    pub findings: Vec<Finding>,
}

/// Says of a promotion, with the history that it is in, what it lacks by the rules of its time.
pub type WentPast<'a> = dyn Fn(&History, &Entry) -> Vec<(Problem, String)> + 'a;

/// Where the records are that entries name.
pub struct Records<'a> {
    /// The local store.
    pub store: &'a Local,
    /// What is known to be missing or damaged elsewhere.
    pub lost: &'a Lost,
    /// Gets those that are not here; what is wrong with those that cannot be had.
    pub get: &'a dyn Fn(&BTreeSet<Digest>) -> Result<Lost, StoreError>,
}

/// Checks the ledger of `model`: each entry, each record that it names, each signature. All findings are gathered.
pub fn audit(
    registry: &Registry<'_>,
    records: &Records<'_>,
    model: &Name,
    went_past: &WentPast<'_>,
) -> Result<Audit, ModelError> {
    let ledger = registry.ledger(model);
    let seen = ledger.remembered();
    let stored = ledger.stored()?;
    let mut findings = Vec::new();
    let entries = chain(model, &stored, &mut findings);
    if let Some(seen) = seen {
        findings.extend(changed(&stored, &entries, seen));
    }
    let is_whole = findings.is_empty();
    let named: BTreeSet<Digest> = entries.iter().flat_map(|entry| entry.evidence.iter().copied()).collect();
    let mut lost = (records.get)(&named)?;
    lost.retain(|id, _| !records.lost.contains_key(id));
    let wrong = |id: &Digest| records.lost.get(id).or_else(|| lost.get(id));
    match History::replay(model, &entries[..]) {
        Ok(history) => {
            if is_whole {
                ledger.remember(&entries);
            }
            for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Promote) {
                let lacks = went_past(&history, entry).into_iter().map(|(problem, why)| Finding {
                    seq: entry.seq,
                    problem,
                    what: format!("promote by {}", entry.actor),
                    why,
                });
                findings.extend(lacks);
            }
        }
        Err(error) if is_whole => match error {
            ModelError::Ledger { seq, why, .. } => {
                findings.push(Finding { seq, problem: Problem::EntryImpossible, what: "entry".into(), why });
            }
            error => return Err(error),
        },
        // What is wrong with the chain is said already.
        Err(_) => {}
    }
    findings.extend(dated_ahead(&entries, Time::now()));
    let first_signed = entries.iter().position(|entry| entry.signature.is_some()).unwrap_or(entries.len());
    let unsigned = |(index, entry): (usize, &Entry)| {
        let why = distrust(entry, registry.signers, index > first_signed)?;
        let problem = if entry.signature.is_some() { Problem::SignatureInvalid } else { Problem::Unsigned };
        Some(Finding { seq: entry.seq, problem, what: format!("{} by {}", entry.kind, entry.actor), why })
    };
    findings.par_extend(entries.par_iter().enumerate().filter_map(unsigned));

    let store = records.store;
    let mut records = load(store, &wrong, named);
    let inputs = records.values().filter_map(|record| record.as_ref().ok());
    let inputs: BTreeSet<Digest> = inputs
        .filter(|record| record.kind == RecordKind::Verdict)
        .flat_map(|record| record.inputs.iter().copied())
        .filter(|id| !records.contains_key(id))
        .filter(|id| store.has_record(id) || store.is_set_aside(id) || wrong(id).is_some())
        .collect();
    records.extend(load(store, &wrong, inputs));
    let approvals = entries.iter().filter(|entry| entry.kind == EntryKind::Approve);
    let mut brought: BTreeMap<Digest, Vec<&Entry>> = BTreeMap::new();
    for (id, entry) in approvals.flat_map(|entry| entry.evidence.iter().map(move |id| (*id, entry))) {
        brought.entry(id).or_default().push(entry);
    }
    let papers = Papers { registry, approvals: brought, records: &records };
    findings.par_extend(entries.par_iter().flat_map_iter(|entry| papers.look(entry)));
    findings.sort();
    findings.dedup();
    let signed = entries.iter().filter(|entry| entry.signature.is_some()).count();
    let approved = records.values().flatten().filter(|record| record.signature.is_some()).count();
    Ok(Audit {
        model: model.clone(),
        entries: stored.len() as u64,
        head: entries.last().map(Entry::digest),
        records: records.len() as u64,
        signatures: (signed + approved) as u64,
        findings,
    })
}

/// The entries among what is stored; whatever does not belong where it stands is a finding.
fn chain(model: &Name, stored: &[StoredEntry], findings: &mut Vec<Finding>) -> Vec<Entry> {
    let decoded: Vec<Result<Entry, String>> = stored.par_iter().map(StoredEntry::decode).collect();
    let digests: Vec<Option<Digest>> =
        decoded.par_iter().map(|entry| entry.as_ref().ok().map(Entry::digest)).collect();
    let mut entries = Vec::with_capacity(stored.len());
    // The digest of the entry before; none if that is unknown.
    let mut before = Some(None);
    let mut expected = 1;
    for ((there, entry), digest) in stored.iter().zip(decoded).zip(digests) {
        let mut find = |seq, problem, why: String| {
            findings.push(Finding { seq, problem, what: there.place.clone(), why });
        };
        for seq in expected..there.seq {
            find(seq, Problem::EntryMissing, "it is missing, and later entries are there".to_owned());
            before = None;
        }
        expected = there.seq + 1;
        let entry = match entry {
            Ok(entry) => entry,
            Err(why) => {
                find(there.seq, Problem::EntryDamaged, why);
                before = None;
                continue;
            }
        };
        if entry.seq != there.seq {
            find(there.seq, Problem::EntryMisplaced, format!("it says it is entry {}", entry.seq));
        } else if entry.subject.model != *model {
            let why = format!("it is about the model `{}`", entry.subject.model);
            find(there.seq, Problem::EntryMisplaced, why);
        } else if before.is_some_and(|before| before != entry.prev) {
            find(there.seq, Problem::ChainBroken, "it does not follow the entry before it".to_owned());
        }
        before = Some(digest);
        entries.push(entry);
    }
    entries
}

/// The first entry that is dated later than any clock may be ahead of `now`; those after it are not earlier.
fn dated_ahead(entries: &[Entry], now: Time) -> Option<Finding> {
    let is_ahead = |entry: &&Entry| entry.time.as_ms() > now.as_ms().saturating_add(AHEAD_MS);
    let entry = entries.iter().find(is_ahead)?;
    Some(Finding {
        seq: entry.seq,
        problem: Problem::EntryFromFuture,
        what: format!("{} by {}", entry.kind, entry.actor),
        why: format!("it is dated {}, which is not yet", entry.time),
    })
}

/// Whether the entry that this clone saw last is gone or another one.
fn changed(stored: &[StoredEntry], entries: &[Entry], seen: Head) -> Option<Finding> {
    let has = stored.last().map_or(0, |last| last.seq);
    let (problem, why) = if has < seen.seq {
        (Problem::LedgerCut, format!("it has {has} entries, and this clone saw {}", seen.seq))
    } else if entries.iter().any(|entry| entry.seq == seen.seq && entry.digest() != seen.entry) {
        (Problem::LedgerRewritten, format!("this clone saw b3:{} there", seen.entry.short()))
    } else {
        return None;
    };
    Some(Finding { seq: seen.seq, problem, what: "ledger".to_owned(), why })
}

type Loaded = BTreeMap<Digest, Result<AnyRecord, (Problem, String)>>;

/// What is wrong with a record elsewhere, if that is known.
type Wrong<'a> = dyn Fn(&Digest) -> Option<&'a StoreError> + Sync + 'a;

fn load<'a>(store: &Local, wrong: &Wrong<'a>, ids: BTreeSet<Digest>) -> Loaded {
    let read = |id: Digest| {
        let record = store.any_record(&id).map_err(|error| match error {
            StoreError::Missing(_) => match wrong(&id) {
                Some(error @ StoreError::Damaged { .. }) => (Problem::RecordDamaged, error.to_string()),
                _ => (Problem::RecordMissing, "it is neither here nor in the project's store".to_owned()),
            },
            error => (Problem::RecordDamaged, error.to_string()),
        });
        (id, record)
    };
    ids.into_par_iter().map(read).collect()
}

/// The records that the entries of a ledger name.
struct Papers<'a> {
    registry: &'a Registry<'a>,
    /// The entries that brought approvals, by the approval.
    approvals: BTreeMap<Digest, Vec<&'a Entry>>,
    records: &'a Loaded,
}

impl Papers<'_> {
    /// What is wrong with the records that `entry` names.
    fn look(&self, entry: &Entry) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |problem, what: String, why: String| {
            findings.push(Finding { seq: entry.seq, problem, what, why });
        };
        for id in &entry.evidence {
            let Some(found) = self.records.get(id) else { continue };
            let record = match found {
                Ok(record) => record,
                Err((problem, why)) => {
                    find(*problem, format!("record b3:{}", id.short()), why.clone());
                    continue;
                }
            };
            let what = format!("{} b3:{}", record.kind, id.short());
            let wrong = match (entry.kind, record.kind) {
                (EntryKind::Register, RecordKind::Run) => self.run(entry, record, *id),
                (EntryKind::Approve, RecordKind::Approval) => self.approval(entry, record),
                (EntryKind::Waive, RecordKind::Waiver) => self.waiver(entry, record),
                (EntryKind::Register | EntryKind::Approve | EntryKind::Waive, kind) => Some((
                    Problem::RecordForAnother,
                    format!("`{}` rests on a record of kind {kind}", entry.kind),
                )),
                (EntryKind::Promote, RecordKind::Verdict) => self.verdict(entry, record),
                _ => None,
            };
            if let Some((problem, why)) = wrong {
                find(problem, what, why);
            }
            for input in &record.inputs {
                if let Some(Err((problem, why))) = self.records.get(input) {
                    find(*problem, format!("record b3:{}", input.short()), why.clone());
                }
            }
        }
        if entry.kind == EntryKind::Register
            && let Some(run) = entry.subject.run.filter(|run| !entry.evidence.contains(run))
        {
            let why = "the entry does not name the record of its run as evidence".to_owned();
            find(Problem::RecordForAnother, format!("run b3:{}", run.short()), why);
        }
        if entry.kind == EntryKind::Approve && entry.evidence.is_empty() {
            let why = "the entry names no approval".to_owned();
            find(Problem::ApprovalMissing, format!("approve by {}", entry.actor), why);
        }
        findings
    }

    fn run(&self, entry: &Entry, record: &AnyRecord, id: Digest) -> Option<(Problem, String)> {
        let run = match body::<Run>(record) {
            Ok(run) => run,
            Err(wrong) => return Some(wrong),
        };
        if entry.subject.run == Some(id) && run.outputs.get("model") != Some(&entry.subject.tree) {
            let why = format!("it did not make the files of version {}", entry.subject.version);
            return Some((Problem::RecordForAnother, why));
        }
        None
    }

    fn approval(&self, entry: &Entry, record: &AnyRecord) -> Option<(Problem, String)> {
        let body = match body::<Approval>(record) {
            Ok(body) => body,
            Err(wrong) => return Some(wrong),
        };
        let subject = &entry.subject;
        if (&body.model, body.version) != (&subject.model, subject.version) {
            return Some((Problem::ApprovalForAnother, format!("it is for {}@{}", body.model, body.version)));
        }
        if body.tree != subject.tree {
            return Some((
                Problem::ApprovalForAnother,
                format!("it is for other files (b3:{})", body.tree.short()),
            ));
        }
        if Some(&body.stage) != subject.stage.as_ref() {
            return Some((Problem::ApprovalForAnother, format!("it is for {}", body.stage)));
        }
        let why = self.unsigned(record, &body, &body.principal, NAMESPACE_APPROVAL, entry)?;
        Some((Problem::SignatureInvalid, why))
    }

    fn waiver(&self, entry: &Entry, record: &AnyRecord) -> Option<(Problem, String)> {
        let body = match body::<SignedWaiver>(record) {
            Ok(body) => body,
            Err(wrong) => return Some(wrong),
        };
        let subject = &entry.subject;
        if (&body.model, body.version, body.tree) != (&subject.model, subject.version, subject.tree) {
            return Some((Problem::RecordForAnother, format!("it is for {}@{}", body.model, body.version)));
        }
        if Some(&body.stage) != subject.stage.as_ref() {
            return Some((Problem::RecordForAnother, format!("it is for {}", body.stage)));
        }
        let why = self.unsigned(record, &body, &body.principal, NAMESPACE_WAIVER, entry)?;
        Some((Problem::SignatureInvalid, why))
    }

    /// Why the signature of a statement by `principal` that came into the ledger with `entry` does not hold.
    fn unsigned<B: Serialize + Clone>(
        &self,
        record: &AnyRecord,
        body: &B,
        principal: &str,
        namespace: &str,
        entry: &Entry,
    ) -> Option<String> {
        let Some(signature) = &record.signature else { return Some("it is not signed".to_owned()) };
        let whole = Record {
            schema: record.schema.clone(),
            kind: record.kind,
            time: record.time,
            author: record.author.clone(),
            inputs: record.inputs.clone(),
            body: body.clone(),
            signature: None,
        };
        let bytes = whole.to_bytes();
        let verified = self.registry.signers.verify(principal, namespace, &bytes, signature, entry.time);
        verified.err().map(|error| doubt(principal, self.registry.signers, &error))
    }

    fn verdict(&self, entry: &Entry, record: &AnyRecord) -> Option<(Problem, String)> {
        let verdict = match body::<Verdict>(record) {
            Ok(verdict) => verdict,
            Err(wrong) => return Some(wrong),
        };
        let subject = &entry.subject;
        if (&verdict.model, verdict.version, verdict.tree) != (&subject.model, subject.version, subject.tree)
        {
            let why = format!("it is about {}@{}", verdict.model, verdict.version);
            return Some((Problem::RecordForAnother, why));
        }
        if verdict.verdict != VerdictValue::Pass {
            let why = format!("the gate `{}` was not open: {}", verdict.gate, verdict.observed);
            return Some((Problem::VerdictNotPass, why));
        }
        // That a waiver stood behind it is looked at with the rules.
        let is_waived = is_waived(&verdict);
        let Ok(GateSpec::Approvals(gate)) = serde_json::from_value::<GateSpec>(verdict.rule.clone()) else {
            return None;
        };
        let wanted: u64 = std::iter::successors(Some(&gate), |gate: &&Approvals| gate.also.as_deref())
            .map(|gate| u64::from(gate.count))
            .sum();
        let people: BTreeSet<String> =
            record.inputs.iter().filter_map(|id| self.approver(entry, id)).collect();
        if !is_waived && (people.len() as u64) < wanted {
            let why = format!("{} of the {wanted} approvals that the gate saw hold for it", people.len());
            return Some((Problem::ApprovalMissing, why));
        }
        None
    }

    /// Who signed the approval `id`, if it is for what `entry` promotes and came into the ledger before it.
    fn approver(&self, entry: &Entry, id: &Digest) -> Option<String> {
        let record = self.records.get(id)?.as_ref().ok()?;
        let body = body::<Approval>(record).ok()?;
        // Whoever repeats an approval later takes nothing from the first time.
        let fits = self.approvals.get(id)?.iter().any(|made| {
            made.seq < entry.seq
                && made.subject.version == entry.subject.version
                && self.approval(made, record).is_none()
        });
        (fits && body.tree == entry.subject.tree).then_some(body.principal)
    }
}

fn body<B: serde::de::DeserializeOwned>(record: &AnyRecord) -> Result<B, (Problem, String)> {
    serde_json::from_value(record.body.clone())
        .map_err(|error| (Problem::RecordDamaged, format!("its body cannot be read: {error}")))
}
