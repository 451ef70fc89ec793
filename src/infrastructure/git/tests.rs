use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .output()
        .expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn repository() -> (TempDir, Repo) {
    let dir = TempDir::new().expect("makes a folder");
    let repo = Repo::init(dir.path()).expect("makes a repository");
    git(dir.path(), &["config", "user.name", "Ada"]);
    git(dir.path(), &["config", "user.email", "ada@example.org"]);
    (dir, repo)
}

fn committed() -> (TempDir, Repo) {
    let (dir, repo) = repository();
    fs::write(dir.path().join("a.txt"), "one\n").expect("writes");
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["commit", "-qm", "first"]);
    (dir, repo)
}

#[test]
fn a_folder_outside_any_repository_is_refused() {
    let dir = TempDir::new().expect("makes a folder");
    assert!(matches!(Repo::discover(dir.path()), Err(GitError::NotARepository(_))));
}

#[test]
fn a_bare_repository_is_refused_by_name() {
    let dir = TempDir::new().expect("makes a folder");
    git(dir.path(), &["init", "-q", "--bare"]);
    assert!(matches!(Repo::discover(dir.path()), Err(GitError::Bare(_))));
}

#[test]
fn a_repository_without_a_commit_has_a_branch_and_no_commit() {
    let (dir, repo) = repository();
    let state = repo.state().expect("reads");
    assert_eq!((state.commit, state.branch.as_deref(), state.dirty), (None, Some("main"), None));
    fs::write(dir.path().join("a.txt"), "one").expect("writes");
    assert!(repo.state().expect("reads").dirty.is_some());
    assert!(matches!(repo.trust("main"), Err(GitError::NoTrustBranch { .. })));
}

#[test]
fn init_twice_opens_what_is_there() {
    let (dir, repo) = committed();
    let again = Repo::init(dir.path()).expect("opens");
    assert_eq!(again.state().expect("reads"), repo.state().expect("reads"));
}

#[test]
fn the_dirty_digest_tells_changes_apart_and_ignores_the_index() {
    let (dir, repo) = committed();
    let digest = || repo.state().expect("reads").dirty;
    assert_eq!(digest(), None);
    fs::write(dir.path().join("a.txt"), "two\n").expect("writes");
    let edited = digest().expect("is dirty");
    git(dir.path(), &["add", "a.txt"]);
    assert_eq!(digest(), Some(edited), "staging changes nothing on disk");
    fs::write(dir.path().join("b.txt"), "new").expect("writes");
    let untracked = digest().expect("is dirty");
    assert_ne!(untracked, edited);
    fs::write(dir.path().join("b.txt"), "other").expect("writes");
    assert_ne!(digest(), Some(untracked), "content counts");
    fs::write(dir.path().join(".gitignore"), "b.txt\n").expect("writes");
    assert_eq!(repo.changes().expect("reads"), [".gitignore", "a.txt"]);
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["commit", "-qm", "second"]);
    assert_eq!(digest(), None);
    fs::remove_file(dir.path().join("a.txt")).expect("removes");
    let removed = digest().expect("is dirty");
    fs::write(dir.path().join("a.txt"), "").expect("writes");
    assert_ne!(digest(), Some(removed), "an empty file is not a missing one");
}

#[cfg(unix)]
#[test]
fn a_mode_change_is_a_change() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, repo) = committed();
    fs::write(dir.path().join("run.sh"), "true").expect("writes");
    let plain = repo.state().expect("reads").dirty;
    fs::set_permissions(dir.path().join("run.sh"), fs::Permissions::from_mode(0o755)).expect("sets");
    assert_ne!(repo.state().expect("reads").dirty, plain);
}

#[test]
fn files_are_those_git_tracks_or_would_add() {
    let (dir, repo) = committed();
    fs::create_dir(dir.path().join("src")).expect("makes");
    for (path, text) in [("src/new.txt", ""), ("skip.log", ""), (".gitignore", "*.log\n")] {
        fs::write(dir.path().join(path), text).expect("writes");
    }
    assert_eq!(repo.files().expect("lists"), [".gitignore", "a.txt", "src/new.txt"]);
    fs::remove_file(dir.path().join("a.txt")).expect("removes");
    assert_eq!(repo.files().expect("lists"), [".gitignore", "src/new.txt"]);
}

#[test]
fn linked_work_trees_share_the_state_and_not_the_stat_cache() {
    let (dir, repo) = committed();
    let other = TempDir::new().expect("makes a folder");
    let path = other.path().join("wt");
    git(dir.path(), &["worktree", "add", "-q", path.to_str().expect("is text"), "-b", "side"]);
    let linked = Repo::discover(&path).expect("opens");
    assert_eq!(linked.state_dir(), repo.state_dir());
    assert_ne!(linked.index_path(), repo.index_path());
    assert_eq!(linked.root(), path.canonicalize().expect("is there"));
    assert_eq!(linked.state().expect("reads").branch.as_deref(), Some("side"));
}

