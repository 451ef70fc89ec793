//! A project whose runs and evidence are filed through the library: judging and promoting without training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlp::base::{
    Digest, Estimate, Evaluation, ExpectationOutcome, Expectations, Id, JobState, Leakage, Name, Record, Run,
    RunEnd, Slice, Time,
};
use mlp::infrastructure::git::Repo;
use mlp::infrastructure::store::{Local, Node, NodeKind, Tree};
use mlp::platform::data::Dataset;
use mlp::platform::project::Project as Opened;
use mlp::platform::run::publish;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{mlp, run};

/// The identifier of the project.
pub(crate) const ID: &str = "01jd3q0000000000000000000b";

/// The project file, with these lines at its end.
fn manifest(rest: &str) -> String {
    format!(
        "mlp: 1
project:
  name: digits
  id: {ID}
  profile: research
  roles: {{model: [max], service: [sam]}}
data:
  mnist:
    path: data/mnist
    format: idx
    expect: [{{rows: {{min: 4}}}}]
models:
  digits:
    data: mnist
    input: {{shape: [1, 28, 28]}}
    network: [flatten, {{linear: 10}}]
    card: card.md
{rest}"
    )
}

/// A project in a folder of its own, committed on `main`.
pub(crate) struct Lab {
    folder: TempDir,
    /// Whether its weights are a file of tensors, or only called so.
    tensors: bool,
}

/// The stages of most tests: a floor in staging, nothing in production.
pub(crate) const FLOOR: &str = "stages:
  candidate: {}
  staging: {gates: {floor: {metric: {name: accuracy, min: 0.9}}}}
  production: {}
";

impl Lab {
    /// A project with these stages.
    pub(crate) fn new(rest: &str) -> Self {
        let lab = Self::uncommitted(rest);
        lab.git(&["add", "-A"]);
        lab.git(&["commit", "-qm", "Begin"]);
        lab
    }

    /// The same, before its first commit.
    pub(crate) fn uncommitted(rest: &str) -> Self {
        let lab = Self { folder: TempDir::new().expect("makes a folder"), tensors: false };
        std::fs::write(lab.path().join("mlp.yaml"), manifest(rest)).expect("writes");
        std::fs::write(lab.path().join(".gitignore"), "/.test-gitconfig\n/keys/\n/.xdg-config/\n")
            .expect("writes");
        std::fs::create_dir(lab.path().join("keys")).expect("makes");
        drop(mlp(lab.path()));
        lab.git(&["init", "-q", "-b", "main"]);
        lab
    }

