use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::base::{
    Body, Entry, EntryKind, Estimate, Evaluation, GitState, Id, JobState, Name, Record, Run, RunEnd, Subject,
    Time,
};
use crate::infrastructure::store::{Node as StoreNode, NodeKind, Tree};
use crate::platform::run::publish;

fn name(text: &str) -> Name {
    text.parse().expect("is a name")
}

struct Shelf {
    _folder: tempfile::TempDir,
    store: Local,
    histories: Vec<History>,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("makes a folder");
        let store = Local::open(&folder.path().join("store")).expect("opens");
        Self { _folder: folder, store, histories: Vec::new() }
    }

    /// A tree with these files.
    fn tree(&self, files: &[(&str, &[u8])]) -> Digest {
        let mut writer = self.store.writer().expect("writes");
        let node = |(name, bytes): &(&str, &[u8]), writer: &mut crate::infrastructure::store::Writer<'_>| {
            StoreNode {
                name: name.as_bytes().to_vec(),
                kind: NodeKind::File,
                size: bytes.len() as u64,
                id: writer.blob(bytes).expect("adds"),
            }
        };
        let nodes = files.iter().map(|file| node(file, &mut writer)).collect();
        let id = writer.tree(&Tree { nodes }).expect("adds");
        writer.finish().expect("finishes");
        id
    }

    fn file<B: Body>(&self, body: B) -> Digest {
        publish(&self.store, &Record::new("Ada", vec![], body), "it", &[]).expect("publishes")
    }

    fn run(&self, task: &str, data: &[(&str, Digest)], outputs: &[(&str, Digest)], commit: &str) -> Digest {
        let now = Time::now();
        let pairs = |of: &[(&str, Digest)]| -> BTreeMap<String, Digest> {
            of.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect()
        };
        self.file(Run {
            run: Id::new(),
            name: name("digits"),
            task: task.to_owned(),
            plan: Digest::of(format!("{data:?}{outputs:?}").as_bytes()),
            sweep: None,
            git: GitState { commit: Some(commit.to_owned()), ..GitState::default() },
            data: pairs(data),
            config: json!({"config": {"model": {"train": {"epochs": 3}}}}),
            dataset: None,
            seed: Some(7),
            device: "cpu".into(),
            binary: Digest::of(b"binary"),
            host: "here".into(),
            end: RunEnd {
                state: JobState::Succeeded,
                cause: None,
                code: Some(0),
                signal: None,
                reason: None,
                started: now,
                ended: now,
                seconds: None,
                cpu_seconds: None,
                attempts: 1,
                usage: None,
            },
            cost: None,
            metrics: BTreeMap::new(),
            output: None,
            outputs: pairs(outputs),
        })
    }

    fn evaluation(&self, model: Digest, data: Digest) -> Digest {
        let metrics =
            BTreeMap::from([("accuracy".to_owned(), Estimate { value: 0.9, lower: 0.8, upper: 0.95 })]);
        self.file(Evaluation {
            model,
            data: name("mnist"),
            tree: data,
            settings: Digest::of(b"settings"),
            part: "test".into(),
            examples: 100,
            metrics,
            slices: vec![],
            confusion: None,
            per_class: vec![],
            calibration: vec![],
            predictions: Digest::of(b"predictions"),
        })
    }

    /// Registers versions (tree, run) of a model, and promotes the last.
    fn ledger(&mut self, model: &str, versions: &[(Digest, Digest)], evidence: &[Digest]) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut push = |kind, version: usize, tree, run: Option<Digest>, evidence: Vec<Digest>| {
            let prev = entries.last().map(Entry::digest);
            let subject = Subject {
                model: name(model),
                version: version as u64,
                tree,
                run,
                stage: (kind == EntryKind::Promote).then(|| name("production")),
                commit: None,
                reason: None,
            };
            let seq = entries.len() as u64 + 1;
            let (op, time) = (Id::new(), Time::from_ms(seq as i64));
            let (schema, actor) = (Entry::SCHEMA.to_owned(), "Ada".to_owned());
            entries.push(Entry {
                schema,
                seq,
                prev,
                op,
                time,
                actor,
                kind,
                subject,
                evidence,
                signature: None,
            });
        };
        for (index, (tree, run)) in versions.iter().enumerate() {
            push(EntryKind::Register, index + 1, *tree, Some(*run), vec![*run]);
        }
        let (tree, _) = versions[versions.len() - 1];
        push(EntryKind::Promote, versions.len(), tree, None, evidence.to_vec());
        self.histories.push(History::replay(&name(model), &entries).expect("replays"));
    }

    fn lineage(&self) -> Lineage<'_> {
        Lineage::read(&self.store, &self.histories, &|commit| Some(format!("about {commit}"))).expect("reads")
    }
}

