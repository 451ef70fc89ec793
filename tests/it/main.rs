//! The one integration binary: a file per command or subject, real servers under `support`.

mod eval;
mod predict;
mod serve;
#[allow(dead_code)]
mod support;
