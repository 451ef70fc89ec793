//! What changes a ledger: register, promote, roll back. Whoever loses the race for the next entry begins again on top
//! of the winner's.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::{
    Actor, Candidate, Card, Draft, Evidence, Filed, History, Judgement, ModelError, Need, Origin, Registry,
    Rules, Selector, Version, judge,
};
use crate::base::{Digest, Entry, EntryKind, Failure, JobState, Name, Record, Run, Subject, Time};
use crate::infrastructure::store::Local;
use crate::platform::run::{publish, runs, short};

/// How often a lost race is run again.
const TRIES: u32 = 30;

/// Everything a change of a ledger needs.
pub struct Workshop<'a> {
    /// The local store.
    pub store: &'a Local,
    /// The ledgers.
    pub registry: Registry<'a>,
    /// The rules for the model.
    pub rules: &'a Rules,
    /// The model.
    pub model: &'a Name,
    /// Who acts.
    pub actor: &'a Actor,
    /// What is known of the commit of a run.
    pub origin: &'a dyn Fn(Option<&str>, Option<&Run>) -> Origin,
    /// Called with the records an entry will name, before it is written: whoever reads the entry must find them.
    pub share: &'a dyn Fn(&[Digest]) -> Result<(), Failure>,
    /// Whether every entry of the ledger was held against this clone's copy.
    pub compared: Cell<bool>,
}

/// Makes missing evidence about a candidate.
pub type Produce<'a> = dyn FnMut(&Candidate<'_>, &Need) -> Result<(), Failure> + 'a;

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The run is this version now.
    New(u64),
    /// The run was this version already.
    Already(u64),
}

/// What became of a promotion.
#[derive(Clone, Debug)]
pub enum Promoted {
    /// The version is live; the entry says so.
    Done {
        /// The ledger entry.
        entry: Box<Entry>,
        /// What the gates said.
        judgements: Vec<Judgement>,
        /// The version that was live before.
        before: Option<u64>,
    },
    /// A gate is not open; nothing was written.
    Refused(Vec<Judgement>),
    /// The version is live in that stage already.
    Already,
}

impl Registered {
    /// The version.
    pub fn number(&self) -> u64 {
        match self {
            Self::New(number) | Self::Already(number) => *number,
        }
    }
}

/// Judges the candidate for `target`, letting `produce` make each missing piece of evidence once. Returns the time of the judgement,
/// which is not before that of any evidence, and what the gates said.
pub fn judge_with(
    store: &Local,
    rules: &Rules,
    candidate: &Candidate<'_>,
    target: &Name,
    produce: &mut Produce<'_>,
) -> Result<(Time, Vec<Judgement>), Failure> {
    let mut made: Vec<Need> = Vec::new();
    let last = candidate.history.entries().last();
    loop {
        let evidence = Evidence::collect(store)?;
        let at = last.map_or_else(Time::now, |last| last.time.max(Time::now()));
        let judgements = judge(rules, candidate, &evidence, target, at)?;
        // Several gates may need the same.
        let mut fresh: Vec<Need> = Vec::new();
        for need in judgements.iter().filter_map(|judgement| judgement.need.as_ref()) {
            if !made.contains(need) && !fresh.contains(need) {
                fresh.push(need.clone());
            }
        }
        if fresh.is_empty() {
            return Ok((at, judgements));
        }
        for need in fresh {
            produce(candidate, &need)?;
            made.push(need);
        }
    }
}