    /// The same, whose weights are files of tensors.
    pub(crate) fn with_tensors(self) -> Self {
        Self { tensors: true, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.path().join(".test-gitconfig"))
            .args(args)
            .output()
            .expect("git starts");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Writes a file and commits it.
    pub(crate) fn commit(&self, path: &str, text: &str) {
        std::fs::write(self.path().join(path), text).expect("writes");
        self.git(&["add", path]);
        self.git(&["commit", "-qm", path]);
    }

    /// Changes the stages on the trust branch.
    pub(crate) fn rules(&self, rest: &str) {
        self.commit("mlp.yaml", &manifest(rest));
    }

    pub(crate) fn store(&self) -> Local {
        Local::open(&self.path().join(".git/mlp/store")).expect("opens")
    }

    /// The folder of the ledger of `digits`.
    pub(crate) fn ledger(&self) -> PathBuf {
        let key = &Digest::of(b"digits").hex()[..16];
        self.path().join(".git/mlp/store/ledger").join(ID).join(key)
    }

    /// The one line of JSON that `mlp ARGS --json` answers.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        let output = run(self.path(), &args, code);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// Files a finished run of `digits` that made the files `seed`, from the code as it is now; returns its record.
    pub(crate) fn run(&self, seed: u64) -> Digest {
        self.run_of(seed, |_| ())
    }

    /// The same, with whatever else is to be in its record.
    pub(crate) fn run_of(&self, seed: u64, change: impl FnOnce(&mut Run)) -> Digest {
        let store = self.store();
        let mut writer = store.writer().expect("writes");
        let bytes = if self.tensors { weights(seed) } else { format!("weights {seed}").into_bytes() };
        let file = Node {
            name: b"model.safetensors".to_vec(),
            kind: NodeKind::File,
            size: bytes.len() as u64,
            id: writer.blob(&bytes).expect("adds"),
        };
        let tree = writer.tree(&Tree { nodes: vec![file] }).expect("adds");
        writer.finish().expect("finishes");
        let now = Time::now();
        let end = RunEnd {
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
        };
        let mut body = Run {
            run: Id::new(),
            name: name("digits"),
            task: "model".into(),
            plan: Digest::of(b"plan"),
            sweep: None,
            git: Repo::discover(self.path()).expect("opens").state().expect("reads"),
            data: BTreeMap::from([("mnist".to_owned(), data())]),
            config: json!({}),
            dataset: None,
            seed: Some(seed),
            device: "cpu".into(),
            binary: Digest::of(b"binary"),
            host: "here".into(),
            end,
            cost: None,
            metrics: BTreeMap::from([("val.accuracy".to_owned(), 0.9)]),
            output: None,
            outputs: BTreeMap::from([("model".to_owned(), tree)]),
        };
        change(&mut body);
        publish(&store, &Record::new("Ada <ada@example.org>", vec![], body), "digits", &[tree])
            .expect("publishes")
    }

    /// Files evidence about the data, and an evaluation of `run` that gets the first `right` of 100 examples right.
    pub(crate) fn evidence(&self, run: Digest, right: usize) -> Digest {
        let store = self.store();
        let tree = store.record::<Run>(&run).expect("reads").body.outputs["model"];
        let project = Opened::open(self.path()).expect("opens");
        let dataset: Dataset = project.dataset("mnist").expect("is there");
        let expected = Expectations {
            data: name("mnist"),
            tree: data(),
            outcomes: vec![ExpectationOutcome {
                expectation: "rows: {min: 4}".into(),
                met: true,
                observed: "100 rows".into(),
            }],
        };
        publish(&store, &Record::new("Ada", vec![], expected), "mnist", &[]).expect("publishes");
        let leakage = Leakage {
            data: name("mnist"),
            tree: data(),
            settings: dataset.settings(),
            overlap: 0,
            examples: 100,
            samples: vec![],
            near: None,
        };
        publish(&store, &Record::new("Ada", vec![], leakage), "mnist", &[]).expect("publishes");
        let line = |index: usize| {
            let label = if index < right { "1" } else { "2" };
            json!({"key": format!("{index:04x}"), "label": label, "truth": "1"}).to_string() + "\n"
        };
        let predictions: String = (0..100).map(line).collect();
        let value = right as f64 / 100.0;
        let metrics = BTreeMap::from([(
            "accuracy".to_owned(),
            Estimate { value, lower: value - 0.02, upper: value + 0.02 },
        )]);
        let body = Evaluation {
            model: tree,
            data: name("mnist"),
            tree: data(),
            settings: dataset.settings(),
            part: "test".into(),
            examples: 100,
            metrics: metrics.clone(),
            slices: vec![Slice { by: "label".into(), value: "1".into(), examples: 100, metrics }],
            confusion: None,
            per_class: vec![],
            calibration: vec![],
            predictions: store.put(predictions.as_bytes()).expect("stores"),
        };
        publish(&store, &Record::new("Ada", vec![], body), "mnist", &[]).expect("publishes")
    }

    /// A run with evidence; registers it and returns its number.
    pub(crate) fn version(&self, right: usize) -> u64 {
        let count = std::fs::read_dir(self.ledger()).map_or(0, Iterator::count);
        let run = self.run(count as u64);
        self.evidence(run, right);
        let id = self.store().record::<Run>(&run).expect("reads").body.run.to_string();
        self.json(&["model", "register", "digits", "--run", &id], 0)["version"].as_u64().expect("is a number")
    }

    /// The private key of `who`, made on first use.
    pub(crate) fn key(&self, who: &str) -> String {
        let path = self.path().join("keys").join(who);
        if !path.exists() {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
            assert!(made.expect("ssh-keygen starts").success());
        }
        path.to_str().expect("is text").to_owned()
    }

    /// Makes these people the signers of the project: (principal, options).
    pub(crate) fn signers(&self, people: &[(&str, &str)]) {
        let line = |(who, options): &(&str, &str)| {
            let public = std::fs::read_to_string(format!("{}.pub", self.key(who))).expect("reads");
            format!("{who} {options} {public}")
        };
        let text: String = people.iter().map(line).collect();
        std::fs::create_dir_all(self.path().join(".mlp")).expect("makes");
        self.commit(".mlp/allowed_signers", &text);
    }
}

/// A file of weights without a tensor, another for each seed.
fn weights(seed: u64) -> Vec<u8> {
    let header = json!({"__metadata__": {"what": format!("weights {seed}")}}).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

fn name(text: &str) -> Name {
    text.parse().expect("is a name")
}

/// The dataset's tree in all runs.
fn data() -> Digest {
    Digest::of(b"data")
}

/// Flips one bit in the middle of a file.
pub(crate) fn flip(path: &Path) {
    let size = std::fs::metadata(path).expect("is there").len();
    flip_at(path, size as usize / 2);
}

/// Flips one bit in a pack where its objects are: what ends a pack is looked at by `fsck` alone.
pub(crate) fn flip_object(pack: &Path) {
    let size = std::fs::metadata(pack).expect("is there").len();
    flip_at(pack, size as usize / 8);
}

fn flip_at(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("reads");
    bytes[at] ^= 1;
    let mut permissions = std::fs::metadata(path).expect("is there").permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions).expect("sets");
    std::fs::write(path, bytes).expect("writes");
}
