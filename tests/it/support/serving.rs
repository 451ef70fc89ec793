//! A project with a tiny trained model that is live in `production`, and a server for it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use mlp::base::{Digest, Entry, EntryKind, Id, Name, Null, Subject, Time};
use mlp::infrastructure::store::{Ledger, LedgerHome, Local, Node, NodeKind, Tree};
use mlp::platform::data::{Examples, Inputs, Parts, Targets};
use mlp::platform::monitor::{SKETCHES, Sketches};
use mlp::platform::train::{self, Control, ModelSpec};
use tempfile::TempDir;

use super::mlp;

/// Side of the images.
pub(crate) const SIDE: usize = 8;
/// Names of the classes.
pub(crate) const CLASSES: [&str; 3] = ["left", "middle", "right"];

/// `mlp.yaml` of the project.
const MANIFEST: &str = "\
mlp: 1
project: {name: stripes, id: 01jd3q0000000000000000000a, profile: research}
data:
  stripes: {path: data/stripes, format: idx}
models:
  stripes:
    data: stripes
    input: {shape: [1, 8, 8]}
    network: [flatten, {linear: 16}, relu, {linear: 3}]
    train: {epochs: 20, batch_size: 16, optimizer: {adamw: {lr: 0.01}}}
stages:
  production: {}
serve: {max_body: 65536}
";

/// An image of class `class`, unlike those with another `seed`.
pub(crate) fn image(class: usize, seed: usize) -> Vec<u8> {
    let mut pixels = vec![0; SIDE * SIDE];
    for row in 0..SIDE {
        for column in 0..SIDE {
            let inside = column * CLASSES.len() / SIDE == class;
            let noise = (row * 31 + column * 17 + seed * 101 + row * column * seed) % 60;
            pixels[row * SIDE + column] = (if inside { 190 } else { 0 } + noise) as u8;
        }
    }
    pixels
}

/// The image as a PNG file.
pub(crate) fn png(pixels: &[u8]) -> Vec<u8> {
    let image = image::GrayImage::from_raw(SIDE as u32, SIDE as u32, pixels.to_vec()).expect("has its size");
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

fn examples(count: usize, from: usize) -> Examples {
    let images: Vec<u8> = (0..count).flat_map(|index| image(index % CLASSES.len(), from + index)).collect();
    let classes = (0..count).map(|index| (index % CLASSES.len()) as u32).collect();
    Examples {
        shape: vec![1, SIDE, SIDE],
        inputs: Inputs::U8(Arc::new(images)).into(),
        targets: Targets::Class(Arc::new(classes)),
        keys: Arc::new((from as u64..(from + count) as u64).collect()),
        ..Examples::default()
    }
}

/// The files of the trained model; trained once for all tests.
pub(crate) fn trained() -> &'static [(&'static str, Vec<u8>); 3] {
    static FILES: OnceLock<[(&str, Vec<u8>); 3]> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = TempDir::new().expect("makes a folder");
        let spec: ModelSpec = serde_json::from_value(serde_json::json!({
            "data": "stripes",
            "input": {"shape": [1, SIDE, SIDE]},
            "network": ["flatten", {"linear": 16}, "relu", {"linear": 3}],
            "train": {"epochs": 20, "batch_size": 16, "optimizer": {"adamw": {"lr": 0.01}}},
        }))
        .expect("is a model");
        let parts = Parts {
            classes: CLASSES.map(str::to_owned).to_vec(),
            train: examples(120, 0),
            val: examples(30, 1000),
            test: examples(30, 2000),
            ..Parts::default()
        };
        let control = Control { stop: &|| false, fence: &|| true };
        let (checkpoints, out) = (folder.path().join("checkpoints"), folder.path().join("out"));
        for path in [&checkpoints, &out] {
            std::fs::create_dir_all(path).expect("makes folders");
        }
        let outcome = train::train(&spec, &parts, None, &checkpoints, &out, &control, &Null).expect("trains");
        let model = outcome.model.expect("finished");
        let loaded = train::Model::load(&model).expect("loads");
        let sketches = Sketches::of(&loaded, &parts).expect("has sketches").to_bytes();
        let [json, weights] = ["model.json", "model.safetensors"]
            .map(|name| (name, std::fs::read(model.join(name)).expect("the trained model has its files")));
        [json, weights, (SKETCHES, sketches)]
    })
}