/// The run to register: `named` (its identifier or the beginning of it), or the newest that succeeded and made a model and is
/// no trial of a sweep: of these the last is not the best.
pub fn registrable(store: &Local, model: &Name, named: Option<&str>) -> Result<Filed<Run>, Failure> {
    let all = runs(store)?;
    let unfit = |record: &Record<Run>| {
        let body = &record.body;
        if body.name != *model {
            Some(format!("it is a run of `{}`", body.name))
        } else if matches!(body.end.state, JobState::Cancelled | JobState::Lost) {
            Some(format!(
                "it ended as {} before its last epoch; `mlp runs resume {}` goes on with it",
                body.end.state,
                short(body.run)
            ))
        } else if body.end.state != JobState::Succeeded {
            Some(format!("it ended as {}", body.end.state))
        } else if !body.outputs.contains_key("model") {
            Some("it made no `model`".to_owned())
        } else {
            None
        }
    };
    let Some(named) = named else {
        let newest =
            all.into_iter().find(|(_, record)| unfit(record).is_none() && record.body.sweep.is_none());
        return newest.ok_or_else(|| ModelError::NoRun { model: model.clone() }.into());
    };
    let wanted = named.to_ascii_lowercase();
    let fits = |(id, record): &&Filed<Run>| {
        record.body.run.to_string().starts_with(&wanted)
            || (wanted.len() > 4 && id.to_string().starts_with(&wanted))
    };
    let mut found = all.iter().filter(fits);
    let refuse = |why: &str| {
        let run = named.escape_debug().to_string();
        Err(ModelError::UnfitRun { run, why: why.to_owned() }.into())
    };
    match (found.next(), found.next()) {
        _ if wanted.is_empty() => refuse("its name is empty"),
        (None, _) => refuse("no such run has finished"),
        (Some(_), Some(_)) => refuse("several runs begin like that"),
        (Some(run), None) => match unfit(&run.1) {
            Some(why) => refuse(&why),
            None => Ok(run.clone()),
        },
    }
}

