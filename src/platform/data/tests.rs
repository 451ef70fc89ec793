//! What the tests of the loaders share.

use std::path::Path;

use super::{DataSpec, Dataset, Format, Guard, Split};

/// A dataset called `it` in `path`.
pub(super) fn dataset(format: Format, path: &Path) -> Dataset {
    let spec = DataSpec {
        path: ".".into(),
        format,
        target: None,
        text: None,
        tokenizer: None,
        length: None,
        source: Vec::new(),
        expect: Vec::new(),
        split: Split::default(),
        guard: Guard::default(),
        memory: None,
        card: None,
        licence: None,
    };
    let scratch = std::env::temp_dir();
    Dataset { path: path.to_owned(), ..Dataset::new(&"it".parse().expect("name"), &spec, &scratch) }
}
