//! File names that try what there is: added, pushed, pulled and checked out byte for byte, or refused by name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::support::{ok, run};

/// Sixty names that a Unix file system holds and some program somewhere stumbles over.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "-rf",
        "--force",
        "-",
        " lead",
        "trail ",
        " ",
        "a b",
        "a\nb",
        "\n",
        "a\tb",
        "a\rb",
        "\u{1b}[2J",
        "\u{7}",
        "\u{202e}gnp.exe",
        "\u{200f}",
        "\u{feff}bom",
        "\u{0}x",
        "CON",
        "con.txt",
        "NUL",
        "aux.c",
        "COM1",
        "lpt9.log",
        "e\u{301}",
        "\u{e9}",
        "README",
        "readme",
        "Stra\u{df}e",
        "STRASSE",
        "\u{1f600}",
        "...",
        "..a",
        "a..",
        ".hidden",
        "a.",
        "*",
        "?",
        "[a]",
        "a:b",
        "a|b",
        "<x>",
        "\"q\"",
        "'q'",
        "`id`",
        "$(id)",
        "${HOME}",
        "$HOME",
        "!important",
        "#comment",
        "@rev",
        "x@HEAD",
        "%2e%2e",
        "..\\x",
        "a\\b",
        "~",
        "~root",
        "&",
        ";",
        "x.mlp",
        "null",
        "true",
        "1e3",
        "b3:00",
    ]
    .iter()
    .filter(|name| !name.contains('\0'))
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend([b"\xff".to_vec(), b"a\xc3".to_vec(), vec![b'x'; 255], "\u{e4}".repeat(127).into_bytes()]);
    names
}

fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = Command::new("git").current_dir(dir).args(identity).args(args).output().expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn content(dir: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .expect("lists")
        .map(|entry| {
            let entry = entry.expect("an entry");
            (entry.file_name().as_bytes().to_vec(), fs::read(entry.path()).expect("reads"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn sixty_names_travel_byte_for_byte_and_never_reach_a_key_or_a_terminal() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let (ada, far) = (folder.path().join("ada"), folder.path().join("far"));
    fs::create_dir_all(ada.join("data/set/inner")).expect("makes folders");
    let manifest = format!(
        "mlp: 1\nproject: {{name: team, id: 01jd3q0000000000000000000c}}\n\
         stores:\n  origin: {{url: \"fs://{}\"}}\ndata:\n  set: {{path: data/set, format: images}}\n",
        far.display()
    );
    fs::write(ada.join("mlp.yaml"), manifest).expect("writes");
    let names = names();
    assert!(names.len() >= 60, "{}", names.len());
    for name in &names {
        fs::write(ada.join("data/set/inner").join(OsStr::from_bytes(name)), name).expect("writes");
    }
    git(&ada, &["init", "-q", "-b", "main"]);
    let added = run(&ada, &["data", "add", "set"], 0);
    let warned = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(warned.contains("cannot be checked out everywhere"), "{warned}");
    git(&ada, &["add", "mlp.yaml", "data/set.mlp", "data/.gitignore"]);
    git(&ada, &["commit", "-q", "-m", "version"]);
    ok(&ada, &["data", "push"]);
    git(folder.path(), &["clone", "-q", "ada", "ben"]);
    let ben = folder.path().join("ben");
    ok(&ben, &["data", "pull"]);
    assert_eq!(content(&ben.join("data/set/inner")), content(&ada.join("data/set/inner")));
    for dir in [&ada, &ben] {
        let status = run(dir, &["data", "status", "--json"], 0);
        assert!(String::from_utf8_lossy(&status.stdout).contains("\"state\":\"clean\""));
    }
    // Only digests, numbers and ULIDs in the store.
    let mut todo = vec![far.clone()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).expect("lists") {
            let path = entry.expect("an entry").path();
            let key = path.strip_prefix(&far).expect("below").to_string_lossy().into_owned();
            assert!(key.chars().all(|c| matches!(c, '0'..='9' | 'a'..='z' | '/' | '.' | '-')), "{key}");
            if path.is_dir() {
                todo.push(path);
            }
        }
    }
    fs::remove_dir_all(ben.join("data/set")).expect("removes");
    for args in [&["data", "ls", "set/inner"][..], &["data", "diff", "set"], &["data", "status"]] {
        let told = run(&ben, args, 0);
        let text = [&told.stdout[..], &told.stderr[..], warned.as_bytes()].concat();
        assert!(
            !text.iter().any(|byte| *byte < b' ' && *byte != b'\n'),
            "{args:?}: {}",
            String::from_utf8_lossy(&text)
        );
    }
    // A path that could be taken for an option, a revision or a pattern is got by its name.
    for (name, place) in [("-rf", "set/inner/-rf"), ("x@HEAD", "set/inner/x@HEAD@HEAD"), ("*", "set/inner/*")]
    {
        let got = run(&ben, &["data", "get", place, "-o", "-"], 0).stdout;
        assert_eq!(got, name.as_bytes(), "{place}");
    }
}

#[test]
fn names_that_belong_to_git_or_mlp_are_left_out_and_said_so() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let root = folder.path();
    let manifest = "mlp: 1\nproject: {name: team, id: 01jd3q0000000000000000000c}\ndata:\n  set: {path: set, format: images}\n";
    fs::write(root.join("mlp.yaml"), manifest).expect("writes");
    for name in ["set/.git", "set/x/.GIT", "set/.mlp", "set/git~1"] {
        fs::create_dir_all(root.join(name)).expect("makes folders");
        fs::write(root.join(name).join("config"), "x").expect("writes");
    }
    fs::write(root.join("set/x/.gitignore"), "kept").expect("writes");
    git(root, &["init", "-q", "-b", "main"]);
    let added = run(root, &["data", "add", "set"], 0);
    let warned = String::from_utf8_lossy(&added.stderr).into_owned();
    assert_eq!(warned.matches("the name is reserved").count(), 4, "{warned}");
    assert_eq!(
        ok(root, &["data", "ls", "set", "--quiet"]).lines().count(),
        ok(root, &["data", "ls", "set"]).lines().count()
    );
    assert!(ok(root, &["data", "ls", "set/x"]).contains(".gitignore"));
}
