//! Names that not every file system can hold side by side, or at all.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use icu_normalizer::ComposingNormalizerBorrowed;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::super::{StoreError, Tree};
use super::names;
use super::scan::{Folder, Scan};
use crate::base::{Id, Level, Sink};
use crate::infrastructure::durable::TEMPORARY;

/// Warnings that are given one by one.
const TOLD: usize = 10;

/// Names that Windows takes for devices, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Warns about names in a folder to be added that other machines cannot write.
pub(super) fn warn(scan: &Scan, sink: &dyn Sink) {
    let mut count = 0;
    for folder in &scan.folders {
        for (name, why) in troubles(folder) {
            count += 1;
            if count <= TOLD {
                let path = names::shown(&names::join(&folder.path, &name));
                sink.log(Level::Warn, &format!("`{path}` cannot be checked out everywhere: {why}"));
            }
        }
    }
    if count > TOLD {
        sink.log(Level::Warn, &format!("{} more names cannot be checked out everywhere", count - TOLD));
    }
}

/// Refuses two names that are one to the file system of an open folder, such as `a` and `A`: the one would overwrite the other.
pub(super) fn check(tree: &Tree, dir: &OwnedFd, path: &[u8]) -> Result<(), StoreError> {
    for (one, other) in twins(tree.nodes.iter().map(|node| node.name.as_slice())) {
        if are_one(dir, one, other) {
            let path = names::shown(&names::join(path, other));
            return Err(StoreError::Name {
                path,
                reason: "this file system cannot tell it from another name beside it",
            });
        }
    }
    Ok(())
}

fn troubles(folder: &Folder) -> Vec<(Vec<u8>, String)> {
    let all = || folder.entries.iter().map(|entry| folder.name(entry));
    let unusual = all().filter_map(|name| Some((name.to_vec(), unusual(name)?.to_owned())));
    let twins = twins(all()).into_iter().map(|(one, other)| {
        let why = format!("on some file systems it is the same name as `{}`", names::shown(one));
        (other.to_vec(), why)
    });
    unusual.chain(twins).collect()
}

/// Pairs of names that differ only in case or in how accents are composed.
fn twins<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<(&'a [u8], &'a [u8])> {
    // Most folders have none but plain lower-case names, which differ in everything.
    let is_plain = |name: &&[u8]| name.is_ascii() && !name.iter().any(u8::is_ascii_uppercase);
    if names.clone().all(|name| is_plain(&name)) {
        return Vec::new();
    }
    let mut seen = HashMap::new();
    let mut twins = Vec::new();
    for name in names {
        match seen.entry(folded(name)) {
            std::collections::hash_map::Entry::Occupied(first) => twins.push((*first.get(), name)),
            std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(name)),
        }
    }
    twins
}

/// A name without its case, accents composed; bytes that are not UTF-8 as they are.
fn folded(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => {
            let lower = ComposingNormalizerBorrowed::new_nfc().normalize(text).to_lowercase();
            ComposingNormalizerBorrowed::new_nfc().normalize(&lower).as_bytes().to_vec()
        }
        Err(_) => name.to_vec(),
    }
}

/// Asks the file system itself: makes a file called as the one and looks for the other.
fn are_one(dir: &OwnedFd, one: &[u8], other: &[u8]) -> bool {
    let prefix = [TEMPORARY.as_bytes(), Id::new().to_string().as_bytes()].concat();
    // A longer name would not be taken.
    let tried = |name: &[u8]| [prefix.as_slice(), &name[..name.len().min(255 - prefix.len())]].concat();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if rustix::fs::openat(dir.as_fd(), tried(one), flags, Mode::from_raw_mode(0o600)).is_err() {
        return false;
    }
    let found = rustix::fs::statat(dir.as_fd(), tried(other), AtFlags::SYMLINK_NOFOLLOW).is_ok();
    let _ = rustix::fs::unlinkat(dir.as_fd(), tried(one), AtFlags::empty());
    found
}

/// What is wrong with a name elsewhere.
fn unusual(name: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(name) else { return Some("the name is not UTF-8") };
    let stem = text.split('.').next().unwrap_or_default().trim_end();
    let numbered = |kind: &str| {
        let number = stem.get(..3).filter(|start| start.eq_ignore_ascii_case(kind)).and(stem.get(3..));
        number.is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
    };
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || numbered("com") || numbered("lpt") {
        Some("Windows takes the name for a device")
    } else if text.contains(['<', '>', ':', '"', '|', '?', '*', '\\']) || text.chars().any(char::is_control) {
        Some("Windows allows no such character in names")
    } else if text.ends_with([' ', '.']) {
        Some("Windows drops a dot or blank at the end of a name")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_or_composition_are_twins() {
        let pairs = |names: &[&str]| -> Vec<(String, String)> {
            let found = twins(names.iter().map(|name| name.as_bytes()));
            found.iter().map(|(one, other)| (names::shown(one), names::shown(other))).collect()
        };
        assert_eq!(pairs(&["a", "b", "ab"]), []);
        assert_eq!(pairs(&["README", "readme", "x"]), [("README".into(), "readme".into())]);
        assert_eq!(pairs(&["e\u{301}", "\u{e9}"]), [("e\u{301}".into(), "\u{e9}".into())]);
        assert_eq!(pairs(&["\u{c9}", "e\u{301}"]), [("\u{c9}".into(), "e\u{301}".into())]);
        assert_eq!(pairs(&["A", "B"]), []);
        assert_eq!(twins([&b"\xff"[..], b"\xfe"].into_iter()), []);
    }

    #[test]
    fn names_that_windows_cannot_hold_are_known() {
        for name in [
            "CON",
            "con.txt",
            "Aux.tar.gz",
            "COM1",
            "lpt9.x",
            "a:b",
            "what?",
            "dot.",
            "blank ",
            "a\nb",
            "a\\b",
        ] {
            assert!(unusual(name.as_bytes()).is_some(), "{name}");
        }
        for name in ["console", "com", "COM10", "lpt0", "a.con", "\u{e4}", ".hidden", "a b"] {
            assert_eq!(unusual(name.as_bytes()), None, "{name}");
        }
        assert!(unusual(b"\xff").is_some());
    }

    #[test]
    fn this_file_system_answers_for_itself() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let open =
            super::super::scan::open_folder(dir.path().as_os_str().as_encoded_bytes(), false).expect("opens");
        std::fs::write(dir.path().join("a"), "").expect("writes");
        let tells_case = !dir.path().join("A").exists();
        assert_eq!(are_one(&open, b"x", b"X"), !tells_case);
        assert!(are_one(&open, &[b'x'; 255], &[b'x'; 255]));
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing is left");
    }
}
