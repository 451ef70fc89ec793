//! What every command that judges or changes a model's ledger needs: the project, its rules from the trust branch, the
//! ledgers, and a way to make missing evidence.

mod evidence;
mod grounds;
mod shown;
mod smoke;
mod trusted;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::{Diagnose, Digest, Exit, Failure, Level, Name, Run, Sink, Time, nearest};
use crate::infrastructure::compute::LocalExecutor;
use crate::infrastructure::git::Trust;
use crate::infrastructure::keys::{Signers, SigningKey};
use crate::infrastructure::store::{LedgerHome, Lost, PinKind, StoreError, fetch_evidence, fetch_pins, push};
use crate::platform::model::{
    Actor, Candidate, History, ModelError, Need, Origin, Registry, Rules, Selector, Version, Workshop,
    parse_reference,
};
use crate::platform::project::{Manifest, Project};
use crate::platform::run;

pub(crate) use grounds::{Grounds, NoRules, Then, before};
pub(crate) use shown::{GateLine, mark, render_gates};

/// A project with its rules.
pub(crate) struct Judging<'a> {
    pub(crate) project: &'a Project,
    /// `mlp.yaml` on the trust branch.
    pub(crate) manifest: Manifest,
    /// Where that is.
    pub(crate) trust: Trust,
    signers: Signers,
    pub(crate) home: LedgerHome,
    /// Evidence that the project's store has lost and that is not here.
    pub(crate) lost: Lost,
    sink: &'a dyn Sink,
    /// The time of the rules: the waivers that hold then count.
    time: Time,
    /// Whether a ledger that was looked at is damaged.
    unsound: AtomicBool,
}

impl<'a> Judging<'a> {
    /// Reads the rules from the trust branch, and from a remote the evidence that others made. Runs that ended while
    /// nobody watched get their records first, so that they count.
    pub(crate) fn open(project: &'a Project, sink: &'a dyn Sink) -> Result<Self, Failure> {
        Self::of(project, sink, |_, error| Err(error))
    }

    /// The same for who only looks: where the project's store is out of reach, at the copies of ledgers that this clone has.
    pub(crate) fn looking(project: &'a Project, sink: &'a dyn Sink) -> Result<Self, Failure> {
        Self::of(project, sink, |home, error| match home.copy(project.id()) {
            Some(copy) if error.is_out_of_reach() => {
                let text =
                    format!("{error}: shown is what this clone has, as it was when the store was last asked");
                sink.log(Level::Warn, &text);
                Ok(copy)
            }
            _ => Err(error),
        })
    }

    /// `instead` gives another home where the store of the usual one cannot be read.
    fn of(
        project: &'a Project,
        sink: &'a dyn Sink,
        instead: impl FnOnce(&LedgerHome, StoreError) -> Result<LedgerHome, StoreError>,
    ) -> Result<Self, Failure> {
        let trust = project.repo.trust(&project.manifest.trust.branch)?;
        let (manifest, signers) = project.trusted()?;
        let mut home = project.ledger_home()?;
        run::settle(&project.store, &LocalExecutor::new(project.jobs()))?;
        let fetched = home.store().map(|remote| fetch_pins(&project.store, remote, project.id(), sink));
        let lost = match fetched {
            None => Lost::new(),
            Some(Ok((_, lost))) => lost,
            Some(Err(error)) => {
                home = instead(&home, error)?;
                Lost::new()
            }
        };
        let (time, unsound) = (Time::now(), AtomicBool::new(false));
        Ok(Self { project, manifest, trust, signers, home, lost, sink, time, unsound })
    }

    /// The same for who writes into a ledger, by the rules as they are now: the trust branch is fetched first, where that can be done.
    pub(crate) fn renewed(project: &'a Project, sink: &'a dyn Sink) -> Result<Self, Failure> {
        let branch = &project.manifest.trust.branch;
        let before = project.repo.trust(branch).ok().filter(|trust| !trust.local_only);
        let fetched = before.as_ref().map(|_| project.repo.fetch_branch("origin", branch));
        if let Some(Err(error)) = fetched {
            let text = format!("the rules are those of origin/{branch} as it was fetched last: {error}");
            sink.log(Level::Warn, &text);
        }
        let judging = Self::open(project, sink)?;
        if let Some(before) = before
            && !project.repo.is_ancestor(&before.rev, &judging.trust.rev)?
        {
            let text = format!(
                "origin/{branch} was rewritten: it no longer has the commit {}, by whose rules versions may stand; `mlp audit` says which",
                &before.rev[..12.min(before.rev.len())]
            );
            sink.log(Level::Warn, &text);
        }
        Ok(judging)
    }

