//! The one integration binary: a file per command or subject, real servers under `support`.

#[allow(dead_code)]
mod support;
