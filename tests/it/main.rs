//! The one integration binary: a file per command or subject, real servers under `support`.

mod architecture;
mod backends;
mod board;
mod completion;
mod corpus;
mod crash;
mod crash_points;
mod data;
mod download;
mod eval;
mod gates;
mod generated;
mod hooks;
mod hostile;
mod independent_reader;
mod init;
mod jobs;
mod ledger_git;
mod limits;
mod merge;
mod model;
mod names;
mod power_loss;
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
