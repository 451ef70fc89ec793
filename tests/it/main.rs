//! The one integration binary: a file per command or subject, real servers under `support`.

mod architecture;
mod board;
mod completion;
mod crash;
mod data;
mod download;
mod eval;
mod gates;
mod generated;
mod init;
mod jobs;
mod model;
mod names;
mod predict;
mod project_file;
mod promote;
mod remote;
mod runs;
mod s3;
mod serve;
mod steps;
mod store;
#[allow(dead_code)]
mod support;
mod train;
mod worktree;
