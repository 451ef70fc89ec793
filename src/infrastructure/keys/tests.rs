use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::base::Time;

/// A fresh key without passphrase: its file and its public line.
fn key(dir: &Path, name: &str) -> (PathBuf, String) {
    let path = dir.join(name);
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen starts");
    assert!(status.success());
    let public = std::fs::read_to_string(path.with_extension("pub")).expect("reads");
    (path, public.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

fn time(text: &str) -> Time {
    text.parse().expect("is a time")
}

#[test]
fn a_signature_holds_for_its_bytes_namespace_and_principal_only() {
    let dir = TempDir::new().expect("makes a folder");
    let (path, public) = key(dir.path(), "max");
    let (_, other) = key(dir.path(), "sam");
    let signers = Signers(format!("# people\nmax@lab {public}\nsam@lab {other}\n"));
    let at = time("2026-05-03T12:00:00Z");
    let signature = sign(b"bytes", NAMESPACE_LEDGER, &path).expect("signs");
    signers.verify("max@lab", NAMESPACE_LEDGER, b"bytes", &signature, at).expect("holds");
    assert_eq!(signers.signer("x@y", NAMESPACE_LEDGER, b"bytes", &signature, at).expect("finds"), "max@lab");
    for (principal, namespace, bytes) in [
        ("sam@lab", NAMESPACE_LEDGER, &b"bytes"[..]),
        ("max@lab", NAMESPACE_APPROVAL, b"bytes"),
        ("max@lab", NAMESPACE_LEDGER, b"bytez"),
        ("*", NAMESPACE_LEDGER, b"bytes"),
        ("nobody", NAMESPACE_LEDGER, b"bytes"),
        ("-f", NAMESPACE_LEDGER, b"bytes"),
        ("", NAMESPACE_LEDGER, b"bytes"),
    ] {
        let result = signers.verify(principal, namespace, bytes, &signature, at);
        assert!(matches!(result, Err(KeyError::Invalid(_))), "{principal} {namespace}");
    }
    let garbage = signers.verify("max@lab", NAMESPACE_LEDGER, b"bytes", "not a signature", at);
    assert!(matches!(garbage, Err(KeyError::Invalid(_))));
}

#[test]
fn a_key_counts_only_while_it_is_valid() {
    let dir = TempDir::new().expect("makes a folder");
    let (path, public) = key(dir.path(), "max");
    let signers = Signers(format!("max valid-after=\"20260101\",valid-before=\"20260601\" {public}\n"));
    let signature = sign(b"bytes", NAMESPACE_LEDGER, &path).expect("signs");
    let verify = |at| signers.verify("max", NAMESPACE_LEDGER, b"bytes", &signature, time(at));
    verify("2026-05-31T23:59:59Z").expect("holds");
    for at in ["2025-12-31T23:59:59Z", "2026-06-01T00:00:01Z"] {
        assert!(matches!(verify(at), Err(KeyError::Invalid(_))), "{at}");
    }
}

#[test]
fn namespaces_and_patterns_of_the_signers_file_are_obeyed() {
    let dir = TempDir::new().expect("makes a folder");
    let (path, public) = key(dir.path(), "max");
    let at = time("2026-05-03T12:00:00Z");
    let signature = sign(b"bytes", NAMESPACE_LEDGER, &path).expect("signs");
    let limited = Signers(format!("max namespaces=\"{NAMESPACE_APPROVAL}\" {public}\n"));
    assert!(limited.verify("max", NAMESPACE_LEDGER, b"bytes", &signature, at).is_err());
    let pattern = Signers(format!("*@lab.org {public}\n"));
    let who = pattern.signer("max@lab.org", NAMESPACE_LEDGER, b"bytes", &signature, at);
    assert_eq!(who.expect("finds"), "max@lab.org");
    assert!(pattern.signer("max@else.org", NAMESPACE_LEDGER, b"bytes", &signature, at).is_err());
}

#[test]
fn principals_are_listed_once_without_comments_and_options() {
    let signers = Signers(
        "# x\n\nmax,sam namespaces=\"a b\" ssh-ed25519 AAAA\n  max ssh-ed25519 BBBB\n\"eve@x\" ssh-rsa C\n"
            .into(),
    );
    assert_eq!(signers.principals(), ["max", "sam", "eve@x"]);
    assert!(Signers("# nobody yet\n".into()).is_empty());
}

#[test]
fn lines_that_are_no_signers_are_named_and_closed_keys_are_not_able() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let key = key(folder.path(), "max").1;
    let (whole, short) = (key.split_once(' ').expect("a type"), &key[..key.len() - 7]);
    let text = format!(
        "# people\n\nmax {key}\nsam valid-before=\"20200101\" {key}\n\"eva x\" namespaces=\"a, b\" {key} comment\n\
         joe valid-after=\"20990101\",namespaces=\"git\" {key}\nann cert-authority {key}\n\
         one\ntwo {short}\nthree ssh-rsa {}\nfour {}\n\"five {key}\n",
        whole.1, whole.1
    );
    let signers = Signers(text);
    assert_eq!(
        signers.mistakes(),
        [
            (8, "it has no key"),
            (9, "its key is not whole"),
            (10, "its key is not of the type that stands before it"),
            (11, "it names no type of key that can sign"),
            (12, "its quote is never closed"),
        ]
    );
    let at = time("2026-05-03T12:00:00Z");
    assert_eq!(signers.able("a", at), ["max", "eva x", "ann"]);
    assert_eq!(signers.able("git", time("2100-05-03T12:00:00Z")), ["max", "joe", "ann"]);
}

#[test]
fn the_key_is_the_first_that_is_named() {
    let dir = TempDir::new().expect("makes a folder");
    let home = dir.path();
    std::fs::create_dir(home.join(".ssh")).expect("makes");
    let none = SigningKey::first(None, None, None, Some(home));
    assert!(matches!(none, Err(KeyError::NoKey(_))));
    for name in [".ssh/id_ed25519", "a", "b"] {
        std::fs::write(home.join(name), "").expect("writes");
    }
    let file = |name: &str| SigningKey::File(home.join(name));
    let choose = |flag: Option<&Path>, variable, configured| {
        SigningKey::first(flag, variable, configured, Some(home)).expect("finds")
    };
    assert_eq!(choose(None, None, None), file(".ssh/id_ed25519"));
    assert_eq!(choose(None, None, Some("~/a")), file("a"));
    assert_eq!(choose(None, Some("~/b"), Some("~/a")), file("b"));
    assert_eq!(choose(Some(&home.join("a")), Some("~/b"), None), file("a"));
    let literal = choose(None, None, Some("key::ssh-ed25519 AAAA x"));
    assert_eq!(literal, SigningKey::Literal("ssh-ed25519 AAAA x".into()));
    let missing = SigningKey::first(Some(Path::new("/no/such")), None, None, Some(home));
    assert!(matches!(missing, Err(KeyError::NoKey(_))));
}

#[test]
fn a_key_that_cannot_sign_says_so() {
    let dir = TempDir::new().expect("makes a folder");
    let path = dir.path().join("broken");
    std::fs::write(&path, "not a key").expect("writes");
    assert!(matches!(sign(b"x", NAMESPACE_LEDGER, &path), Err(KeyError::CannotSign { .. })));
    let said = |path: &Path| sign(b"x", NAMESPACE_LEDGER, path).expect_err("refused").to_string();
    std::fs::write(&path, "").expect("writes");
    assert!(said(&path).contains("the file is empty"), "{}", said(&path));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = dir.path().join("open");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&open)
            .status();
        assert!(made.expect("ssh-keygen starts").success());
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).expect("sets");
        assert!(said(&open).contains("chmod 600"), "{}", said(&open));
    }
}