fn edges(graph: &Graph) -> Vec<(&str, &str, &str)> {
    graph.edges.iter().map(|edge| (edge.from.as_str(), edge.role.as_str(), edge.to.as_str())).collect()
}

/// raw, the step that prepares it, a version trained on that, one begun with it, an evaluation of the second.
fn chain() -> (Shelf, Digest, [Digest; 2], [Digest; 2], Digest) {
    let mut shelf = Shelf::new();
    let raw = shelf.tree(&[("a.csv", b"1"), ("b.csv", b"2")]);
    let clean = shelf.tree(&[("clean.csv", b"12")]);
    let held_out = shelf.tree(&[("test.csv", b"3")]);
    let step = shelf.run("step", &[("data/raw", raw)], &[("data/mnist", clean)], "aaaa1111");
    let (one, two) =
        (shelf.tree(&[("model.safetensors", b"one")]), shelf.tree(&[("model.safetensors", b"two")]));
    let first = shelf.run("model", &[("mnist", clean)], &[("model", one)], "bbbb2222");
    let second = shelf.run("model", &[("other", held_out), ("digits@1", one)], &[("model", two)], "cccc3333");
    let evaluation = shelf.evaluation(two, held_out);
    shelf.ledger("digits", &[(one, first), (two, second)], &[evaluation]);
    (shelf, step, [raw, clean], [first, second], evaluation)
}

#[test]
fn a_version_leads_to_everything_that_made_it() {
    let (shelf, step, [raw, clean], [first, second], evaluation) = chain();
    let graph = shelf.lineage().why(&Thing::Version(name("digits"), 2)).expect("walks");
    let found = edges(&graph);
    let text = |id: &Digest| id.to_string();
    for (from, role, to) in [
        ("digits@2", "made by", text(&second).as_str()),
        (&text(&second), "begun with", "digits@1"),
        ("digits@1", "made by", &text(&first)),
        (&text(&first), "data", &text(&clean)),
        (&text(&clean), "made by", &text(&step)),
        (&text(&step), "data", &text(&raw)),
        (&text(&step), "code", "aaaa1111"),
        ("digits@2", "evidence", &text(&evaluation)),
    ] {
        assert!(found.contains(&(from, role, to)), "{from} {role} {to}: {found:#?}");
    }
    assert!(found.iter().any(|(from, role, _)| (*from, *role) == ("digits@2", "promoted")), "{found:#?}");
    let node = graph.node("digits@2").expect("is there");
    assert!(node.about.contains("live in production"), "{node:?}");
    assert!(
        graph
            .node(&text(&evaluation))
            .expect("is there")
            .about
            .contains("accuracy 0.9000 (0.8000 to 0.9500)")
    );
    // Each node stands once, and every edge has both its ends.
    let ids: BTreeSet<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids.len(), graph.nodes.len());
    assert!(
        graph.edges.iter().all(|edge| ids.contains(edge.from.as_str()) && ids.contains(edge.to.as_str()))
    );
}

#[test]
fn evidence_leads_to_the_model_and_the_data_but_not_to_other_evidence() {
    let (shelf, _, _, _, evaluation) = chain();
    let graph = shelf.lineage().why(&Thing::Record(evaluation)).expect("walks");
    assert!(
        edges(&graph)
            .iter()
            .any(|(from, role, to)| (*role, *to) == ("model", "digits@2") && *from == graph.root)
    );
    assert!(graph.edges.iter().all(|edge| edge.role != "promoted"));
}

#[test]
fn what_rests_on_a_file_is_found_through_steps_and_fine_tuning() {
    let (shelf, step, [raw, _], [_, second], _) = chain();
    let lineage = shelf.lineage();
    let numbers =
        |impact: &Impact| impact.versions.iter().map(|rests| (rests.version, rests.how)).collect::<Vec<_>>();
    let both = vec![(1, How::Trained), (2, How::Trained)];
    for thing in [
        Thing::Content(Digest::of(b"1")),
        Thing::Content(raw),
        Thing::Record(step),
        Thing::Commit("aaaa1111".into()),
        Thing::Code { path: "prepare.py".into(), commits: vec!["aaaa1111".into()] },
    ] {
        let impact = lineage.impact(&thing).expect("looks");
        assert_eq!(numbers(&impact), both, "{thing:?}");
        assert_eq!((impact.runs, impact.unseen.len()), (3, 0), "{thing:?}");
    }
    let impact = lineage.impact(&Thing::Content(raw)).expect("looks");
    assert_eq!(impact.versions[1].live, [name("production")]);
    assert_eq!(
        (impact.versions[1].through.first(), impact.versions[1].through.last()),
        (Some(&second.to_string()), Some(&raw.to_string()))
    );
    // A version is no news about itself; the one begun with it is.
    assert_eq!(
        numbers(&lineage.impact(&Thing::Version(name("digits"), 1)).expect("looks")),
        [(2, How::Trained)]
    );
    assert_eq!(
        numbers(&lineage.impact(&Thing::Commit("cccc3333".into())).expect("looks")),
        [(2, How::Trained)]
    );
}

