//! Layer 2: where bytes live and where jobs run.

pub mod compute;
pub(crate) mod durable;
pub mod git;
pub mod keys;
pub mod store;