#[test]
fn a_detached_head_has_a_commit_and_no_branch() {
    let (dir, repo) = committed();
    git(dir.path(), &["checkout", "-q", "--detach"]);
    let state = repo.state().expect("reads");
    assert!(state.commit.is_some());
    assert_eq!(state.branch, None);
}

#[test]
fn trust_is_the_local_branch_only_without_a_remote() {
    let (dir, repo) = committed();
    let local = repo.trust("main").expect("is there");
    assert!(local.local_only);
    assert_eq!(repo.file_at(&local.rev, "a.txt").expect("reads").as_deref(), Some(&b"one\n"[..]));
    assert_eq!(repo.file_at(&local.rev, "no/such").expect("reads"), None);

    let remote = TempDir::new().expect("makes a folder");
    git(remote.path(), &["init", "-q", "--bare"]);
    git(dir.path(), &["remote", "add", "origin", remote.path().to_str().expect("is text")]);
    assert!(matches!(repo.trust("main"), Err(GitError::NoTrustBranch { .. })));
    git(dir.path(), &["push", "-q", "-u", "origin", "main"]);
    fs::write(dir.path().join("a.txt"), "local\n").expect("writes");
    git(dir.path(), &["commit", "-qam", "local only"]);
    // A tag of the same name must not stand in for the branch.
    git(dir.path(), &["tag", "origin/main"]);
    let trust = repo.trust("main").expect("is there");
    assert!(!trust.local_only);
    assert_eq!(repo.file_at(&trust.rev, "a.txt").expect("reads").as_deref(), Some(&b"one\n"[..]));
}

#[test]
fn commit_paths_commits_those_paths_and_leaves_the_rest_staged() {
    let (dir, repo) = committed();
    fs::write(dir.path().join("staged.txt"), "s").expect("writes");
    git(dir.path(), &["add", "staged.txt"]);
    fs::create_dir(dir.path().join("sub")).expect("makes");
    fs::write(dir.path().join("sub/wanted.txt"), "w").expect("writes");
    fs::remove_file(dir.path().join("a.txt")).expect("removes");
    let id = repo.commit_paths(&[PathBuf::from("sub"), PathBuf::from("a.txt")], "wanted").expect("commits");
    assert_eq!(git(dir.path(), &["rev-parse", "HEAD"]), id);
    assert_eq!(git(dir.path(), &["ls-tree", "-r", "--name-only", "HEAD"]), "sub/wanted.txt");
    assert_eq!(git(dir.path(), &["status", "--porcelain"]), "A  staged.txt");
    assert_eq!(git(dir.path(), &["log", "-1", "--format=%an <%ae>"]), "Ada <ada@example.org>");
    assert_eq!(repo.commit_author(&id).expect("reads").as_deref(), Some("Ada <ada@example.org>"));
    let again = repo.commit_paths(&[PathBuf::from("sub")], "nothing new").expect("commits");
    assert_eq!(again, id);
}

#[test]
fn the_first_commit_needs_no_parent() {
    let (dir, repo) = repository();
    fs::write(dir.path().join("mlp.yaml"), "mlp: 1").expect("writes");
    repo.commit_paths(&[PathBuf::from(".")], "Begin").expect("commits");
    assert_eq!(git(dir.path(), &["ls-tree", "--name-only", "HEAD"]), "mlp.yaml");
    assert_eq!(repo.state().expect("reads").dirty, None);
}

#[test]
fn a_commit_of_another_branch_is_no_ancestor() {
    let (dir, repo) = committed();
    let first = git(dir.path(), &["rev-parse", "HEAD"]);
    git(dir.path(), &["commit", "-qm", "second", "--allow-empty"]);
    let second = git(dir.path(), &["rev-parse", "HEAD"]);
    git(dir.path(), &["checkout", "-q", "-b", "mine", &first]);
    git(dir.path(), &["commit", "-qm", "mine", "--allow-empty"]);
    let mine = git(dir.path(), &["rev-parse", "HEAD"]);
    for (commit, tip, is) in [
        (&first, &second, true),
        (&second, &second, true),
        (&second, &first, false),
        (&mine, &second, false),
        (&"no id".to_owned(), &second, false),
    ] {
        assert_eq!(repo.is_ancestor(commit, tip).expect("looks"), is, "{commit} {tip}");
    }
}
