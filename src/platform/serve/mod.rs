//! Serving what was promoted.

mod spec;

pub use spec::ServeSpec;
