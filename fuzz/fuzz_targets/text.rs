//! What comes with a stranger's repository: `mlp.yaml` and pointers.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mlp::platform::data::Pointer;
use mlp::platform::project::Project;

fuzz_target!(|bytes: &[u8]| {
    let _ = Project::parse(bytes.to_vec(), Path::new("mlp.yaml"));
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(pointer) = Pointer::parse(text, Path::new("data/set.mlp"))
    {
        let again = Pointer::parse(&pointer.text(), Path::new("data/set.mlp"));
        assert_eq!(again.map(|pointer| pointer.text()).ok(), Some(pointer.text()));
    }
});
