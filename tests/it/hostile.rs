//! What strangers write: project files of all kinds of nonsense, names that are options or commands, projects that would like
//! to run something, and secrets that must not come out again.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mlp::base::{Diagnose, Exit};
use mlp::platform::project::Project as Opened;

use super::support::faulted::{Team, git, version};
use super::support::files::{read, same};
use super::support::http_server::{Reply, Server};
use super::support::project::Project;
use super::support::{mlp, ok, rounds};

/// The project file of each template.
fn templates() -> Vec<String> {
    ["mnist", "image-classifier", "tabular", "command"]
        .map(|name| {
            let folder = tempfile::tempdir().expect("makes a folder");
            ok(folder.path(), &["init", "made", "--template", name]);
            fs::read_to_string(folder.path().join("made/mlp.yaml")).expect("reads")
        })
        .to_vec()
}

/// Reads a project file as all commands do; fails if that takes long, panics or ends in anything but yes or exit 2 with a place.
fn judged(bytes: Vec<u8>, what: &str) -> bool {
    let begun = Instant::now();
    let read = Opened::parse(bytes, Path::new("mlp.yaml"));
    let took = begun.elapsed();
    // Ten times what is promised: this build is not optimised, and the machine is shared.
    assert!(took < Duration::from_secs(2), "{what}: {took:?}");
    match read {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.exit(), Exit::Usage, "{what}: {error}");
            let message = error.to_string();
            let label = error.label().unwrap_or_else(|| panic!("{what}: no place: {message}"));
            assert!(label.line > 0 && label.column > 0, "{what}: {message}");
            assert!(message.len() < 2000, "{what}: {} bytes of message", message.len());
            false
        }
    }
}

