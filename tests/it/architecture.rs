//! What holds of the source itself: layers, sizes, the list of unsafe code, error codes, variables, tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Level of each module, and what it may import besides itself. `base` may import nothing.
const LAYERS: [(&str, u8, &[&str]); 16] = [
    ("base", 0, &[]),
    ("hardware", 1, &["base"]),
    ("infrastructure::durable", 1, &["base"]),
    ("infrastructure::git", 2, &["base"]),
    ("infrastructure::keys", 2, &["base"]),
    (
        "infrastructure::store",
        3,
        &["base", "infrastructure::durable", "infrastructure::keys", "infrastructure::git"],
    ),
    (
        "infrastructure::compute",
        4,
        &["base", "hardware", "infrastructure::durable", "infrastructure::keys", "infrastructure::store"],
    ),
    (
        "platform::data",
        4,
        &["base", "hardware", "infrastructure::durable", "infrastructure::store", "infrastructure::git"],
    ),
    ("platform::train", 5, &["base", "hardware", "infrastructure::durable", "platform::data"]),
    (
        "platform::monitor",
        5,
        &["base", "infrastructure::durable", "infrastructure::store", "platform::data", "platform::train"],
    ),
    (
        "platform::run",
        6,
        &[
            "base",
            "hardware",
            "infrastructure::durable",
            "infrastructure::git",
            "infrastructure::store",
            "infrastructure::compute",
            "platform::data",
            "platform::train",
            "platform::monitor",
        ],
    ),
    (
        "platform::model",
        7,
        &[
            "base",
            "infrastructure::durable",
            "infrastructure::keys",
            "infrastructure::git",
            "infrastructure::store",
            "platform::data",
            "platform::train",
            "platform::run",
        ],
    ),
    (
        "platform::serve",
        8,
        &[
            "base",
            "hardware",
            "infrastructure::store",
            "platform::data",
            "platform::train",
            "platform::monitor",
            "platform::model",
        ],
    ),
    (
        "platform::project",
        9,
        &[
            "base",
            "hardware",
            "infrastructure::durable",
            "infrastructure::git",
            "infrastructure::keys",
            "infrastructure::store",
            "infrastructure::compute",
            "platform::data",
            "platform::train",
            "platform::monitor",
            "platform::run",
            "platform::model",
            "platform::serve",
        ],
    ),
    (
        "platform::step",
        10,
        &[
            "base",
            "infrastructure::durable",
            "infrastructure::compute",
            "platform::data",
            "platform::project",
        ],
    ),
    ("application", 11, &["*"]),
];

/// The files that may hold `unsafe` code, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("src/infrastructure/store/mapped.rs", "files mapped into memory: hashing without a copy"),
    (
        "src/platform/train/kernels/tile.rs",
        "vector instructions, chosen at run time, on a tile that is held in registers",
    ),
    (
        "src/platform/train/kernels/vectorized.rs",
        "a function compiled for the vectors of the machine is called where they were found",
    ),
];

/// More lines than this, without its tests, and a file holds two subjects.
const MAX_LINES: usize = 500;

