//! Which names and links may stand in a dataset.

use super::super::StoreError;
use crate::infrastructure::durable::TEMPORARY;

/// Names that belong to git or mlp wherever they stand, on file systems that do not tell case apart too.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".git")
        || name.eq_ignore_ascii_case(b".mlp")
        || name.eq_ignore_ascii_case(b"git~1")
}

/// Refuses a name from a store that must not be written. Names with `/` or NUL, `.` and `..` are refused where trees are
/// read; here they are refused once more.
pub(super) fn check(name: &[u8], path: &[u8]) -> Result<(), StoreError> {
    let reason = if is_reserved(name) {
        "the name is reserved"
    } else if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        "it is not a file name"
    } else if name.starts_with(TEMPORARY.as_bytes()) {
        "mlp uses such names while it writes"
    } else {
        return Ok(());
    };
    Err(StoreError::Name { path: shown(path), reason })
}

/// Whether a link at `depth` folders below the root, with this target, stays inside: leading `..` components up to the root, then
/// names. A `..` after a name could leave through another link.
pub(super) fn link_stays_inside(target: &[u8], depth: usize) -> bool {
    let (mut ups, mut named) = (0, false);
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b".." if named => return false,
            b".." => ups += 1,
            b"." => {}
            // An empty first component is an absolute path; two slashes are not worth guessing.
            b"" => return false,
            name if is_reserved(name) || name.contains(&0) => return false,
            _ => named = true,
        }
    }
    ups <= depth && target.len() < 4096
}

/// A path for people: control characters and what is not Unicode are escaped.
pub(super) fn shown(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// `folder/name`, or the name alone in the root.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() && !folder.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_are_refused() {
        for (target, depth) in [
            (&b"/etc/passwd"[..], 3),
            (b"..", 0),
            (b"../../x", 1),
            (b"a/../../x", 3),
            (b"a//b", 1),
            (b"", 0),
            (b"../.git/config", 1),
            (b".GIT", 0),
        ] {
            assert!(!link_stays_inside(target, depth), "{}", shown(target));
        }
    }

    #[test]
    fn links_that_stay_inside_are_taken() {
        for (target, depth) in [(&b"a"[..], 0), (b"./a/b", 0), (b"../x", 1), (b"../../x/y", 2), (b"..", 1)] {
            assert!(link_stays_inside(target, depth), "{}", shown(target));
        }
    }

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        for name in [&b".git"[..], b".GIT", b".mlp", b".Mlp", b"GIT~1", b"..", b"a/b", b".mlptmp.1", b""] {
            assert!(check(name, name).is_err(), "{}", shown(name));
        }
        assert!(check(b".gitignore", b"x").is_ok());
    }

    #[test]
    fn paths_are_escaped_for_people() {
        assert_eq!(shown(b"a\xff\n\xc3\xa4"), "a\\xff\\n\u{e4}");
    }
}