    /// The same project with its rules as they stood at `commit` and counted at `time`, or why rules are not read there: only what the
    /// trust branch once was has any. Whoever may push a branch could write rules of their own.
    pub(crate) fn at(&self, commit: &str, time: Time) -> Result<Result<Judging<'a>, String>, Failure> {
        let repo = &self.project.repo;
        if repo.commit_author(commit)?.is_none() {
            return Ok(Err(format!(
                "the commit {} of its rules is not here; `git fetch origin` may bring it",
                commit.escape_debug()
            )));
        }
        if !repo.is_ancestor(commit, &self.trust.rev)? {
            let more = match repo.has_whole_history()? {
                true => "",
                false => ", as far as its history is here; `git fetch --unshallow origin` brings all of it",
            };
            return Ok(Err(format!("the commit {commit} of its rules is none of {}{more}", self.trust.name)));
        }
        let trust = Trust { rev: commit.to_owned(), ..self.trust.clone() };
        let (manifest, signers) = self.project.trusted_at(&trust)?;
        let home = match &self.home {
            LedgerHome::Local(store) => LedgerHome::Local(store.clone()),
            _ => self.project.ledger_home()?,
        };
        let unsound = AtomicBool::new(false);
        let (project, sink) = (self.project, self.sink);
        Ok(Ok(Judging { project, manifest, trust, signers, home, lost: Lost::new(), sink, time, unsound }))
    }

    /// Gets the records among `ids` that are not here, whether or not a pin leads to them; what is wrong with those that cannot be had.
    pub(crate) fn bring(&self, ids: impl Iterator<Item = Digest>) -> Result<Lost, StoreError> {
        match self.home.store() {
            Some(remote) => fetch_evidence(&self.project.store, remote, ids),
            None => Ok(Lost::new()),
        }
    }

    /// Makes a tree or file that only the project's store has present in the local one.
    pub(crate) fn get(&self, id: Digest) -> Result<(), Failure> {
        evidence::present(self, id)
    }

    /// Says where the rules come from, if it is only this repository.
    pub(crate) fn say_source(&self) {
        if self.trust.local_only {
            let text = format!(
                "rules: the gates as committed on the local branch `{}` (this repository has no remote)",
                self.trust.name
            );
            self.sink.log(Level::Info, &text);
        }
    }

    /// The model and version that `text` means, with the model's history.
    pub(crate) fn reference(&self, text: &str) -> Result<(Name, Selector), Failure> {
        let (model, selector) = parse_reference(text)?;
        self.known(&model)?;
        if let Selector::Stage(stage) = &selector {
            self.rules(&model)?.stage(stage.as_str())?;
        }
        Ok((model, selector))
    }

    /// The model `text`, or the only one of the project.
    pub(crate) fn model(&self, text: Option<&str>) -> Result<Name, Failure> {
        match text {
            Some(text) => Ok(self.reference(text)?.0),
            None => only_model(&self.project.manifest),
        }
    }

    /// Fails for a model that neither `mlp.yaml` nor a ledger knows.
    fn known(&self, model: &Name) -> Result<(), Failure> {
        let own = &self.project.manifest;
        if own.models.contains_key(model)
            || own.steps.contains_key(model)
            || self.home.models(self.project.id())?.contains(model)
        {
            return Ok(());
        }
        // Its error names what is near.
        self.project.model(model.as_str())?;
        Ok(())
    }

    /// The rules for `model`.
    pub(crate) fn rules(&self, model: &Name) -> Result<Rules, Failure> {
        trusted::rules(self, model)
    }

    /// The ledgers.
    pub(crate) fn registry(&self) -> Registry<'_> {
        Registry { home: &self.home, project: self.project.id(), signers: &self.signers }
    }

    /// The history of `model` for who only looks: one that is not what this clone has seen is shown, with a warning; of a damaged one
    /// what comes before the damage.
    pub(crate) fn look(&self, model: &Name) -> Result<History, Failure> {
        let (history, wrong) = self.registry().look(model)?;
        if let Some(error) = wrong {
            let is_whole = matches!(error, ModelError::Store(StoreError::LedgerRolledBack { .. }));
            let shown = match is_whole {
                true => "",
                false => "; what comes before it is shown",
            };
            self.unsound.fetch_or(!is_whole, Ordering::Relaxed);
            let code = error.code();
            self.sink.log(Level::Warn, &format!("{error} ({code}){shown}; `mlp audit {model}` tells more"));
        }
        Ok(history)
    }

    /// The models that `mlp.yaml` or a ledger knows. A ledger whose first entry is damaged does not say its name.
    pub(crate) fn models(&self) -> Result<Vec<Name>, Failure> {
        let mut names: Vec<Name> = self.project.manifest.models.keys().cloned().collect();
        let more = match self.home.models(self.project.id()) {
            Err(error @ StoreError::LedgerDamaged { .. }) => {
                self.unsound.store(true, Ordering::Relaxed);
                self.sink.log(Level::Warn, &format!("{error} ({}); `mlp audit` tells more", error.code()));
                Vec::new()
            }
            found => found?,
        };
        for name in more {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// How a command ends that showed what [`Judging::look`] gave: as an audit, where that was damaged.
    pub(crate) fn exit(&self) -> Exit {
        if self.unsound.load(Ordering::Relaxed) { Exit::No } else { Exit::Ok }
    }

    /// Who acts: signing, if the project has signers, with the key that `flag` or the user's configuration names.
    pub(crate) fn actor(&self, flag: Option<&Path>) -> Result<Actor, Failure> {
        let repo = &self.project.repo;
        let place = format!("{} on {}", self.manifest.trust.signers, self.trust.name);
        if self.signers.is_empty() {
            return Ok(Actor::unsigned(repo.author(), place));
        }
        let key = SigningKey::choose(flag, self.configured_key().as_deref())?;
        Ok(Actor::signing(repo.author(), repo.email(), key, place))
    }

    /// Who acts in a way that is never signed.
    pub(crate) fn author(&self) -> Actor {
        Actor::unsigned(self.project.repo.author(), "")
    }

    /// Git's `user.signingkey`, if git signs with SSH keys or the value can be nothing else.
    fn configured_key(&self) -> Option<String> {
        let repo = &self.project.repo;
        let value = repo.config("user.signingkey")?;
        let ssh = repo.config("gpg.format").is_some_and(|format| format == "ssh");
        let plain = value.starts_with("key::") || value.starts_with("ssh-") || value.contains('/');
        (ssh || plain).then_some(value)
    }

    /// The candidate with what is known of its making.
    pub(crate) fn candidate<'h>(
        &self,
        history: &'h History,
        version: &'h Version,
    ) -> Result<Candidate<'h>, ModelError> {
        Candidate::load(&self.project.store, history, version, |commit, run| self.origin(commit, run))
    }

    fn origin(&self, commit: Option<&str>, run: Option<&Run>) -> Origin {
        trusted::origin(self, commit, run)
    }

    /// Runs `work` with everything a change of the ledger of `model` needs.
    pub(crate) fn change<T>(
        &self,
        model: &Name,
        rules: &Rules,
        actor: &Actor,
        work: impl FnOnce(&Workshop<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let workshop = Workshop {
            store: &self.project.store,
            registry: self.registry(),
            rules,
            model,
            actor,
            origin: &|commit, run| self.origin(commit, run),
            share: &|records| self.share(records),
            compared: Cell::new(false),
        };
        work(&workshop)
    }

    /// Makes `records`, and what they rest on, present where the ledger is, so that whoever reads an entry finds them.
    fn share(&self, records: &[Digest]) -> Result<(), Failure> {
        let Some(remote) = self.home.store() else { return Ok(()) };
        let store = &self.project.store;
        let mut wanted: BTreeSet<Digest> = records.iter().copied().collect();
        for id in records {
            // Judgements elsewhere look for evidence by its pin. Not all that a record rests on is a record.
            wanted.extend(store.any_record(id)?.inputs);
        }
        let mut pins = store.pins()?;
        pins.retain(|pin| {
            matches!(pin.kind, PinKind::Record(_)) && pin.records.iter().any(|id| wanted.contains(id))
        });
        push(store, remote, self.project.id(), &pins, self.sink)?;
        Ok(())
    }

    /// Makes one missing piece of evidence.
    pub(crate) fn produce(&self, candidate: &Candidate<'_>, need: &Need) -> Result<(), Failure> {
        evidence::produce(self, candidate, need)
    }

    /// Makes no evidence.
    pub(crate) fn nothing(_: &Candidate<'_>, _: &Need) -> Result<(), Failure> {
        Ok(())
    }
}

/// The only model of the project.
pub(crate) fn only_model(manifest: &Manifest) -> Result<Name, Failure> {
    let mut models = manifest.models.keys();
    match (models.next(), models.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let known = manifest.models.keys().map(Name::to_string).collect();
            Err(ModelError::WhichModel { known }.into())
        }
    }
}

/// The gate called `name` in any stage, or an error that names what is near.
pub(crate) fn known_gate(rules: &Rules, name: &str) -> Result<(), Failure> {
    let names = || rules.stages.values().flat_map(|stage| stage.gates.keys()).map(Name::as_str);
    if names().any(|known| known == name) {
        return Ok(());
    }
    Err(ModelError::UnknownGate {
        gate: name.escape_debug().to_string(),
        near: nearest(name, names()).map(str::to_owned),
        known: names().map(str::to_owned).collect(),
    }
    .into())
}
