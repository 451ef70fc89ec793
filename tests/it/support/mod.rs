//! What the tests share: the program under test, throw-away projects, real servers.

pub(crate) mod faulted;
pub(crate) mod files;
pub(crate) mod hosts;
pub(crate) mod http;
pub(crate) mod http_server;
pub(crate) mod lifecycle;
pub(crate) mod machines;
pub(crate) mod project;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod servers;
pub(crate) mod serving;
pub(crate) mod slurm;
pub(crate) mod team;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command for the program under test in `dir`, with an environment of its own: no user configuration, a fixed identity.
pub(crate) fn mlp(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlp"));
    command
        .current_dir(dir)
        .env("HOME", dir)
        .env("XDG_CONFIG_HOME", dir.join(".xdg-config"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", gitconfig(dir))
        .env("NO_COLOR", "1")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("MLP_THREADS");
    let ssh = dir.join(".ssh-config");
    if ssh.exists() {
        command.env("MLP_SSH_CONFIG", ssh);
    }
    command
}

/// A program of others that tests/setup.sh puts below `target/`.
pub(crate) fn theirs(program: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(program);
    assert!(path.exists(), "`{}` is not there: run tests/setup.sh", path.display());
    Command::new(path)
}

/// Panics with what a checker says of a file, if it says that it is wrong.
pub(crate) fn accepted(checker: &mut Command, file: &Path) {
    let output = checker.arg(file).output().expect("starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The output of `mlp ARGS` in `dir`; panics with all of it unless the exit status is `code`.
pub(crate) fn run(dir: &Path, args: &[&str], code: i32) -> Output {
    let output = mlp(dir).args(args).output().expect("mlp starts");
    assert_eq!(
        output.status.code(),
        Some(code),
        "mlp {args:?}\n--- stdout\n{}\n--- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The stdout of `mlp ARGS` in `dir`, which must succeed.
pub(crate) fn ok(dir: &Path, args: &[&str]) -> String {
    String::from_utf8(run(dir, args, 0).stdout).expect("stdout is UTF-8")
}

/// The stderr of `mlp ARGS` in `dir`, which must exit with `code`.
pub(crate) fn refused(dir: &Path, args: &[&str], code: i32) -> String {
    String::from_utf8_lossy(&run(dir, args, code).stderr).into_owned()
}

/// How often to do what is done again and again: `long` if `MLP_TEST_LONG` is set, else `quick`.
pub(crate) fn rounds(quick: u32, long: u32) -> u32 {
    if std::env::var_os(mlp::base::variables::TEST_LONG).is_some() { long } else { quick }
}

fn gitconfig(dir: &Path) -> PathBuf {
    let path = dir.join(".test-gitconfig");
    if !path.exists() {
        std::fs::write(
            &path,
            "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n",
        )
        .expect("writes git configuration");
    }
    path
}
