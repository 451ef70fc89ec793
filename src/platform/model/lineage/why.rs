//! From a thing to all that it rests on.

use std::collections::HashSet;

use super::link::{is_made, links};
use super::{Edge, Graph, Lineage, Node, Thing, summary};
use crate::base::{AnyRecord, Digest, Entry, EntryKind, Name, RecordKind, Time};
use crate::infrastructure::store::{NodeKind, StoreError};
use crate::platform::model::{History, ModelError, Version};

/// Digests in these roles say how a record came to be or are its answer; there is nothing to follow behind them.
const LEAVES: [&str; 4] = ["plan", "settings", "sweep", "git.dirty"];

impl Lineage<'_> {
    /// What `thing` rests on, as far as records tell: for a version also the evidence about it, its approvals and promotions.
    ///
    /// # Errors
    /// Those of the store, but for what is not here: such a node is `missing`.
    pub fn why(&self, thing: &Thing) -> Result<Graph, ModelError> {
        let mut walk = Walk {
            lineage: self,
            graph: Graph::default(),
            judged: None,
            checked: None,
            ids: HashSet::new(),
            drawn: HashSet::new(),
        };
        walk.graph.root = match thing {
            Thing::Version(model, number) => {
                let history = self.histories.iter().find(|history| history.model() == model);
                let Some(history) = history else {
                    return Err(ModelError::NothingRegistered { model: model.clone() });
                };
                let version = history.version(*number)?;
                walk.judged = Some(version.tree);
                walk.version(history, version)?
            }
            Thing::Record(id) => walk.record(*id)?,
            Thing::Entry(id) => walk.entry_of(*id)?,
            Thing::Commit(commit) => walk.commit(commit),
            Thing::Content(id) => walk.content("", *id)?,
            Thing::Code { path, commits } => walk.code(path, commits),
            Thing::Prediction { id, model, tree, time } => walk.prediction(id, model, *tree, *time)?,
        };
        Ok(walk.graph)
    }
}

struct Walk<'a, 'l> {
    lineage: &'a Lineage<'l>,
    graph: Graph,
    /// The files of the version whose evidence is wanted too.
    judged: Option<Digest>,
    /// The version of data whose evidence is being followed: that leads back to it.
    checked: Option<Digest>,
    /// The ids of the nodes, and the edges by both ends.
    ids: HashSet<String>,
    drawn: HashSet<(String, String)>,
}

impl Walk<'_, '_> {
    /// Adds a node unless it is there; returns whether it is new.
    fn add(&mut self, node: Node) -> bool {
        let new = self.ids.insert(node.id.clone());
        if new {
            self.graph.nodes.push(node);
        }
        new
    }

    fn edge(&mut self, from: &str, role: &str, to: String) {
        if from != to && self.drawn.insert((from.to_owned(), to.clone())) {
            self.graph.edges.push(Edge { from: from.to_owned(), to, role: role.to_owned() });
        }
    }

    /// An answer, and the version that gave it with all that speaks for it.
    fn prediction(&mut self, id: &str, model: &Name, tree: Digest, time: Time) -> Result<String, ModelError> {
        self.add(Node {
            id: id.to_owned(),
            kind: "prediction".to_owned(),
            about: format!("answered {time} by {model}"),
            digest: None,
            missing: false,
        });
        self.judged = Some(tree);
        let lineage = self.lineage;
        let history = lineage.histories.iter().find(|history| history.model() == model);
        let version = history.and_then(|history| {
            let version = history.versions().iter().rev().find(|version| version.tree == tree)?;
            Some((history, version))
        });
        let by = match version {
            Some((history, version)) => self.version(history, version)?,
            None => self.content("", tree)?,
        };
        self.edge(id, "answered by", by);
        Ok(id.to_owned())
    }

    fn version(&mut self, history: &History, version: &Version) -> Result<String, ModelError> {
        let id = format!("{}@{}", history.model(), version.number);
        let live = history.live_in(version.number);
        let live: Vec<&str> = live.iter().map(Name::as_str).collect();
        let live =
            if live.is_empty() { "live nowhere".to_owned() } else { format!("live in {}", live.join(", ")) };
        let retired = if history.retired(version.number) { ", retired" } else { "" };
        let new = self.add(Node {
            id: id.clone(),
            kind: "version".to_owned(),
            about: format!("registered {} by {}, {live}{retired}", version.time, version.actor),
            digest: Some(version.tree),
            missing: false,
        });
        if !new {
            return Ok(id);
        }
        match version.run {
            Some(run) => {
                let run = self.record(run)?;
                self.edge(&id, "made by", run);
            }
            None => {
                if let Some(commit) = &version.commit {
                    let commit = self.commit(commit);
                    self.edge(&id, "code", commit);
                }
            }
        }
        if self.judged == Some(version.tree) {
            self.evidence(&id, history, version)?;
        }
        Ok(id)
    }