/// How many crates `Cargo.lock` may hold. It moves only with a reason written here.
///
/// 520: candle, opendal over rustls, git2 and axum bring most (441 when the project was laid out); SFTP (`openssh`) and
/// the service accounts of Google (`reqsign-google`) bring some twenty each.
const MAX_CRATES: usize = 520;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, as paths relative to the root with `/`, and their texts.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("lists a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(root()).expect("lies in the root").to_string_lossy().replace('\\', "/");
                found.insert(name, std::fs::read_to_string(&path).expect("reads a source file"));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// Whether all of a file is tests.
fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The text before the inline test module, if there is one.
fn without_tests(text: &str) -> &str {
    match text.find("\nmod tests {") {
        Some(end) => &text[..end],
        None => text,
    }
}

/// The text with comments blanked, so that lines stay what they are.
fn without_comments(text: &str) -> String {
    let line = |line: &str| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The module of the table that a path of names (`platform::data::Dataset`) lies in.
fn module_of(path: &[String]) -> Option<&'static str> {
    LAYERS.iter().map(|(module, ..)| *module).find(|module| {
        let names: Vec<&str> = module.split("::").collect();
        path.len() >= names.len() && path.iter().zip(&names).all(|(a, b)| a == b)
    })
}

/// Names of the module that a file is, without `crate`.
fn names_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// All paths that a text begins with `crate::` or climbs to with `super::`, groups unfolded, with their lines.
fn paths(file: &str, text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            let continues = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if continues {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            let mut rest = &text[at..];
            let mut base = names_of(file);
            while let Some(above) = rest.strip_prefix("super::") {
                base.pop();
                rest = above;
            }
            if let Some(inside) = rest.strip_prefix("crate::") {
                base.clear();
                rest = inside;
            }
            unfold(&mut rest, &base, &mut |path| found.push((line, path)));
        }
    }
    found
}

/// Reads one tree of a `use` (or one inline path) and tells each of its paths.
fn unfold(rest: &mut &str, base: &[String], tell: &mut dyn FnMut(Vec<String>)) {
    let mut path = base.to_vec();
    loop {
        *rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            *rest = inside;
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    return;
                }
                if rest.is_empty() {
                    return;
                }
                if let Some(after) = rest.strip_prefix(',') {
                    *rest = after;
                    continue;
                }
                let length = rest.len();
                unfold(rest, &path, tell);
                if rest.len() == length {
                    // Not a tree of names: whatever it is, it imports nothing.
                    return;
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            tell(path);
            return;
        }
        path.push(rest[..end].to_owned());
        *rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => *rest = after,
            None => {
                tell(path);
                if let Some(after) = rest.trim_start().strip_prefix("as ") {
                    let after = after.trim_start();
                    *rest = &after
                        [after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())..];
                }
                return;
            }
        }
    }
}

