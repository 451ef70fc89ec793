//! Machines that are too small or shared: full disks, read-only folders, few open files, little memory, two at once.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::crash_points::{Add, Push, pull_of, pulled};
use super::support::faulted::{Case, Checked, Team, copy, version};
use super::support::files::{Files, noise, read, read_data, same, write};
use super::support::{mlp, ok, rounds, run};

/// Runs a command after shell commands that set limits.
fn limited(limits: &str, command: &Command) -> Output {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\"")).arg(command.get_program());
    shell.args(command.get_args()).current_dir(command.get_current_dir().expect("has a folder"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.output().expect("bash starts")
}

/// Leaves so many bytes free on the disk of `folder`.
fn fill(folder: &Path, free: u64) {
    let stat = rustix::fs::statvfs(folder).expect("tells");
    let there = stat.f_bavail * stat.f_frsize;
    fs::write(folder.join("filler"), vec![1; there.saturating_sub(free) as usize]).expect("fills");
}

/// The command at twenty sizes of what is left of the disk; `check` after there is space again.
fn on_a_full_disk(case: &Case, root: &Path, check: impl Fn(&str, bool)) {
    let (mut passed, mut refused) = (0, 0);
    for size in 0..20 {
        case.restore();
        fill(root, size * size * 12_000);
        let begun = Instant::now();
        let output = case.command().output().expect("starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let when = format!("{} bytes free: {said}", size * size * 12_000);
        assert!(begun.elapsed() < Duration::from_secs(5), "{when}");
        match output.status.code() {
            Some(0) => passed += 1,
            Some(3) => {
                assert!(said.contains("space") && said.contains(&root.display().to_string()), "{when}");
                refused += 1;
            }
            code => panic!("exit {code:?} with {when}"),
        }
        fs::remove_file(root.join("filler")).expect("makes space");
        check(&when, output.status.success());
    }
    assert!(passed > 0 && refused > 0, "{passed} passed, {refused} refused");
}

#[test]
fn a_full_disk_is_named_and_costs_nothing() {
    let Some(team) = Team::on_small_disk(24) else {
        // Without the right to mount, the limit of `files_that_may_not_grow` and the walk in `crash_points` stand for it.
        assert!(!rustix::process::geteuid().is_root(), "the superuser cannot mount a tmpfs here");
        return;
    };
    let add = Add::of(team);
    on_a_full_disk(&add.case, add.team.root(), |when, done| add.check(when, done));
    let push = Push::of(Team::on_small_disk(24).expect("mounts"), true);
    on_a_full_disk(&push.case, push.team.root(), |when, done| push.check(when, done));
    let (team, case) = pull_of(Team::on_small_disk(24).expect("mounts"));
    on_a_full_disk(&case, team.root(), |when, done| pulled(&case, &team.dir("ben"), when, done));
}

#[test]
fn files_that_may_not_grow_are_named_and_cost_nothing() {
    let add = Add::of(Team::new());
    let push = Push::of(Team::new(), true);
    let (team, pull) = pull_of(Team::new());
    let ben = team.dir("ben");
    let cases: [Checked; 3] = [
        (&add.case, &|when, done| add.check(when, done)),
        (&push.case, &|when, done| push.check(when, done)),
        (&pull, &|when, done| pulled(&pull, &ben, when, done)),
    ];
    for (case, check) in cases {
        let mut refused = 0;
        for kib in [0, 1, 2, 4, 16, 100, 250] {
            case.restore();
            // With the signal ignored, a write fails with EFBIG, as it does over a quota.
            let output = limited(&format!("trap '' XFSZ; ulimit -f {kib}"), &case.command());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let when = format!("files of at most {kib} KiB: {said}");
            refused += u32::from(output.status.code() == Some(3));
            assert!(matches!(output.status.code(), Some(0 | 3)), "{:?} {when}", output.status);
            assert!(output.status.success() || said.contains("`/"), "names no file: {when}");
            check(&when, output.status.success());
            // And without: as killed.
            case.restore();
            let output = limited(&format!("ulimit -f {kib}"), &case.command());
            assert!(output.status.code().is_some() || output.status.signal() == Some(25), "{output:?}");
            check(&format!("killed at {kib} KiB"), output.status.success());
        }
        assert!(refused > 2, "{refused} refused");
    }
}

#[test]
fn what_is_read_only_can_be_read_and_is_not_written_by_halves() {
    let mut team = Team::with_versions(2);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    ok(&ada, &["status"]);
    let far = read(&team.dir("far"));
    let reading: [&[&str]; 7] = [
        &["status"],
        &["data", "status"],
        &["data", "ls", "set"],
        &["data", "diff", "set", "HEAD~1", "HEAD"],
        &["check"],
        &["runs", "ls"],
        &["model", "ls"],
    ];
    // The store alone, then everything.
    let store = ada.join(".git/mlp/store");
    team.read_only(&store);
    for args in reading {
        run(&ada, args, 0);
    }
    fs::write(ada.join("data/set/new/0.bin"), "another").expect("writes");
    let said = String::from_utf8_lossy(&run(&ada, &["data", "add", "set"], 3).stderr).into_owned();
    assert!(said.contains(&store.display().to_string()), "{said}");
    assert!(said.contains("help:"), "{said}");
    fs::write(ada.join("data/set/new/0.bin"), &version(2)[Path::new("new/0.bin")]).expect("writes");
    let before = read(&ada);
    team.read_only(&ada);
    for args in reading {
        run(&ada, args, 0);
    }
    let said =
        String::from_utf8_lossy(&run(&ada, &["data", "checkout", "--rev", "v1"], 3).stderr).into_owned();
    assert!(said.contains("data/set"), "{said}");
    same(&read(&ada), &before, "a read-only project");
    // A store in a folder that one may only read.
    let ben = team.clone_as("ben", "v2");
    let far_dir = team.dir("far");
    team.read_only(&far_dir);
    ok(&ben, &["data", "pull"]);
    same(&read(&ben.join("data/set")), &version(2), "pulled from a read-only store");
    fs::write(ben.join("data/set/new/0.bin"), "another").expect("writes");
    ok(&ben, &["data", "add", "set"]);
    let said = String::from_utf8_lossy(&run(&ben, &["data", "push"], 3).stderr).into_owned();
    assert!(said.contains("far"), "{said}");
    same(&read(&far_dir), &far, "a read-only store");
}

#[test]
fn a_folder_that_one_may_not_write_stops_a_checkout_and_is_named() {
    let mut team = Team::with_versions(2);
    let ada = team.dir("ada");
    let locked = ada.join("data/set/new");
    team.read_only(&locked);
    let said =
        String::from_utf8_lossy(&run(&ada, &["data", "checkout", "--rev", "v1"], 3).stderr).into_owned();
    assert!(said.contains("data/set/new"), "{said}");
    for (path, bytes) in read_data(&ada.join("data/set")) {
        let whole = version(1).get(&path) == Some(&bytes) || version(2).get(&path) == Some(&bytes);
        assert!(whole, "{} is of neither version", path.display());
    }
}

#[test]
fn few_open_files_and_many_threads_are_enough() {
    let mut files: Files =
        (0..400).map(|at| (format!("d{}/{at}.bin", at % 40).into(), noise(&at.to_string(), 2000))).collect();
    files.insert("long.bin".into(), noise("long", 3 << 20));
    for limit in [64, 256] {
        let team = Team::new();
        let ada = team.dir("ada");
        fs::remove_dir_all(ada.join("data/set")).expect("removes");
        write(&ada.join("data/set"), &files);
        let few = |dir: &Path, args: &[&str]| {
            let mut command = mlp(dir);
            command.args(args).env("RAYON_NUM_THREADS", "32").env("MLP_THREADS", "32");
            let output = limited(&format!("ulimit -n {limit}"), &command);
            assert!(
                output.status.success(),
                "{limit} files, {args:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        few(&ada, &["data", "add", "set"]);
        super::support::faulted::git(&ada, &["add", "data/set.mlp"]);
        super::support::faulted::git(&ada, &["commit", "-qm", "files"]);
        few(&ada, &["data", "push"]);
        let ben = team.clone_as("ben", "HEAD");
        few(&ben, &["data", "pull"]);
        same(&read(&ben.join("data/set")), &files, "pulled");
        few(&ben, &["data", "status"]);
        fs::remove_dir_all(ben.join("data/set")).expect("removes");
        few(&ben, &["data", "checkout"]);
        same(&read(&ben.join("data/set")), &files, "checked out");
    }
}

/// Runs a command; the most memory it had, in MiB.
fn peak(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
        most = most.max(kib.unwrap_or(0));
        if child.try_wait().expect("waits").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(most > 0, "was not seen");
    most / 1024
}

#[test]
fn a_file_larger_than_the_memory_is_added_pushed_and_pulled() {
    // 300 MB, in MiB: packs of 32 MiB are filled, written and read at once.
    const MOST: u64 = 286;
    let mib = rounds(320, 10 * 1024);
    let team = Team::on_disk();
    let ada = team.dir("ada");
    let path = ada.join("data/set/huge.bin");
    let mut out = std::io::BufWriter::new(fs::File::create(&path).expect("makes"));
    for at in 0..mib {
        std::io::Write::write_all(&mut out, &noise(&at.to_string(), 1 << 20)).expect("writes");
    }
    drop(out);
    let most = |dir: &Path, args: &[&str]| (args[1].to_owned(), peak(mlp(dir).args(args)));
    let mut figures = vec![most(&ada, &["data", "add", "set"])];
    super::support::faulted::git(&ada, &["add", "data/set.mlp"]);
    super::support::faulted::git(&ada, &["commit", "-qm", "huge"]);
    figures.push(most(&ada, &["data", "push"]));
    let ben = team.clone_as("ben", "HEAD");
    figures.push(most(&ben, &["data", "fetch"]));
    figures.push(most(&ben, &["data", "checkout"]));
    let digest = |path: &Path| {
        let mut hasher = blake3::Hasher::new();
        let file = fs::File::open(path).expect("opens");
        hasher.update_reader(file).map(|hasher| hasher.finalize()).expect("reads")
    };
    assert_eq!(digest(&ben.join("data/set/huge.bin")), digest(&path));
    assert!(figures.iter().all(|(_, most)| *most < MOST), "a file of {mib} MiB: peaks in MiB {figures:?}");
    eprintln!("a file of {mib} MiB: peaks in MiB {figures:?}");
}

#[test]
fn two_that_share_a_store_never_see_what_the_other_has_half_done() {
    let team = Team::with_versions(1);
    let end = Instant::now() + Duration::from_secs(u64::from(rounds(6, 600)));
    let work = |name: &str| {
        let tree = team.dir(name);
        let mut round = 0;
        while Instant::now() < end {
            round += 1;
            // Half of it is common to both, so that each relies on what the other has just stored.
            let files: Files = (0..20)
                .map(|at| {
                    let seed =
                        if at % 2 == 0 { format!("{round} {at}") } else { format!("{name} {round} {at}") };
                    (format!("{at}.bin").into(), noise(&seed, 20_000))
                })
                .chain([("long.bin".into(), noise(&format!("long {round}"), 1_500_000))])
                .collect();
            let data = tree.join("data/set");
            fs::remove_dir_all(&data).expect("removes");
            write(&data, &files);
            ok(&tree, &["data", "add", "set"]);
            fs::remove_dir_all(&data).expect("removes");
            ok(&tree, &["data", "checkout", "set"]);
            same(&read(&data), &files, &format!("{name}, round {round}"));
        }
        round
    };
    for name in ["one", "two"] {
        write(&team.tree_as(name, "v1").join("data/set"), &version(1));
    }
    let done = std::thread::scope(|scope| {
        let both = ["one", "two"].map(|name| scope.spawn(move || work(name)));
        both.map(|thread| thread.join().expect("no panic"))
    });
    assert!(done.iter().all(|rounds| *rounds > 2), "{done:?}");
}

#[test]
fn two_copies_of_a_store_are_merged_by_copying_one_over_the_other() {
    let team = Team::with_versions(1);
    let (ada, bea) = (team.dir("ada"), team.dir("bea"));
    copy(&ada, &bea);
    team.add(2);
    write(&bea.join("data/set"), &version(3));
    ok(&bea, &["data", "add", "set"]);
    let pointers = [&ada, &bea].map(|dir| fs::read(dir.join("data/set.mlp")).expect("reads"));
    copy(&bea.join(".git/mlp/store/."), &ada.join(".git/mlp/store"));
    for (pointer, number) in pointers.iter().zip([2, 3]) {
        fs::write(ada.join("data/set.mlp"), pointer).expect("writes");
        ok(&ada, &["data", "checkout", "--force"]);
        same(&read(&ada.join("data/set")), &version(number), "after the copies were merged");
    }
    ok(&ada, &["data", "add", "set"]);
}
