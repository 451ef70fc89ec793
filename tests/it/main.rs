//! The one integration binary: a file per command or subject, real servers under `support`.

mod board;
mod download;
mod eval;
mod gates;
mod model;
mod predict;
mod promote;
mod s3;
mod serve;
#[allow(dead_code)]
mod support;