    /// What speaks for a version: records about its files, then what its ledger says.
    fn evidence(&mut self, id: &str, history: &History, version: &Version) -> Result<(), ModelError> {
        let lineage = self.lineage;
        for (record, role) in lineage.naming(&version.tree) {
            let kind = lineage.records[record].kind;
            // Verdicts and approvals come with the entries that count them.
            let elsewhere = matches!(kind, RecordKind::Run | RecordKind::Verdict | RecordKind::Approval);
            if elsewhere || is_made(role) {
                continue;
            }
            let evidence = self.record(*record)?;
            self.edge(id, "evidence", evidence);
        }
        for entry in history.entries().iter().filter(|entry| entry.subject.version == version.number) {
            let role = match entry.kind {
                EntryKind::Register => continue,
                EntryKind::Approve => "approved",
                EntryKind::Promote => "promoted",
                EntryKind::Rollback => "put back",
                EntryKind::Waive => "waived",
                EntryKind::Retire => "retired",
                EntryKind::Gc => "collected",
            };
            let entry = self.entry(entry)?;
            self.edge(id, role, entry);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<String, ModelError> {
        let id = entry.digest().to_string();
        let subject = &entry.subject;
        let stage = subject.stage.as_ref().map(|stage| format!(" for {stage}")).unwrap_or_default();
        let reason = subject.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let signed = if entry.signature.is_some() { ", signed" } else { "" };
        let (kind, actor, time) = (entry.kind, &entry.actor, entry.time);
        let new = self.add(Node {
            id: id.clone(),
            kind: "entry".to_owned(),
            about: format!("#{} {kind}{stage} by {actor}, {time}{signed}{reason}", entry.seq),
            digest: None,
            missing: false,
        });
        if new {
            for evidence in &entry.evidence {
                let evidence = self.record(*evidence)?;
                self.edge(&id, "evidence", evidence);
            }
        }
        Ok(id)
    }

    /// An entry that was asked for by its digest, with the version that it is about.
    fn entry_of(&mut self, id: Digest) -> Result<String, ModelError> {
        let histories = self.lineage.histories;
        let mut all =
            histories.iter().flat_map(|history| history.entries().iter().map(move |entry| (history, entry)));
        let Some((history, entry)) = all.find(|(_, entry)| entry.digest() == id) else {
            return self.content("", id);
        };
        let name = self.entry(entry)?;
        let version = self.version(history, history.version(entry.subject.version)?)?;
        self.edge(&name, "of", version);
        Ok(name)
    }

    fn record(&mut self, id: Digest) -> Result<String, ModelError> {
        let name = id.to_string();
        let Some(record) = self.lineage.records.get(&id) else {
            self.add(Node {
                id: name.clone(),
                kind: "record".to_owned(),
                about: "not in the local store".to_owned(),
                digest: None,
                missing: true,
            });
            return Ok(name);
        };
        let new = self.add(Node {
            id: name.clone(),
            kind: record.kind.to_string(),
            about: summary(record),
            digest: None,
            missing: false,
        });
        if new {
            match record.kind {
                RecordKind::Run => self.run(&name, record)?,
                _ => self.named(&name, record)?,
            }
        }
        Ok(name)
    }

    fn run(&mut self, name: &str, record: &AnyRecord) -> Result<(), ModelError> {
        for link in links(record).into_iter().filter(|link| !is_made(&link.role)) {
            match link.role.as_str() {
                "plan" => {
                    let settings = settings(record, link.to);
                    let id = settings.id.clone();
                    self.add(settings);
                    self.edge(name, "settings", id);
                }
                "binary" => {
                    let (id, about) = (link.to.to_string(), "the executable that ran it".to_owned());
                    self.add(Node {
                        id: id.clone(),
                        kind: "binary".to_owned(),
                        about,
                        digest: None,
                        missing: false,
                    });
                    self.edge(name, "binary", id);
                }
                role if LEAVES.contains(&role) => {}
                role => {
                    let data = role.strip_prefix("data.").unwrap_or_default();
                    // What a training began with is called `digits@3` or by a path, as no dataset can be.
                    let is_begun = !data.is_empty() && data.parse::<Name>().is_err() && !is_step(record);
                    let version = self.lineage.version_of(&link.to);
                    let to = match version {
                        Some((history, version)) => self.version(history, version)?,
                        None => self.content(data, link.to)?,
                    };
                    self.edge(name, if is_begun { "begun with" } else { "data" }, to);
                }
            }
        }
        if let Some(commit) = self.lineage.commit_of(record) {
            let commit = self.commit(commit);
            let role = if record.body["git"]["dirty"].is_string() { "code, with changes" } else { "code" };
            self.edge(name, role, commit);
        }
        Ok(())
    }

    /// What a record of evidence names.
    fn named(&mut self, name: &str, record: &AnyRecord) -> Result<(), ModelError> {
        // Its dataset, where it says one.
        let data = record.body["data"].as_str().unwrap_or_default().to_owned();
        for link in links(record) {
            let role = link.role.as_str();
            let known = [self.judged, self.checked].contains(&Some(link.to));
            if is_made(role) || LEAVES.contains(&role) || known {
                continue;
            }
            if self.lineage.records.contains_key(&link.to) {
                let to = self.record(link.to)?;
                self.edge(name, role, to);
            } else if let Some((history, version)) = self.lineage.version_of(&link.to) {
                let to = self.version(history, version)?;
                self.edge(name, "model", to);
            } else if record.kind != RecordKind::Verdict || role == "input" {
                let to = self.content(if role == "tree" { &data } else { "" }, link.to)?;
                self.edge(name, if role == "tree" { "data" } else { role }, to);
            }
        }
        Ok(())
    }

    /// A version of data, or any other content; `name` is what whoever named it calls it.
    fn content(&mut self, name: &str, id: Digest) -> Result<String, ModelError> {
        let lineage = self.lineage;
        let node = match lineage.store.root_node(&id) {
            Ok(node) => Some(node),
            Err(StoreError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let named = lineage.data_name(&id);
        let name = if name.is_empty() { named.as_deref().unwrap_or_default() } else { name };
        let size = node.as_ref().map_or_else(
            || "not in the local store".to_owned(),
            |node| crate::base::count(node.size) + " bytes",
        );
        let pinned = match lineage.pinned.get(&id) {
            Some((_, Some(commit))) => format!(", pushed from commit {}", commit.get(..12).unwrap_or(commit)),
            Some((_, None)) => ", pushed".to_owned(),
            None => String::new(),
        };
        let is_data = !name.is_empty() || node.as_ref().is_some_and(|node| node.kind == NodeKind::Directory);
        let text = id.to_string();
        let new = self.add(Node {
            id: text.clone(),
            kind: if is_data { "data" } else { "file" }.to_owned(),
            about: if name.is_empty() {
                format!("{size}{pinned}")
            } else {
                format!("{name}, {size}{pinned}")
            },
            digest: None,
            missing: node.is_none(),
        });
        if !new {
            return Ok(text);
        }
        for maker in lineage.makers(&id).collect::<Vec<_>>() {
            let run = self.record(maker)?;
            self.edge(&text, "made by", run);
        }
        for (record, role) in lineage.naming(&id) {
            let kind = lineage.records[record].kind;
            if role == "tree" && matches!(kind, RecordKind::Expectations | RecordKind::Leakage) {
                let before = self.checked.replace(id);
                let checked = self.record(*record)?;
                self.checked = before;
                self.edge(&text, "evidence", checked);
            }
        }
        if lineage.naming(&id).is_empty() && !lineage.pinned.contains_key(&id) {
            for (held, path) in lineage.holders(&id)? {
                let to = match lineage.version_of(&held) {
                    Some((history, version)) => self.version(history, version)?,
                    None => self.content("", held)?,
                };
                self.edge(&text, &format!("in, as {path}"), to);
            }
        }
        Ok(text)
    }

    fn commit(&mut self, commit: &str) -> String {
        let about = (self.lineage.commit)(commit);
        let missing = about.is_none();
        let about = about.unwrap_or_else(|| "not in this clone".to_owned());
        self.add(Node { id: commit.to_owned(), kind: "commit".to_owned(), about, digest: None, missing });
        commit.to_owned()
    }

    fn code(&mut self, path: &str, commits: &[String]) -> String {
        let about = "a file that git keeps".to_owned();
        self.add(Node { id: path.to_owned(), kind: "file".to_owned(), about, digest: None, missing: false });
        for commit in commits {
            let commit = self.commit(commit);
            self.edge(path, "as in", commit);
        }
        path.to_owned()
    }
}

impl Lineage<'_> {
    /// What a version of data is called: by its pin, or by a run that used it.
    pub(super) fn data_name(&self, id: &Digest) -> Option<String> {
        if let Some((name, _)) = self.pinned.get(id) {
            return Some(name.clone());
        }
        self.naming(id).iter().find_map(|(record, role)| {
            let by_run = role.strip_prefix("data.").map(str::to_owned);
            by_run.or_else(|| match role.as_str() {
                "tree" => self.records[record].body["data"].as_str().map(str::to_owned),
                _ => role.strip_prefix("outputs.").map(str::to_owned),
            })
        })
    }
}

fn is_step(record: &AnyRecord) -> bool {
    record.body["task"] == "step"
}

/// The settings of a run: what was trained how, or the command of a step.
fn settings(record: &AnyRecord, plan: Digest) -> Node {
    let config = &record.body["config"]["config"];
    let told = match &config["model"]["train"] {
        serde_json::Value::Null => config["run"].as_str().unwrap_or_default().to_owned(),
        train => train.to_string(),
    };
    let about = match told.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &told[..end]),
        None => told,
    };
    Node { id: plan.to_string(), kind: "settings".to_owned(), about, digest: None, missing: false }
}