#[test]
fn evidence_that_rests_on_data_is_told_apart_from_training() {
    let mut shelf = Shelf::new();
    let (train, test) = (shelf.tree(&[("a", b"1")]), shelf.tree(&[("b", b"2")]));
    let model = shelf.tree(&[("model.safetensors", b"one")]);
    let run = shelf.run("model", &[("mnist", train)], &[("model", model)], "aaaa1111");
    let evaluation = shelf.evaluation(model, test);
    shelf.ledger("digits", &[(model, run)], &[]);
    let lineage = shelf.lineage();
    let impact = lineage.impact(&Thing::Content(Digest::of(b"2"))).expect("looks");
    assert_eq!(impact.versions.len(), 1);
    assert_eq!(
        (impact.versions[0].how, impact.versions[0].through.first()),
        (How::Judged, Some(&evaluation.to_string()))
    );
    assert!(lineage.impact(&Thing::Content(Digest::of(b"elsewhere"))).expect("looks").versions.is_empty());
}

#[test]
fn data_that_are_not_here_are_named_and_never_passed_over() {
    let mut shelf = Shelf::new();
    let gone = Digest::of(b"gone");
    let model = shelf.tree(&[("model.safetensors", b"one")]);
    let run = shelf.run("model", &[("mnist", gone)], &[("model", model)], "aaaa1111");
    shelf.ledger("digits", &[(model, run)], &[]);
    let lineage = shelf.lineage();
    let impact = lineage.impact(&Thing::Content(Digest::of(b"some file"))).expect("looks");
    assert_eq!(impact.unseen, BTreeMap::from([(gone, "mnist".to_owned())]));
    let graph = lineage.why(&Thing::Version(name("digits"), 1)).expect("walks");
    assert!(graph.node(&gone.to_string()).expect("is there").missing);
}

#[test]
fn beginnings_are_found_and_doubts_are_told() {
    let (shelf, _, [raw, _], [first, _], _) = chain();
    let lineage = shelf.lineage();
    assert_eq!(lineage.find(&first.to_string()), Ok(Thing::Record(first)));
    assert_eq!(lineage.find(&first.to_string()[..15]), Ok(Thing::Record(first)));
    assert_eq!(lineage.find(&raw.hex()[..12]), Ok(Thing::Content(raw)));
    assert_eq!(lineage.find("cccc3"), Ok(Thing::Commit("cccc3333".into())));
    let run: Record<Run> = shelf.store.record(&first).expect("reads");
    assert_eq!(lineage.find(&run.body.run.to_string()), Ok(Thing::Record(first)));
    for wrong in ["", "zzzz", "b3:zzzzzz", "../../etc", "a\u{1b}[31m"] {
        assert!(matches!(lineage.find(wrong), Err(LineageError::Unknown(_))), "{wrong}");
    }
    for short in ["b3:", "b3:ab", "b3:9b5"] {
        assert_eq!(lineage.find(short), Err(LineageError::Short(short.to_owned())));
    }
    // All identifiers of a day begin alike.
    assert!(matches!(lineage.find(&run.body.run.to_string()[..5]), Err(LineageError::Ambiguous { .. })));
    assert_eq!(lineage.newest_run("nobody"), None);
}

#[test]
fn digests_of_kinds_without_words_here_are_edges_too() {
    let tree = Digest::of(b"tree");
    let record: AnyRecord = serde_json::from_value(json!({
        "schema": "mlp/record/1", "kind": "command", "inputs": [tree.to_string()],
        "body": {"of": {"model": tree.to_string(), "others": [Digest::of(b"x").to_string()]}, "b3": "b3:no", "n": Value::Null},
    }))
    .expect("is a record");
    let found: Vec<(String, Digest)> = links(&record).into_iter().map(|link| (link.role, link.to)).collect();
    assert_eq!(found, [("of.model".to_owned(), tree), ("of.others".to_owned(), Digest::of(b"x"))]);
}