#[test]
fn a_lower_module_never_imports_a_higher_one() {
    for (module, level, may) in LAYERS {
        for other in may.iter().filter(|other| **other != "*") {
            let (_, below, _) =
                LAYERS.iter().find(|(name, ..)| name == other).expect("the table names modules");
            assert!(*below <= level, "{module} may import {other}, which is not below it");
        }
    }
    let mut wrong = BTreeSet::new();
    for (file, text) in sources("src") {
        let Some(module) = module_of(&names_of(&file)) else {
            assert!(
                ["src/lib.rs", "src/main.rs", "src/infrastructure/mod.rs", "src/platform/mod.rs"]
                    .contains(&file.as_str()),
                "{file} lies in no module of the table"
            );
            continue;
        };
        let (_, _, may) = LAYERS.iter().find(|(name, ..)| *name == module).expect("is in the table");
        for (line, path) in paths(&file, &without_comments(&text)) {
            if let Some(other) = module_of(&path)
                && other != module
                && !may.contains(&other)
                && !may.contains(&"*")
            {
                wrong.insert(format!("{file}:{line}: {module} imports {}", path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_scan_of_imports_sees_groups_inline_paths_and_climbing() {
    let text = "use crate::{base::{Exit, Name as N}, platform::data};\nfn f() { crate::platform::run::plan() }\n\
                use super::super::model::History;\nlet not_crate::x = 1;";
    let mut seen: Vec<String> = paths("src/platform/train/loop.rs", text)
        .into_iter()
        .map(|(line, path)| format!("{line} {}", path.join("::")))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "1 base::Exit",
            "1 base::Name",
            "1 platform::data",
            "2 platform::run::plan",
            "3 platform::model::History"
        ]
    );
}

#[test]
fn no_file_holds_more_than_its_lines() {
    let lengths = sources("src").into_iter().chain(sources("tests"));
    let long: Vec<String> = lengths
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (path, without_tests(&text).lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "split what holds two subjects: {long:#?}");
}

#[test]
fn no_more_crates_are_locked_than_agreed() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("there is a lock file");
    let crates = lock.matches("[[package]]").count();
    assert!(
        crates <= MAX_CRATES,
        "{crates} crates are locked, over {MAX_CRATES}: do without, or write the reason"
    );
    assert!(crates > 100, "{crates} crates: the count is wrong");
}

#[test]
fn unsafe_code_stands_only_where_the_list_says() {
    let allowed = format!("allow({})", "unsafe_code");
    let found: Vec<String> = sources("src")
        .into_iter()
        .filter(|(_, text)| without_comments(text).contains(&allowed))
        .map(|(path, _)| path)
        .collect();
    let listed: Vec<&str> = UNSAFE.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, listed, "the list in this test says which files may hold unsafe code, and why");
}

/// String literals of a text that satisfy a condition. Escapes do not matter for what is looked for.
fn literals(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let without = without_comments(text);
    without.split('"').filter(|piece| wanted(piece)).map(str::to_owned).collect()
}

/// `module::kebab-reason`.
fn is_code(text: &str) -> bool {
    let Some((module, reason)) = text.split_once("::") else { return false };
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    word(module) && word(reason)
}

#[test]
fn every_error_code_is_explained_and_every_explanation_is_of_a_code() {
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for (path, text) in sources("src") {
        if !is_test_file(&path) {
            for code in literals(without_tests(&text), is_code) {
                *used.entry(code).or_default() += 1;
            }
        }
    }
    let explained: Vec<&str> = mlp::application::explanations().map(|explain| explain.code).collect();
    let unexplained: Vec<&String> = used.keys().filter(|code| !explained.contains(&code.as_str())).collect();
    assert!(unexplained.is_empty(), "without an entry in EXPLAIN: {unexplained:#?}");
    // Once in EXPLAIN and once where it is given.
    let unused: Vec<&&str> =
        explained.iter().filter(|code| used.get(**code).is_none_or(|count| *count < 2)).collect();
    assert!(unused.is_empty(), "explained, but no error has these codes: {unused:#?}");
    let unique: BTreeSet<&&str> = explained.iter().collect();
    assert_eq!(unique.len(), explained.len(), "a code is explained twice");
    for explain in mlp::application::explanations() {
        assert!(
            explain.text.len() > 40 && explain.text.ends_with(['.', '`', ')']),
            "{}: say more",
            explain.code
        );
    }
}

#[test]
fn every_variable_is_declared_in_one_file() {
    const DECLARED: &str = "src/base/variables.rs";
    // `option_env!` wants the name itself.
    const EXCEPT: [(&str, &str); 1] = [("src/application/commands/mod.rs", "MLP_BUILD_COMMIT")];
    let all = sources("src");
    let name = |text: &str| text.starts_with("MLP_");
    let declared: Vec<String> = literals(&all[DECLARED], name);
    assert!(declared.len() > 5, "{declared:?}");
    let mut wrong = Vec::new();
    for (path, text) in &all {
        if path != DECLARED && !is_test_file(path) {
            for literal in literals(without_tests(text), name) {
                if !EXCEPT.contains(&(path.as_str(), literal.as_str())) {
                    wrong.push(format!("{path}: {literal}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "use the constants of {DECLARED}: {wrong:#?}");
}

#[test]
fn no_test_file_is_forgotten_and_no_test_is_skipped() {
    let files = sources("tests");
    let main = &files["tests/it/main.rs"];
    for path in files.keys() {
        let Some(module) = path.strip_prefix("tests/it/").filter(|path| !path.contains('/')) else {
            continue;
        };
        let module = module.trim_end_matches(".rs");
        if module != "main" {
            assert!(
                main.lines().any(|line| line == format!("mod {module};")),
                "tests/it/main.rs forgets {module}"
            );
        }
    }
    let ignored = format!("#[{}", "ignore");
    for (path, text) in files.into_iter().chain(sources("src")) {
        let line = without_comments(&text).lines().position(|line| line.trim_start().starts_with(&ignored));
        assert_eq!(line, None, "{path} skips a test");
    }
}