/// Files that no version of mlp may take, by what they are.
fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let head = "mlp: 1\nproject: {name: a, id: 01jd3q0000000000000000000a}\n";
    let with = |text: &str| format!("{head}{text}").into_bytes();
    let mut bomb = String::from("x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for n in 1..12 {
        let all = vec![format!("*x{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("x{n}: &x{n} [{all}]\n"));
    }
    let block: String = (0..5000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    vec![
        ("a bomb of aliases", with(&bomb)),
        ("a bomb in a value", with(&format!("{bomb}data: *x11\n"))),
        ("an alias of itself", with("data: &a {x: *a}\n")),
        ("an alias of nothing", with("data: *nothing\n")),
        ("flow nesting", with(&format!("data: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)))),
        ("flow nesting without an end", with(&format!("data: {}\n", "{a: ".repeat(100_000)))),
        ("block nesting", with(&block[..block.len().min(900_000)])),
        ("sequence nesting", with(&format!("data:\n  {}x\n", "- ".repeat(100_000)))),
        ("a key twice", with("data: {}\ndata: {}\n")),
        ("a nested key twice", with("data:\n  a: {path: x, format: csv}\n  a: {path: y, format: csv}\n")),
        ("a key twice by quotes", with("data: {}\n\"data\": {}\n")),
        ("an unknown key", with("dta: {}\n")),
        ("an unknown nested key", with("stages: {a: {gate: {}}}\n")),
        ("a tag of Python", with("data: !!python/object/apply:os.system ['touch /tmp/x']\n")),
        ("a binary tag", b"mlp: 1\nproject: {name: !!binary AAAA, id: x}\n".to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), head.as_bytes()].concat()),
        ("UTF-16", head.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a NUL", with("data: {a\0b: {}}\n")),
        ("an escape character", with("data: {a: {path: \u{1b}[2J, format: csv}}\n")),
        ("an escaped escape in a name", with("data: {\"\\e[2J\": {path: a, format: csv}}\n")),
        ("not UTF-8", with("data: {a: {path: ").into_iter().chain(*b"\xff\xfe}}\n").collect()),
        ("64 MiB", vec![b'a'; 64 << 20]),
        ("64 MiB of comments", [head.as_bytes(), &b"# x\n".repeat(16 << 20)].concat()),
        ("two documents", with("---\nmlp: 1\n")),
        ("a merge key", with("x: &x {}\ndata: {<<: *x}\n")),
        ("a number too large", b"mlp: 99999999999999999999999999\n".to_vec()),
        ("another version", b"mlp: 2\nproject: {name: a, id: 01jd3q0000000000000000000a}\n".to_vec()),
        ("a sequence", b"- mlp: 1\n".to_vec()),
        ("a word", b"mlp\n".to_vec()),
        ("nothing", Vec::new()),
        ("comments", b"# nothing\n".to_vec()),
        ("a tab", with("data:\n\ta: {}\n")),
        ("a key that is a map", with("? {a: b}\n: c\n")),
        ("a key that is null", with("~: c\n")),
        ("a quote without an end", with("data: \"\n")),
        ("a long key", with(&format!("{}: 1\n", "k".repeat(500_000)))),
        ("a name with a slash", b"mlp: 1\nproject: {name: ../a, id: 01jd3q0000000000000000000a}\n".to_vec()),
        ("a path out of the project", with("data: {a: {path: ../../etc, format: csv}}\n")),
        ("an absolute path", with("data: {a: {path: /etc, format: csv}}\n")),
        ("no number", with("serve: {max_body: .nan}\n")),
        ("a directive", [b"%YAML 9.9\n---\n".as_slice(), head.as_bytes()].concat()),
    ]
}

#[test]
fn a_project_file_that_makes_no_sense_is_refused_with_its_place() {
    for (what, bytes) in wrong() {
        assert!(!judged(bytes, what), "{what} is taken");
    }
}

#[test]
fn a_project_file_cut_off_anywhere_or_changed_at_random_is_read_or_refused() {
    let (step, mutations) = (rounds(23, 1) as usize, rounds(60, 5000));
    let pieces: [&[u8]; 14] =
        [b"\n", b" ", b":", b"- ", b"{", b"}", b"[", b"\"", b"'", b"&a ", b"*a", b"!!x ", b"\xff", b"|\n"];
    for text in templates() {
        assert!(judged(text.clone().into_bytes(), "a template"), "{text}");
        assert!(judged(text.replace('\n', "\r\n").into_bytes(), "a template with the line ends of Windows"));
        for end in (0..text.len()).step_by(step) {
            judged(text.as_bytes()[..end].to_vec(), &format!("cut at {end}: {}", &text[..end.min(80)]));
        }
        for seed in 0..mutations {
            let mut bytes = text.clone().into_bytes();
            let random = super::support::files::noise(&format!("{seed} {}", text.len()), 32);
            for change in random.chunks_exact(8) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                let end = (at + usize::from(change[2])).min(bytes.len());
                match change[3] % 4 {
                    0 => bytes[at] ^= change[4],
                    1 => drop(bytes.drain(at..end)),
                    2 => drop(
                        bytes.splice(at..at, pieces[usize::from(change[5]) % pieces.len()].iter().copied()),
                    ),
                    _ => {
                        let piece = bytes[at..end].to_vec();
                        let to = usize::from(change[6]) * bytes.len() / 256;
                        drop(bytes.splice(to..to, piece));
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b'x');
                }
            }
            judged(bytes, &format!("seed {seed}"));
        }
    }
}

/// Runs `mlp`, ending it after a while; its output.
fn within(seconds: u64, command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let end = Instant::now() + Duration::from_secs(seconds);
    while child.try_wait().expect("waits").is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("ends")
}

#[test]
fn the_program_refuses_nonsense_with_file_and_line_and_little_memory() {
    let project = Project::new("");
    for (what, bytes) in wrong() {
        fs::write(project.path().join("mlp.yaml"), bytes).expect("writes");
        let mut command = mlp(project.path());
        command.args(["data", "status"]);
        // Address space, for the whole program with its stacks and libraries.
        let output = within(
            10,
            Command::new("prlimit")
                .arg("--as=1073741824")
                .arg(command.get_program())
                .args(command.get_args())
                .current_dir(project.path())
                .env("HOME", project.path())
                .env("NO_COLOR", "1"),
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        assert!(said.contains("mlp.yaml:") && !said.contains("panicked"), "{what}: {said}");
        assert!(said.len() < 6000 && !said.contains('\u{1b}'), "{what}: {} bytes", said.len());
    }
}

/// What would leave a trace if any program took it for an option or a command. `@` is the file.
const PAYLOADS: [&str; 20] = [
    "-oProxyCommand=touch @",
    "--upload-pack=touch @",
    "--receive-pack=touch @",
    "--exec=touch @",
    "-c core.sshCommand='touch @'",
    "ext::sh -c 'touch @'",
    "ssh://-oProxyCommand=touch%20@/x",
    "; touch @",
    "$(touch @)",
    "`touch @`",
    "| touch @",
    "&& touch @ &&",
    "a\ntouch @\n",
    "' ; touch @ ; '",
    "\" ; touch @ ; \"",
    "${IFS}touch${IFS}@",
    "!touch @",
    "--output=@",
    "%(touch @)",
    "../../../../../..@",
];

#[test]
fn no_name_is_ever_taken_for_an_option_or_a_command() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let canary = folder.path().join("canary");
    let fields: [fn(&str) -> String; 9] = [
        |text| format!("data: {{{text}: {{path: data/a, format: csv}}}}\n"),
        |text| format!("data: {{a: {{path: {text}, format: csv}}}}\n"),
        |text| format!("data: {{a: {{path: data/a, format: csv, target: y, source: [{{url: {text}}}]}}}}\n"),
        |text| format!("stores: {{{text}: {{url: \"fs:///nowhere/at/all\"}}}}\n"),
        |text| format!("stores: {{a: {{url: {text}}}}}\n"),
        |text| format!("trust: {{branch: {text}}}\n"),
        |text| format!("models: {{{text}: {{data: a, network: [flatten]}}}}\n"),
        |text| format!("stages: {{{text}: {{}}}}\n"),
        |text| format!("stores: {{a: {{url: \"s3://bucket/\", region: {text}, endpoint: {text}}}}}\n"),
    ];
    for payload in PAYLOADS {
        let text = payload.replace('@', &canary.display().to_string());
        let quoted = serde_json::to_string(&text).expect("is JSON");
        for (number, field) in fields.iter().enumerate() {
            let project = Project::new(&field(&quoted));
            project.git(&["add", "-A"]);
            project.git(&["commit", "-qm", "x"]);
            for args in [&["data", "status"][..], &["status"], &["check"]] {
                let output = within(20, mlp(project.path()).args(args));
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(matches!(output.status.code(), Some(0..=3)), "field {number}, `{text}`: {said}");
                assert!(!canary.exists(), "field {number}, {args:?}: `{text}` was run");
            }
        }
        // On the command line, as a script might pass what it got from elsewhere.
        let project = Project::new("data: {a: {path: data/a, format: csv, target: y}}\n");
        let lines: [&[&str]; 10] = [
            &["data", "add", "--", &text],
            &["data", "checkout", "a", &format!("--rev={text}")],
            &["data", "ls", "--", &text],
            &["data", "ls", "--", &format!("a@{text}")],
            &["data", "diff", "--", "a", &text],
            &["data", "push", &format!("--store={text}")],
            &["data", "pull", &format!("--store={text}")],
            &["runs", "show", "--", &text],
            &["model", "show", "--", &text],
            &["promote", &format!("--to={text}"), "--", &text],
        ];
        for args in lines {
            let output = within(20, mlp(project.path()).args(args));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(1..=3)), "{args:?}: {:?} {said}", output.status);
            assert!(!canary.exists(), "{args:?} was run");
        }
    }
}

#[test]
fn hosts_and_urls_of_stores_are_never_run() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let canary = folder.path().join("canary");
    let at = canary.display();
    for url in [
        format!("sftp://-oProxyCommand=touch {at}/x"),
        format!("sftp://-oProxyCommand=touch%20{at}/x"),
        format!("sftp://a@-oProxyCommand=touch${{IFS}}{at}/x"),
        format!("sftp://$(touch {at})/x"),
        format!("ext::sh -c touch% {at}"),
        format!("fs://$(touch {at})"),
        format!("s3://`touch {at}`/x"),
        "s3://bucket/../../../etc".to_owned(),
        "fs://relative/path".to_owned(),
        "file:///etc".to_owned(),
        String::new(),
    ] {
        let quoted = serde_json::to_string(&url).expect("is JSON");
        let project = Project::new(&format!(
            "stores: {{a: {{url: {quoted}}}}}\ndata: {{a: {{path: data/a, format: csv, target: y}}}}\n"
        ));
        project.write("data/a", "x,y\n1,2\n");
        ok(project.path(), &["data", "add", "a"]);
        for args in [["data", "push"], ["data", "pull"], ["model", "ls"]] {
            let output = within(20, mlp(project.path()).args(args));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(0..=3)), "{args:?} of `{url}`: {said}");
            assert!(!said.contains("panicked") && !canary.exists(), "{args:?} of `{url}`: {said}");
        }
    }
}

