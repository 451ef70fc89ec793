//! The one integration binary: a file per command or subject, real servers under `support`.

mod board;
mod eval;
mod gates;
mod model;
mod predict;
mod promote;
mod serve;
#[allow(dead_code)]
mod support;