/// A version that differs from the trained one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Other {
    /// It says the same.
    Same,
    /// It takes `left` for `right` and the other way round.
    Mirrored,
    /// It fails on every image that is not black: its numbers are too large.
    Overflowing,
    /// It takes long for an answer that says nothing.
    Slow,
}

/// Units of a layer that takes long.
const WIDE: usize = 2048;

/// The files of another version.
fn other(kind: Other) -> Vec<(&'static str, Vec<u8>)> {
    let [(json_name, json), (weights_name, weights), sketches] = trained().clone();
    let mut description: serde_json::Value = serde_json::from_slice(&json).expect("is JSON");
    let mut weights = weights;
    match kind {
        Other::Same => description["framework"] = "another".into(),
        Other::Mirrored => description["classes"] = serde_json::json!(["right", "middle", "left"]),
        Other::Slow => {
            let shapes = [vec![WIDE, SIDE * SIDE], vec![WIDE], vec![WIDE, WIDE], vec![WIDE]];
            let shapes = [&shapes[..], &[vec![CLASSES.len(), WIDE], vec![CLASSES.len()]]].concat();
            let (mut head, mut end) = (serde_json::Map::new(), 0);
            for (index, shape) in shapes.iter().enumerate() {
                let name = format!("layers.{}.{}", index / 2 * 2 + 2, ["weight", "bias"][index % 2]);
                let start = end;
                end += 4 * shape.iter().product::<usize>();
                let tensor =
                    serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
                head.insert(name, tensor);
            }
            let head = serde_json::Value::Object(head).to_string();
            weights = (head.len() as u64).to_le_bytes().to_vec();
            weights.extend(head.as_bytes());
            weights.resize(weights.len() + end, 0);
            description["network"] = serde_json::json!(["flatten", {"linear": WIDE}, "relu", {"linear": WIDE}, "relu", {"linear": 3}]);
            description["weights"]["digest"] = serde_json::json!(Digest::of(&weights));
            description["weights"]["parameters"] = (end / 4).into();
        }
        Other::Overflowing => {
            let length = u64::from_le_bytes(*weights.first_chunk().expect("has a header")) as usize;
            let head: serde_json::Value =
                serde_json::from_slice(&weights[8..8 + length]).expect("the header is JSON");
            // Each unit of the first layer looks at one pixel of the first row; the second layer lets any light overflow.
            for (shape, value) in [([16, SIDE * SIDE], 1f32), ([CLASSES.len(), 16], 3e38)] {
                let tensors = head.as_object().expect("is an object").values();
                let wanted = serde_json::json!(shape);
                let tensor =
                    tensors.into_iter().find(|tensor| tensor["shape"] == wanted).expect("has the layer");
                let at = |index: usize| tensor["data_offsets"][index].as_u64().expect("an offset") as usize;
                let (start, end) = (8 + length + at(0), 8 + length + at(1));
                for (index, weight) in weights[start..end].chunks_exact_mut(4).enumerate() {
                    let (unit, input) = (index / shape[1], index % shape[1]);
                    let looks = shape[1] == 16 || input == unit % SIDE;
                    weight.copy_from_slice(&(if looks { value } else { 0.0 }).to_le_bytes());
                }
            }
            description["weights"]["digest"] = serde_json::json!(Digest::of(&weights));
        }
    }
    vec![(json_name, serde_json::to_vec(&description).expect("is JSON")), (weights_name, weights), sketches]
}

/// The project.
pub(crate) struct Project {
    folder: TempDir,
    /// Tree of version 1.
    pub(crate) tree: Digest,
}

