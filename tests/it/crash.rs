//! The store through kills at any moment and damage on the disk: nothing acknowledged is lost, nothing wrong is written.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use super::crash_points::{Collection, Push, pull_of, pulled};
use super::support::faulted::{Case, Team};
use super::support::files::{Files, noise, put_back, read, read_data, same, write};
use super::support::project::Project;
use super::support::{mlp, ok, refused, rounds};

const FILES: usize = 2000;

fn project() -> Project {
    let project = Project::new("data:\n  pets: {path: data/pets, format: images}\n");
    project.write(".gitignore", "/.*\n");
    project
}

/// Many small files and a large one, all of them new in each round.
fn content(round: u32) -> Files {
    let small = (0..FILES).map(|at| {
        let path = PathBuf::from(format!("class{}/{at}.txt", at % 7));
        (path, format!("round {round}, file {at}").into_bytes())
    });
    small.chain([("large.bin".into(), noise(&format!("large {round}"), 5_000_000))]).collect()
}

#[test]
fn an_add_that_is_killed_at_any_moment_loses_nothing_and_is_done_again() {
    let all = rounds(8, 200);
    let project = project();
    let (root, data) = (project.path(), project.path().join("data/pets"));
    let commit = |message: &str| {
        project.git(&["add", "-A"]);
        project.git(&["commit", "-qm", message]);
    };
    write(&data, &content(0));
    let begun = Instant::now();
    ok(root, &["data", "add", "pets"]);
    let whole = begun.elapsed();
    commit("0");
    // Where the versions acknowledged so far are looked at.
    let other = tempfile::tempdir().expect("makes a folder");
    let tree = other.path().join("tree");
    project.git(&["worktree", "add", "-q", "--detach", &tree.display().to_string(), "HEAD"]);
    let mut killed = 0;
    for round in 1..=all {
        let files = content(round);
        write(&data, &files);
        let mut child = mlp(root)
            .args(["data", "add", "pets"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // Spread over the whole of it, in no order.
        std::thread::sleep(whole * (round * 5 % all) / all);
        let _ = child.kill();
        killed += u32::from(child.wait().expect("ends").signal() == Some(9));
        same(&read(&data), &files, "the user's files after a kill");

        ok(&tree, &["data", "checkout", "pets"]);
        same(&read(&tree.join("data/pets")), &content(round - 1), "the version before a kill");

        ok(root, &["data", "add", "pets"]);
        let status = project.json(&["data", "status", "pets"], 0);
        assert_eq!(status["datasets"][0]["state"], "clean", "{status}");
        same(&read(&data), &files, "the user's files after the second attempt");
        commit(&round.to_string());
        let at = tree.display().to_string();
        project.git(&["-C", &at, "checkout", "-q", "--detach", "main"]);
    }
    assert!(killed > 0, "every add was over before it was killed");
    fs::remove_dir_all(&data).expect("removes");
    ok(root, &["data", "checkout", "pets"]);
    same(&read(&data), &content(all), "the last version");
    for round in [0, all / 2] {
        let at = tree.display().to_string();
        project.git(&["-C", &at, "checkout", "-q", "--detach", &format!("main~{}", all - round)]);
        ok(&tree, &["data", "checkout", "pets"]);
        same(&read(&tree.join("data/pets")), &content(round), "a version of before many kills");
    }
}

#[test]
fn a_checkout_that_is_killed_at_any_moment_is_done_again() {
    let project = project();
    let (root, data) = (project.path(), project.path().join("data/pets"));
    let files = content(0);
    write(&data, &files);
    ok(root, &["data", "add", "pets"]);
    fs::remove_dir_all(&data).expect("removes");
    let begun = Instant::now();
    ok(root, &["data", "checkout", "pets"]);
    let whole = begun.elapsed();
    let all = rounds(6, 200);
    for round in 0..all {
        fs::remove_dir_all(&data).expect("removes");
        let mut child = mlp(root)
            .args(["data", "checkout", "pets"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(whole * round / all);
        let _ = child.kill();
        child.wait().expect("ends");
        // What has its name is whole.
        for (path, bytes) in read(&data) {
            let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
            assert!(name.starts_with(".mlptmp.") || files.get(&path) == Some(&bytes), "{}", path.display());
        }
        ok(root, &["data", "checkout", "pets"]);
        let status = project.json(&["data", "status", "pets"], 0);
        assert_eq!(status["datasets"][0]["state"], "clean", "{status}");
        same(&read_data(&data), &files, "after the second attempt");
    }
}

#[test]
fn a_push_or_pull_that_is_killed_at_any_moment_is_done_again() {
    let push = Push::of(Team::new(), true);
    killed_at_any_moment(&push.case, |when| push.check(when, false));
    let (team, case) = pull_of(Team::new());
    killed_at_any_moment(&case, |when| pulled(&case, &team.dir("ben"), when, false));
}

#[test]
fn a_collection_that_is_killed_at_any_moment_is_done_again() {
    let collection = Collection::new();
    killed_at_any_moment(&collection.case, |when| collection.check(when));
}

fn killed_at_any_moment(case: &Case, check: impl Fn(&str)) {
    let begun = Instant::now();
    case.ok();
    let (whole, all) = (begun.elapsed(), rounds(8, 200));
    for round in 0..all {
        case.restore();
        let mut command = case.command();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        std::thread::sleep(whole * round / all);
        let _ = child.kill();
        child.wait().expect("ends");
        check(&format!("killed after {:?} of {whole:?}", whole * round / all));
    }
}

#[test]
fn a_flipped_byte_in_any_pack_is_named_and_nothing_wrong_is_written() {
    let project = project();
    let (root, data) = (project.path(), project.path().join("data/pets"));
    let mut files = Files::new();
    // Each version has new packs, and the last needs those of all.
    for class in ["ant", "bee", "cat"] {
        for at in 0..5_usize {
            files.insert(
                format!("{class}/{at}.bin").into(),
                noise(&format!("{class} {at}"), 1000 << (2 * at)),
            );
        }
        write(&data, &files);
        ok(root, &["data", "add", "pets"]);
    }
    let store = root.join(".git/mlp/store");
    let is_pack = |(path, bytes): (PathBuf, Vec<u8>)| bytes.starts_with(b"MLPK1").then_some(path);
    let mut packs: Vec<PathBuf> = read(&store).into_iter().filter_map(is_pack).collect();
    packs.sort();
    assert!(packs.len() >= 6, "{packs:?}");
    let before = read(&store);
    let mut healed = 0;
    for pack in &packs {
        let whole = &before[pack];
        let mut found = 0;
        for step in 0..10 {
            let mut damaged = whole.clone();
            damaged[whole.len() * step / 10] ^= 0x10;
            put_back(&store, &before);
            fs::write(store.join(pack), &damaged).expect("writes");
            fs::remove_dir_all(&data).expect("removes");
            let output = mlp(root).args(["data", "checkout", "pets"]).output().expect("starts");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let written = read_data(&data);
            match output.status.code() {
                // Not a byte that this version needs.
                Some(0) => same(&written, &files, "a checkout that succeeds"),
                Some(1) => {
                    found += 1;
                    let name = pack.file_name().expect("has a name").to_string_lossy();
                    assert!(said.contains("store::damaged") && said.contains(&*name), "{said}");
                    for (path, bytes) in &written {
                        assert!(files.get(path) == Some(bytes), "{} is wrong: {said}", path.display());
                    }
                    if found == 1 {
                        // As the message says: the original files make the store whole again.
                        write(&data, &files);
                        ok(root, &["data", "add", "pets"]);
                        fs::remove_dir_all(&data).expect("removes");
                        ok(root, &["data", "checkout", "pets"]);
                        same(&read(&data), &files, "made whole again");
                        healed += 1;
                    }
                }
                code => panic!("exit {code:?}: {said}"),
            }
            fs::create_dir_all(&data).expect("makes the folder");
        }
        assert!(found > 0, "no damage in {} was found", pack.display());
    }
    assert_eq!(healed, packs.len());
}

#[test]
fn a_flipped_byte_in_the_record_of_a_run_is_named_by_who_reads_it() {
    let project = Project::new("steps: {greet: {run: 'echo hello'}}\n");
    let (root, store) = (project.path(), project.path().join(".git/mlp/store"));
    ok(root, &["run"]);
    let run = project.json(&["runs", "show"], 0);
    let run = run["run"]["run"].as_str().expect("an identifier");
    let before = read(&store);
    let is_record = |(path, bytes): &(PathBuf, Vec<u8>)| {
        path.starts_with("records") && String::from_utf8_lossy(bytes).contains(run)
    };
    let records: Vec<(PathBuf, Vec<u8>)> = before.clone().into_iter().filter(is_record).collect();
    let [(record, whole)] = records.as_slice() else { panic!("{} records", records.len()) };
    let name = record.file_name().expect("has a name").to_string_lossy();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        for args in
            [&["runs", "show"][..], &["runs", "show", run], &["runs", "ls"], &["runs", "diff", run, run]]
        {
            // Whoever finds damage sets it aside.
            put_back(&store, &before);
            fs::write(store.join(record), &damaged).expect("writes");
            let said = refused(root, args, 1);
            assert!(said.contains("damaged") && said.contains(&name[..8]), "{args:?}: {said}");
            // The job's folder still tells what happened: the record is made again, the same to the byte.
            ok(root, args);
            assert_eq!(&fs::read(store.join(record)).expect("reads"), whole);
        }
    }
    put_back(&store, &before);
    ok(root, &["runs", "show"]);
}