impl Workshop<'_> {
    /// The history of the model as it stands now.
    pub fn history(&self) -> Result<History, ModelError> {
        match self.compared.replace(true) {
            false => self.registry.history(self.model),
            true => self.registry.history_again(self.model),
        }
    }

    /// Makes `run` the next version, unless it is one already.
    pub fn register(&self, run: &Filed<Run>) -> Result<Registered, Failure> {
        let (id, record) = run;
        let Some(tree) = record.body.outputs.get("model").copied() else {
            let why = "it made no `model`".to_owned();
            return Err(ModelError::UnfitRun { run: record.body.run.to_string(), why }.into());
        };
        self.race(|history| {
            if let Some(there) = history.versions().iter().find(|version| version.run == Some(*id)) {
                return Ok(Some(Registered::Already(there.number)));
            }
            let number = history.versions().len() as u64 + 1;
            let subject = Subject {
                model: self.model.clone(),
                version: number,
                tree,
                run: Some(*id),
                stage: None,
                commit: record.body.git.commit.clone(),
                reason: None,
            };
            (self.share)(&[*id])?;
            let entry = self.append(history, EntryKind::Register, subject, vec![*id], Time::now())?;
            Ok(entry.map(|_| Registered::New(number)))
        })
    }

    /// Judges the gates of `stage` and of all earlier ones and, if all are open, makes the version live there.
    /// With `dry_run` nothing is written.
    pub fn promote(
        &self,
        selector: &Selector,
        stage: &Name,
        reason: Option<&str>,
        dry_run: bool,
        produce: &mut Produce<'_>,
    ) -> Result<Promoted, Failure> {
        // What `digits` or `digits@staging` means is settled once: losing a race must not promote another version.
        let number = self.history()?.select(selector)?.number;
        self.race(|history| {
            let version = history.version(number)?;
            let before = history.live(stage).map(|live| live.number);
            let resign = history.verify_live(stage, self.registry.signers).is_err();
            if before == Some(number) && !resign {
                return Ok(Some(Promoted::Already));
            }
            let candidate = Candidate::load(self.store, history, version, self.origin)?;
            let (at, judgements) = judge_with(self.store, self.rules, &candidate, stage, produce)?;
            if !judgements.iter().all(Judgement::passed) {
                return Ok(Some(Promoted::Refused(judgements)));
            }
            if dry_run {
                let subject = self.subject(version, Some(stage), reason);
                let entry = Entry {
                    schema: Entry::SCHEMA.to_owned(),
                    seq: history.entries().len() as u64 + 1,
                    prev: history.tail(),
                    op: crate::base::Id::new(),
                    time: at,
                    actor: self.actor.author().to_owned(),
                    kind: EntryKind::Promote,
                    subject,
                    evidence: Vec::new(),
                    signature: None,
                };
                return Ok(Some(Promoted::Done { entry: Box::new(entry), judgements, before }));
            }
            let mut evidence = Vec::new();
            for judgement in &judgements {
                let roots = self.kept_pages(judgement)?;
                evidence.push(publish(self.store, &judgement.record(), self.model.as_str(), &roots)?);
            }
            (self.share)(&evidence)?;
            let commit = Some(self.rules.commit.clone());
            let subject = Subject { commit, ..self.subject(version, Some(stage), reason) };
            let entry = self.append(history, EntryKind::Promote, subject, evidence, at)?;
            Ok(entry.map(|entry| Promoted::Done { entry: Box::new(entry), judgements, before }))
        })
    }

    /// Puts the version back that was live in `stage` before. Returns the entry and the version that was live.
    pub fn rollback(&self, stage: &Name, reason: Option<&str>) -> Result<(Entry, u64), Failure> {
        // Two people who roll back at once mean one step: whoever comes second finds another version live.
        let seen = self.history()?.live(stage).map(|live| live.number);
        self.race(|history| {
            let live = history.select(&Selector::Stage(stage.clone()))?;
            if seen.is_some_and(|seen| seen != live.number) {
                return Err(ModelError::Contended { model: self.model.clone(), tries: 1 }.into());
            }
            let Some(previous) = history.previous(stage) else {
                let (model, stage) = (self.model.clone(), stage.clone());
                return Err(ModelError::NothingBefore { model, stage, number: live.number }.into());
            };
            let subject = self.subject(previous, Some(stage), reason);
            let entry = self.append(history, EntryKind::Rollback, subject, Vec::new(), Time::now())?;
            Ok(entry.map(|entry| (entry, live.number)))
        })
    }

    /// Stores the files of the trust branch that a verdict rests on; all other evidence is in the store already.
    fn kept_pages(&self, judgement: &Judgement) -> Result<Vec<Digest>, ModelError> {
        let rests_on = |page: &&Card| page.digest.is_some_and(|digest| judgement.evidence.contains(&digest));
        let texts = self.rules.pages().filter(rests_on).filter_map(|page| page.text.as_ref());
        texts.map(|text| Ok(self.store.put(text.as_bytes())?)).collect()
    }

    pub(super) fn subject(&self, version: &Version, stage: Option<&Name>, reason: Option<&str>) -> Subject {
        Subject {
            model: self.model.clone(),
            version: version.number,
            tree: version.tree,
            run: None,
            stage: stage.cloned(),
            commit: None,
            reason: reason.map(str::to_owned),
        }
    }

    pub(super) fn append(
        &self,
        history: &History,
        kind: EntryKind,
        subject: Subject,
        evidence: Vec<Digest>,
        at: Time,
    ) -> Result<Option<Entry>, ModelError> {
        self.registry.append(history, &Draft { kind, subject, evidence }, self.actor, at)
    }

    /// Runs `attempt` on the newest history until it does not lose. Whoever lost once waits in line with the others of this clone, so
    /// that any number of them come through; those of other clones must not come back together.
    pub(super) fn race<T>(
        &self,
        mut attempt: impl FnMut(&History) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut line = None;
        for turn in 1..=TRIES {
            if let Some(done) = attempt(&self.history()?)? {
                return Ok(done);
            }
            line = line.or_else(|| self.registry.ledger(self.model).line());
            let random = RandomState::new().build_hasher().finish();
            std::thread::sleep(Duration::from_millis(random % (5 * u64::from(turn)) + 1));
        }
        Err(ModelError::Contended { model: self.model.clone(), tries: TRIES }.into())
    }
}
