use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{Manifest, Mistake, Project, ProjectError};

/// A small project that is right.
const RIGHT: &str = "\
mlp: 1
project: {name: digits, id: 01jd3q7z8x9y0v1w2s3t4r5p6n, roles: {model: [max]}}
data:
  mnist: {path: data/mnist, format: idx}
models:
  digits:
    data: mnist
    network: [flatten, {linear: 10}]
    train: {epochs: 3}
stages:
  candidate:
    gates:
      floor: {metric: {name: accuracy, min: 0.9}}
  production:
    gates:
      better: {compare: {to: production, metric: accuracy}}
      eyes: {approvals: {role: model}}
";

fn parse(text: &[u8]) -> Result<Manifest, ProjectError> {
    let began = Instant::now();
    let manifest = Project::parse(text.to_vec(), Path::new("mlp.yaml"));
    // Not a measurement: what grows without bound takes minutes, and this machine may be busy.
    assert!(began.elapsed() < Duration::from_secs(20), "reading took {:?}", began.elapsed());
    manifest
}

fn mistake(text: &[u8]) -> Mistake {
    match parse(text) {
        Err(ProjectError::Mistake(mistake)) => *mistake,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("was taken: {}", String::from_utf8_lossy(&text[..text.len().min(200)])),
    }
}

/// The mistake after `from` became `to`: code, message, place with the marked text, hint.
fn change(from: &str, to: &str) -> String {
    assert!(RIGHT.contains(from), "{from}");
    told(&mistake(RIGHT.replacen(from, to, 1).as_bytes()))
}

fn told(mistake: &Mistake) -> String {
    let mut text = format!("{}: {}\n", mistake.code, mistake.message);
    let label = mistake.label.as_ref().expect("a mistake has a place");
    let marked: String = label.text.chars().skip(label.column - 1).take(label.width).collect();
    writeln!(text, "{}:{}:{} {marked:?}", label.path.display(), label.line, label.column).expect("writes");
    if let Some(hint) = &mistake.hint {
        writeln!(text, "{hint}").expect("writes");
    }
    text
}

#[test]
fn the_right_file_is_taken_with_either_line_end() {
    let manifest = parse(RIGHT.as_bytes()).expect("is right");
    assert_eq!(manifest.models["digits"].train.epochs, 3);
    let crlf = parse(RIGHT.replace('\n', "\r\n").as_bytes()).expect("is right");
    assert_eq!(crlf, manifest);
}

#[test]
fn anchors_and_merge_keys_are_taken() {
    let text = RIGHT.replace("train: {epochs: 3}", "train: &slow {epochs: 3}").replace(
        "stages:",
        "  other:\n    data: mnist\n    network: [relu]\n    train: {<<: *slow, seed: 7}\nstages:",
    );
    let manifest = parse(text.as_bytes()).expect("is right");
    assert_eq!((manifest.models["other"].train.epochs, manifest.models["other"].train.seed), (3, 7));
}