/// Everything that a stranger could have put into a project so that something of it is run.
fn trapped(canary: &Path) -> Team {
    let team = Team::with_versions(1);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let touch = format!("touch {}", canary.display());
    let mut text = fs::read_to_string(ada.join("mlp.yaml")).expect("reads");
    text.push_str(&format!(
        "steps:\n  trap: {{run: '{touch}', in: [data/set], out: [made]}}\nstages:\n  \
         open: {{gates: {{trap: {{command: '{touch}'}}}}}}\n"
    ));
    fs::write(ada.join("mlp.yaml"), text).expect("writes");
    fs::write(ada.join(".gitattributes"), "* filter=trap diff=trap merge=trap\n").expect("writes");
    fs::write(
        ada.join(".gitmodules"),
        format!("[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c {touch}\n\tupdate = !{touch}\n"),
    )
    .expect("writes");
    fs::create_dir_all(ada.join(".githooks")).expect("makes a folder");
    fs::write(ada.join(".githooks/post-checkout"), format!("#!/bin/sh\n{touch}\n")).expect("writes");
    git(&ada, &["add", "-A"]);
    git(&ada, &["commit", "-qm", "traps"]);
    team
}

#[test]
fn a_strangers_project_is_looked_at_without_running_anything_of_it() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let canary = folder.path().join("canary");
    let team = trapped(&canary);
    let clone = team.clone_as("clone", "HEAD");
    // As in an archive that came with its `.git`: the settings are the stranger's, too.
    let touch = format!("touch {}; false", canary.display());
    for (key, value) in [
        ("core.fsmonitor", &touch),
        ("core.hooksPath", &".githooks".to_owned()),
        ("core.sshCommand", &touch),
        ("core.pager", &touch),
        ("core.editor", &touch),
        ("filter.trap.clean", &touch),
        ("filter.trap.smudge", &touch),
        ("filter.trap.process", &touch),
        ("diff.external", &touch),
        ("diff.trap.textconv", &touch),
        ("merge.trap.driver", &touch),
        ("credential.helper", &format!("!{touch}")),
        ("gpg.program", &touch),
        ("uploadpack.packObjectsHook", &touch),
    ] {
        git(&clone, &["config", key, value]);
    }
    let looking: [&[&str]; 12] = [
        &["status"],
        &["check"],
        &["data", "status"],
        &["data", "pull"],
        &["data", "ls"],
        &["data", "ls", "set"],
        &["data", "diff", "set", "HEAD~1"],
        &["data", "checkout"],
        &["data", "add", "set"],
        &["data", "push"],
        &["runs", "ls"],
        &["model", "ls"],
    ];
    for args in looking {
        let output = within(20, mlp(&clone).args(args));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(!canary.exists(), "{args:?} ran something of the project");
    }
    same(&read(&clone.join("data/set")), &version(1), "pulled");
}

