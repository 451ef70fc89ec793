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
mod hooks;
mod init;
mod jobs;
mod ledger_git;
mod merge;
mod model;
mod predict;
mod project_file;
mod promote;
mod remote;
mod runs;
mod s3;
mod serve;
mod steps;
#[allow(dead_code)]
mod support;
mod train;
