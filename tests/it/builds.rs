//! Which build of mlp is brought to a host: the first that starts there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::support::hosts::Hosts;
use super::support::mlp;
use super::support::project::Project;
use super::support::servers::Server;

const LIBRARY: &str = "libgcc_s.so.1";
/// As long as the other, and nowhere.
const ABSENT: &str = "libgcc_x.so.1";

fn executable(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("makes a folder");
    std::fs::write(path, bytes).expect("writes");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("makes it executable");
}

fn program() -> Vec<u8> {
    std::fs::read(env!("CARGO_BIN_EXE_mlp")).expect("reads mlp")
}

/// mlp as it was built on a newer machine: it wants a library that others do not have.
fn newer() -> Vec<u8> {
    let mut bytes = program();
    let places: Vec<usize> = bytes
        .windows(LIBRARY.len())
        .enumerate()
        .filter(|(_, found)| *found == LIBRARY.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "mlp is linked to {LIBRARY}");
    for place in places {
        bytes[place..place + ABSENT.len()].copy_from_slice(ABSENT.as_bytes());
    }
    bytes
}

/// `mlp ARGS` by the program at `path`, which finds the library that hosts do not have.
fn newer_mlp(project: &Project, path: &Path, args: &[&str]) -> Output {
    let told = Command::new("ldd").arg(env!("CARGO_BIN_EXE_mlp")).output().expect("ldd starts");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let library = told.split_whitespace().find(|word| word.starts_with('/') && word.ends_with(LIBRARY));
    let folder = path.parent().expect("a parent");
    std::fs::copy(library.expect("a library"), folder.join(ABSENT)).expect("copies");
    let settings = mlp(project.path());
    let mut command = Command::new(path);
    for (name, value) in settings.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .args(args)
        .current_dir(project.path())
        .env("LD_LIBRARY_PATH", folder)
        .output()
        .expect("mlp starts")
}

fn agents(project: &Project) -> PathBuf {
    project.path().join(".cache/mlp/agents").join(env!("CARGO_PKG_VERSION"))
}

fn build(output: &Output) -> (String, String) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(said.lines().last().expect("a report")).expect("JSON");
    let build = report["build"].as_str().unwrap_or_else(|| panic!("no build in {report}")).to_owned();
    (build, said + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_host_on_which_this_build_does_not_start_gets_the_portable_one() {
    let hosts = Hosts::new();
    let project = Project::of_points(1);
    hosts.config(project.path(), &["h1"]);
    let own = project.path().join(".newer/mlp");
    executable(&own, &newer());
    let root = hosts.root("h1").display().to_string();
    let add = ["host", "add", "h1", "--ssh", "loopback", "--root", &root, "--json"];
    let refused = newer_mlp(&project, &own, &add);
    let said =
        String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("compute::agent") && said.contains(ABSENT), "{said}");
    let name = format!("mlp-{}-linux-musl", std::env::consts::ARCH);
    assert!(said.contains(&format!("{}/{name}", agents(&project).display())), "{said}");

    executable(&agents(&project).join(&name), &program());
    let (build_there, said) = build(&newer_mlp(&project, &own, &add));
    assert_eq!(build_there, name);
    assert!(said.contains("this build does not start on h1") && said.contains(ABSENT), "{said}");
    let (build_there, said) = build(&newer_mlp(&project, &own, &add));
    assert_eq!(build_there, name);
    assert!(!said.contains("bringing mlp"), "it is known what runs there: {said}");
    let trained = newer_mlp(&project, &own, &["train", "--on", "h1", "--json"]);
    let said = String::from_utf8_lossy(&trained.stdout).into_owned();
    assert!(trained.status.success() && said.contains("\"state\":\"succeeded\""), "{said}");
}

#[test]
fn a_build_that_drives_gpus_is_for_hosts_with_a_driver_on_which_it_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    executable(&folder.path().join("nvidia-smi"), b"#!/bin/sh\n");
    let path = std::env::var("PATH").unwrap_or_default();
    let with_driver =
        Hosts { server: Server::sshd_with(&format!("SetEnv PATH={}:{path}\n", folder.path().display())) };
    let without = Hosts::new();
    let name = format!("mlp-{}-linux-cuda", std::env::consts::ARCH);
    let added = |hosts: &Hosts, cuda: &[u8]| {
        let project = Project::new("");
        executable(&agents(&project).join(&name), cuda);
        hosts.config(project.path(), &["h1"]);
        let root = hosts.root("h1").display().to_string();
        let add = ["host", "add", "h1", "--ssh", "loopback", "--root", &root, "--json"];
        build(&mlp(project.path()).args(add).output().expect("mlp starts")).0
    };
    // As good as another build: what stands behind the end of a program is not read.
    let other = [program(), b"cuda".to_vec()].concat();
    assert_eq!(added(&without, &other), "this build");
    assert_eq!(added(&with_driver, &newer()), "this build", "it does not start there");
    assert_eq!(added(&with_driver, &other), name);
}
