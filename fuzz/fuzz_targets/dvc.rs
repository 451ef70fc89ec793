//! What comes with a repository of DVC's or git-lfs': the first byte chooses the file that the rest is.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mlp::platform::data::foreign::{Algorithm, Promise, dvc, lfs};

/// A folder with a file of each kind, all empty but the one that is read.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("makes a folder");
    FOLDER.get_or_init(make).path()
}

fn put(name: &str, bytes: &[u8]) {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().expect("has one")).expect("makes a folder");
    fs::write(path, bytes).expect("writes");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first % 6 {
        0 => {
            put("set.dvc", rest);
            let _ = dvc::outs(folder(), &["set.dvc".to_owned()]);
        }
        1 => {
            put("dvc.yaml", rest);
            let _ = dvc::convert(folder(), "dvc.yaml");
            let _ = dvc::outs(folder(), &["dvc.yaml".to_owned()]);
        }
        2 => {
            put("with/dvc.yaml", b"stages: {a: {cmd: x, outs: [y]}}\n");
            put("with/dvc.lock", rest);
            let _ = dvc::outs(folder(), &["with/dvc.yaml".to_owned()]);
        }
        3 => {
            put(".dvc/config", rest);
            let _ = dvc::Config::read(folder());
        }
        4 => drop(dvc::read_listing(rest, Algorithm::Md5)),
        _ => {
            let _ = lfs::pointer(rest);
            if let Ok(text) = std::str::from_utf8(rest)
                && let Ok(Some(promise)) = Promise::parse(text, Path::new("set.mlp"))
            {
                let again = Promise::parse(&promise.text(), Path::new("set.mlp"));
                assert_eq!(again.ok().flatten().map(|again| again.text()), Some(promise.text()));
            }
        }
    }
});