impl Project {
    /// A project whose model `stripes` has version 1, live in `production` if `live`.
    pub(crate) fn new(live: bool) -> Self {
        let folder = TempDir::new().expect("makes a folder");
        std::fs::write(folder.path().join("mlp.yaml"), MANIFEST).expect("writes the project file");
        std::fs::write(folder.path().join(".gitignore"), ".test-gitconfig\n").expect("writes");
        git(folder.path(), &["init", "-q", "-b", "main"]);
        git(folder.path(), &["add", "mlp.yaml", ".gitignore"]);
        git(
            folder.path(),
            &["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "begin"],
        );
        let project = Self { tree: Digest::of(b""), folder };
        let tree = project.put(trained());
        project.append(EntryKind::Register, 1, tree, None);
        if live {
            project.append(EntryKind::Promote, 1, tree, Some("production"));
        }
        Self { tree, ..project }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The local store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.path().join(".git/mlp/store")
    }

    /// Stores a folder of files; returns its tree.
    pub(crate) fn put(&self, files: &[(&str, Vec<u8>)]) -> Digest {
        let store = Local::open(&self.store()).expect("opens the store");
        let mut writer = store.writer().expect("writes");
        let mut tree = Tree::default();
        for (name, bytes) in files {
            let id = writer.blob(bytes).expect("adds a file");
            let (name, size) = (name.as_bytes().to_vec(), bytes.len() as u64);
            tree.nodes.push(Node { name, kind: NodeKind::File, size, id });
        }
        let id = writer.tree(&tree).expect("adds the folder");
        writer.finish().expect("is durable");
        id
    }

    /// Appends a ledger entry.
    pub(crate) fn append(&self, kind: EntryKind, version: u64, tree: Digest, stage: Option<&str>) {
        self.append_to("stripes", kind, version, tree, stage);
    }

    fn append_to(&self, model: &str, kind: EntryKind, version: u64, tree: Digest, stage: Option<&str>) {
        let name = |text: &str| text.parse::<Name>().expect("is a name");
        let home = LedgerHome::Local(self.store());
        let project: Id = "01jd3q0000000000000000000a".parse().expect("is an identifier");
        let ledger = Ledger { home: &home, project, model: name(model) };
        let entries = ledger.entries().expect("reads the ledger");
        let entry = Entry {
            schema: Entry::SCHEMA.to_owned(),
            seq: entries.len() as u64 + 1,
            prev: entries.last().map(Entry::digest),
            op: Id::new(),
            time: Time::now(),
            actor: "Ada <ada@example.org>".to_owned(),
            kind,
            subject: Subject {
                model: name(model),
                version,
                tree,
                run: None,
                stage: stage.map(name),
                commit: None,
                reason: None,
            },
            evidence: Vec::new(),
            signature: None,
        };
        ledger.append(&entry).expect("appends");
    }

    /// Registers another version; returns its tree.
    pub(crate) fn register(&self, version: u64, kind: Other) -> Digest {
        let tree = self.put(&other(kind));
        self.append(EntryKind::Register, version, tree, None);
        tree
    }

    /// Makes a version live in `production`.
    pub(crate) fn promote(&self, version: u64, tree: Digest) {
        self.append(EntryKind::Promote, version, tree, Some("production"));
    }

    /// Registers version 1 of another model, which says the same as the first; returns its tree.
    pub(crate) fn add_model(&self, model: &str) -> Digest {
        let tree = self.put(&other(Other::Same));
        self.append_to(model, EntryKind::Register, 1, tree, None);
        tree
    }

    /// Adds lines to `serve:` of the project file, which is not committed.
    pub(crate) fn settings(&self, serve: &str) {
        let text =
            MANIFEST.replace("serve: {max_body: 65536}", &format!("serve: {{max_body: 65536, {serve}}}"));
        self.write("mlp.yaml", text.as_bytes());
    }

    /// Writes a file below the project's folder.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).expect("writes a file");
        path
    }

    /// A server for `reference` on a free port.
    pub(crate) fn serve(&self, reference: &str) -> Server {
        self.serve_with(&[reference])
    }

    /// A server with these arguments on a free port.
    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Server {
        Server::start(mlp(self.path()).arg("serve").args(arguments).args(["--port", "0", "--json"]))
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").current_dir(folder).args(arguments).status().expect("git starts");
    assert!(status.success(), "git {arguments:?}");
}

/// A server process, killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it said when it was ready.
    pub(crate) ready: serde_json::Value,
}

impl Server {
    /// Starts what `command` says and waits until it answers.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("has stdout"));
        stdout.read_line(&mut line).expect("reads the ready line");
        let ready: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the ready line is not JSON ({error}): {line:?}"));
        let address = ready["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { child, address, ready }
    }

    /// The value of a line of `/metrics`.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        let answer = super::http::get(self.address, "/metrics");
        let text = String::from_utf8(answer.body).expect("is text");
        text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
    }

    /// Tells it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().expect("ends").code(), Some(0));
    }

    /// Sends a signal by its name: `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(status.success(), "kill -{name}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
