//! Code of other crates that panics on damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which calls code of another crate that panics where it should refuse damaged bytes; a panic becomes an
/// error with its text. Whatever `work` changes must not be used after an error.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CAUGHT.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it is damaged".to_owned())
    })
}

/// Whether a panic of this thread, now, is one that [`caught`] makes an error of: no bug to be told of.
pub fn is_caught() -> bool {
    CAUGHT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_text() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| -> u8 { panic!("size {}", 7) }), Err("size 7".to_owned()));
        assert!(!is_caught());
        assert_eq!(caught(is_caught), Ok(true));
    }
}