/// Fails if `secret` stands in any file below `folder` other than those named.
fn nowhere(folder: &Path, secret: &str, except: &[&str]) {
    for (path, bytes) in read(folder) {
        let named = except.iter().any(|name| path.starts_with(name));
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(named || !found, "{} holds a secret", path.display());
    }
}

#[test]
fn secrets_are_neither_said_nor_kept() {
    // It repeats in its answer all that it was sent.
    let server = Server::start(|request| {
        let headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let status = if request.method == "GET" { 403 } else { 400 };
        Reply::new(status, format!("{} {}\r\n{}", request.method, request.path, headers.join("\r\n")))
    });
    let at = server.address;
    let stores = format!(
        "stores:\n  origin: {{url: \"s3://bucket/x\", endpoint: \"http://{at}\"}}\n\
         \x20 blob: {{url: \"az://box/x\", endpoint: \"http://{at}\"}}\n  dav: {{url: \"webdav://{at}/x\"}}\n\
         \x20 web: {{url: \"http://{at}/x\"}}\n"
    );
    let project = Project::new(&format!(
        "{stores}data: {{a: {{path: data/a, format: csv, target: y}}}}\n\
         steps: {{greet: {{run: 'echo $MLP_STORE_ORIGIN_SECRET_ACCESS_KEY; env'}}}}\n"
    ));
    project.write("data/a", "x,y\n1,2\n");
    let secrets = [
        ("MLP_STORE_ORIGIN_ACCESS_KEY_ID", "CANARY1AKIAXXXXXXXXXXXX"),
        ("MLP_STORE_ORIGIN_SECRET_ACCESS_KEY", "CANARY2abcdefghijklmnopqrstuvwx"),
        ("MLP_STORE_ORIGIN_SESSION_TOKEN", "CANARY3tokentokentokentoken"),
        ("MLP_STORE_BLOB_ACCOUNT_NAME", "CANARY5account"),
        ("MLP_STORE_BLOB_SAS_TOKEN", "sv=2024&sig=CANARY6signature"),
        ("MLP_STORE_DAV_USERNAME", "ada"),
        ("MLP_STORE_DAV_PASSWORD", "CANARY7password"),
        ("MLP_STORE_WEB_USERNAME", "ben"),
        ("MLP_STORE_WEB_PASSWORD", "CANARY8password"),
    ];
    // What stands for them: a part of it, and both in the form of a header.
    let found = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        ["CANARY", "YWRhOkNBTkFSWTdwYXNzd29yZA", "YmVuOkNBTkFSWThwYXNzd29yZA"]
            .iter()
            .any(|part| text.contains(part))
    };
    assert!(found(b"x CANARY6signature") && !found(b""));
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "x"]);
    let lines: [&[&str]; 11] = [
        &["data", "add", "a"],
        &["data", "push", "-v"],
        &["data", "pull", "--json", "-v"],
        &["data", "fetch"],
        &["data", "status", "--remote"],
        &["status"],
        &["run"],
        &["runs", "show", "--json"],
        &["runs", "logs"],
        &["model", "ls"],
        &["store", "ls"],
    ];
    let upkeep: [&[&str]; 6] = [
        &["data", "push", "--store"],
        &["store", "check"],
        &["store", "fsck", "--store"],
        &["store", "gc", "--store"],
        &["store", "compact", "--store"],
        &["store", "repair", "--store"],
    ];
    let mut lines: Vec<Vec<&str>> = lines.iter().map(|args| args.to_vec()).collect();
    for store in ["origin", "blob", "dav", "web"] {
        lines.extend(upkeep.iter().map(|args| [args, &[store, "-v"][..]].concat()));
    }
    for args in lines {
        let output = within(120, mlp(project.path()).args(&args).envs(secrets).env("RUST_BACKTRACE", "full"));
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said);
        assert!(!found(&said), "{args:?} tells a secret: {text}");
        assert!(!text.contains("unexpected argument"), "{args:?}: {text}");
    }
    let sent = server.seen();
    for host in ["x-amz-security-token", "authorization"] {
        assert!(sent.iter().any(|request| request.headers.contains_key(host)), "no {host} was sent");
    }
    assert!(sent.iter().any(|request| request.path.contains("sig=CANARY6")), "no signature was sent");
    for (path, bytes) in read(project.path()) {
        assert!(!found(&bytes), "{} holds a secret", path.display());
    }
}

#[test]
fn a_secret_in_a_committed_file_is_refused_without_being_repeated() {
    let secret = "CANARY4hunter2hunter2";
    for body in [
        format!("stores: {{a: {{url: \"s3://b/\", secret_access_key: {secret}}}}}\n"),
        format!("stores:\n  a:\n    url: s3://b/\n    password: {secret}\n"),
        format!("stores: {{a: {{url: \"https://u:{secret}@host/x\"}}}}\n"),
        format!("stores: {{a: {{url: \"s3://{secret}:{secret}@b/x\"}}}}\n"),
        format!(
            "data: {{a: {{path: data/a, format: csv, target: y, source: [{{url: \"https://u:{secret}@127.0.0.1:9/x\"}}]}}}}\n"
        ),
    ] {
        let project = Project::new(&body);
        for args in [&["check"][..], &["data", "push"], &["data", "download"], &["status"]] {
            let output = within(120, mlp(project.path()).args(args));
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!said.contains(secret), "{args:?} repeats it: {said}");
        }
        nowhere(project.path(), secret, &["mlp.yaml"]);
    }
}
