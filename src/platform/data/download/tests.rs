use super::*;
use crate::base::Null;
use crate::platform::data::DataSpec;

fn dataset(root: &Path, yaml: serde_json::Value) -> Dataset {
    let spec: DataSpec = serde_json::from_value(yaml).expect("a spec");
    Dataset::new(&"digits".parse().expect("a name"), &spec, root)
}

fn refuse(yaml: serde_json::Value) -> String {
    let root = tempfile::tempdir().expect("makes a folder");
    let error =
        download(&dataset(root.path(), yaml), DownloadOptions::default(), &Null).expect_err("refused");
    assert!(matches!(error, DataError::Source { .. }), "{error}");
    assert!(fs::read_dir(root.path()).expect("lists").next().is_none(), "nothing was made");
    error.to_string()
}

#[test]
fn a_source_that_cannot_be_one_is_refused_before_anything_is_made() {
    let source = |source: serde_json::Value| {
        refuse(serde_json::json!({"path": "data/x", "format": "idx", "source": [source]}))
    };
    assert!(source(serde_json::json!({})).contains("either `url` or `digits`"));
    assert!(source(serde_json::json!({"url": "no url"})).contains("is not a URL"));
    assert!(source(serde_json::json!({"url": "file:///etc/passwd"})).contains("`file:` is not supported"));
    assert!(source(serde_json::json!({"url": "http://127.0.0.1/"})).contains("no file name"));
    assert!(source(serde_json::json!({"url": "http://127.0.0.1/x", "sha256": "12"})).contains("SHA-256"));
    for file in ["../x", "/etc/x", "a/../../x", ".git/config", "a/.mlptmp.x", "a\\b", "c:x", "a\nb", "", "."]
    {
        let text = source(serde_json::json!({"url": "http://127.0.0.1/x", "file": file}));
        assert!(text.contains("not a path below the dataset"), "{file:?}: {text}");
    }
}

#[test]
fn one_csv_file_has_one_source() {
    let url = serde_json::json!({"url": "http://127.0.0.1/x"});
    let text = refuse(serde_json::json!({"path": "data/x.csv", "format": "csv", "source": [url, url]}));
    assert!(text.contains("several sources"), "{text}");
}
