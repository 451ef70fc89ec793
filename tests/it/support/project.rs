//! Throw-away projects for tests of jobs, steps, runs and training.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::mlp;

/// A project in a folder of its own, in a fresh git repository.
pub(crate) struct Project {
    dir: TempDir,
}

impl Project {
    /// A project whose `mlp.yaml` ends with `body`.
    pub(crate) fn new(body: &str) -> Self {
        let project = Self { dir: TempDir::new().expect("makes a folder") };
        let head = "mlp: 1\nproject: {name: test, id: 01jd3q0000000000000000000a, profile: research}\n";
        project.write("mlp.yaml", &format!("{head}{body}"));
        project.write(".gitignore", "/made/\n/.*\n/data/*\n!/data/*.mlp\n");
        project.git(&["init", "-q", "-b", "main"]);
        project
    }

    /// A table of two classes, added as a version, and a small network.
    pub(crate) fn of_points(epochs: u32) -> Self {
        let project = Self::new(&format!(
            "data:\n  points: {{path: data/points.csv, format: csv, target: class, split: {{val: 0.2, test: 0.2}}}}\n\
         models:\n  small:\n    data: points\n    input: {{shape: [2]}}\n    \
         network: [{{linear: 32}}, relu, {{dropout: 0.2}}, {{linear: 2}}]\n    \
         train: {{epochs: {epochs}, batch_size: 8, seed: 3, optimizer: {{adamw: {{lr: 0.01}}}}}}\n"
        ));
        let mut text = "x,y,class\n".to_owned();
        for n in 0..300_u32 {
            let class = n % 2;
            let noise = |seed: u32| f64::from(n.wrapping_mul(seed) % 97) / 97.0;
            let (x, y) = (f64::from(class) + noise(7919), noise(104_729) - f64::from(class));
            text += &format!("{x:.4},{y:.4},{}\n", ["red", "green"][class as usize]);
        }
        project.write("data/points.csv", &text);
        super::ok(project.path(), &["data", "add", "points"]);
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes the folder");
        std::fs::write(path, text).expect("writes");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).expect("reads")
    }

    pub(crate) fn git(&self, args: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(args)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status();
        assert!(status.expect("git starts").success(), "git {args:?}");
    }

    /// The report (the last line) of `mlp ARGS --json`, which must exit with `code`.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let output = super::run(self.path(), &[args, &["--json"]].concat(), code);
        let text = String::from_utf8(output.stdout).expect("stdout is UTF-8");
        let last = text.lines().last().unwrap_or_else(|| panic!("mlp {args:?} said nothing"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("mlp {args:?}: {error}\n{text}"))
    }

    /// Starts `mlp ARGS` and does not wait.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        mlp(self.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mlp starts")
    }

    /// The newest job folder.
    pub(crate) fn job(&self) -> PathBuf {
        let jobs = self.path().join(".git/mlp/jobs");
        wait_for("a job", || {
            let mut names: Vec<PathBuf> = std::fs::read_dir(&jobs)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
                .collect();
            names.sort();
            names.pop()
        })
    }

    /// A file of the newest job folder, once it is there.
    pub(crate) fn job_file(&self, name: &str) -> Value {
        let path = self.job().join(name);
        wait_for(name, || serde_json::from_slice(&std::fs::read(&path).ok()?).ok())
    }

    /// Waits until a file of the project has some text.
    pub(crate) fn wait_for_file(&self, path: &str) -> String {
        let path = self.path().join(path);
        wait_for(&path.display().to_string(), || {
            std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
        })
    }

    /// Waits until the newest run is in this state.
    pub(crate) fn wait_for_state(&self, state: &str) -> Value {
        wait_for(state, || {
            let run = self.json(&["runs", "ls", "-n", "1"], 0)["runs"][0].clone();
            (run["state"] == state).then_some(run)
        })
    }
}

/// Asks until there is an answer, for at most a minute.
pub(crate) fn wait_for<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal (`INT`, `KILL`) to a process.
pub(crate) fn signal(name: &str, pid: i64) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill starts").success(), "kill -{name} {pid}");
}

/// Whether a process lives (a corpse does not).
pub(crate) fn alive(pid: i64) -> bool {
    let output =
        Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output().expect("ps starts");
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