#[test]
fn mistakes_are_told_with_their_place_and_a_way_out() {
    let mut all = String::new();
    for (from, to) in [
        ("gates:", "gatse:"),
        ("stages:", "zebras:"),
        ("epochs: 3", "epochs: three"),
        ("epochs: 3", "epochs: -1"),
        ("epochs: 3", "epochs: [3]"),
        ("train: {epochs: 3}", "train: 3"),
        ("format: idx", "format: idz"),
        ("{linear: 10}", "{linaer: 10}"),
        ("{linear: 10}", "{linear: ten}"),
        ("flatten", "flaten"),
        ("path: data/mnist, ", ""),
        ("    data: mnist\n", ""),
        ("{name: digits", "{name: ../digits"),
        ("id: 01jd3q7z8x9y0v1w2s3t4r5p6n", "id: one"),
        ("mlp: 1", "mlp: 2"),
        ("mlp: 1\n", ""),
        ("mlp: 1\n", "mlp: 1\nmlp: 1\n"),
        ("  mnist: {", "  mnist: {path: a, format: csv}\n  mnist: {"),
        ("data: mnist", "data: mnits"),
        ("data: mnist", "data:"),
        ("to: production", "to: prodution"),
        ("role: model", "role: modle"),
        ("name: accuracy", "name: acuracy"),
        ("min: 0.9", "bound: lower-95"),
        ("path: data/mnist", "path: ../mnist"),
        ("path: data/mnist", "path: /mnist"),
        ("format: idx", "format: csv"),
        ("network: [flatten, {linear: 10}]", "network: []"),
        (
            "mlp: 1\n",
            "mlp: 1\nwaivers: [{gate: flor, stage: candidate, reason: r, signer: s, until: 2026-12-31}]\n",
        ),
        (
            "mlp: 1\n",
            "mlp: 1\nwaivers: [{gate: floor, stage: candidate, reason: r, signer: s, until: soon}]\n",
        ),
        ("    data: mnist", "\tdata: mnist"),
        ("    data: mnist", "  \tdata: mnist"),
        ("    train: {epochs: 3}", "    train: {epochs: 3"),
        ("    data: mnist", "    data: *mnist"),
        ("    data: mnist", "    data: \"mnist"),
        ("stages:", "---\nstages:"),
        ("name: digits", "name: \u{7}digits"),
    ] {
        writeln!(all, "## {from:?} -> {to:?}\n{}", change(from, to)).expect("writes");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn hostile_files_are_refused_with_a_place() {
    let bomb: String = (1..10)
        .map(|i| format!("x{i}: &x{i} [{}]\n", vec![format!("*x{}", i - 1); 10].join(",")))
        .fold("x0: &x0 [lol]\n".to_owned(), |text, line| text + &line);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "project::empty"),
        ("comments", b"# nothing\n\n  # more\n".to_vec(), "project::empty"),
        ("a byte order mark", [b"\xef\xbb\xbf", RIGHT.as_bytes()].concat(), "project::encoding"),
        ("UTF-16", b"\xff\xfem\0l\0p\0".to_vec(), "project::encoding"),
        ("a zero byte", [RIGHT.as_bytes(), b"# \0\n"].concat(), "project::encoding"),
        ("bytes that are not UTF-8", [RIGHT.as_bytes(), b"# \xc3\x28\n"].concat(), "project::encoding"),
        ("10 MB of brackets", vec![b'['; 10 << 20], "project::too-large"),
        ("100,000 brackets", vec![b'['; 100_000], "project::too-large"),
        ("100,000 braces", "{a: ".repeat(100_000).into_bytes(), "project::too-large"),
        ("100,000 dashes", "- ".repeat(100_000).into_bytes(), "project::too-large"),
        ("100,000 question marks", "? ".repeat(100_000).into_bytes(), "project::too-large"),
        ("an alias bomb", bomb.clone().into_bytes(), "project::unknown-key"),
        (
            "an alias bomb in a value",
            format!("mlp: 1\nsteps: {{a: {{run: r, params: {{p: &a [1], {}}}}}}}\n", fold()).into_bytes(),
            "project::too-large",
        ),
    ];
    for (what, text, code) in cases {
        let mistake = mistake(&text);
        assert_eq!(mistake.code, code, "{what}: {}", told(&mistake));
        assert!(mistake.label.is_some_and(|label| label.text.len() < 2_000), "{what} has a place");
    }
}

/// Aliases of aliases as entries of a mapping.
fn fold() -> String {
    let mut before = "a".to_owned();
    let mut text = Vec::new();
    for name in 'b'..'k' {
        text.push(format!("p{name}: &{name} [{}]", vec![format!("*{before}"); 10].join(",")));
        before = name.to_string();
    }
    text.join(", ")
}

#[test]
fn a_megabyte_of_anything_is_read_in_bounded_time() {
    let keys: String = (0..60_000).map(|i| format!("k{i}: {i}\n")).collect();
    let one_line = format!("mlp: \"{}\"\n", "x".repeat(1 << 19));
    let comments = format!("{}mlp: 2\n", "# x\n".repeat(200_000));
    let anchors: String = (0..40_000).map(|i| format!("- &a{i} 1\n")).collect();
    let merges = format!("a: &a {{b: 1}}\nmlp: {{{}}}\n", "<<: *a, ".repeat(50_000));
    let deep_keys = format!("{}: 1\n", "a.".repeat(250_000));
    for text in [keys, one_line, comments, anchors, merges, deep_keys] {
        assert!(parse(text.as_bytes()).is_err());
    }
}

#[test]
fn a_file_cut_at_any_byte_is_told_or_taken_but_never_a_panic() {
    let text = RIGHT.replace("digits", "digïts").replace("digïts", "digits # ï\n  ");
    for text in [RIGHT, text.as_str()] {
        for end in 0..text.len() {
            if let Err(error) = parse(&text.as_bytes()[..end]) {
                let ProjectError::Mistake(mistake) = error else { panic!("{error}") };
                assert!(mistake.label.is_some(), "cut at {end}: {mistake}");
            }
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_is_told_or_taken_but_never_a_panic() {
    for at in 0..RIGHT.len() {
        for byte in
            [b'\0', b'\t', b'\n', b'"', b'\'', b'{', b'[', b']', b':', b'*', b'&', b'-', b'#', b'%', b'\xff']
        {
            let mut text = RIGHT.as_bytes().to_vec();
            text[at] = byte;
            if let Err(error) = parse(&text) {
                let ProjectError::Mistake(mistake) = error else { panic!("{error}") };
                assert!(mistake.label.is_some(), "{byte} at {at}: {mistake}");
            }
        }
    }
}
