//! `mlp`: a machine-learning platform in one binary, in four layers.
//!
//! | layer | module | what it holds |
//! |---|---|---|
//! | - | [`base`] | words of all layers: digest, name, event, record, errors; no I/O |
//! | 1 | [`hardware`] | what a machine can do |
//! | 2 | [`infrastructure`] | where bytes live and where jobs run |
//! | 3 | [`platform`] | what the lifecycle means |
//! | 4 | [`application`] | what the user meets: commands and terminal |

pub mod application;
pub mod base;
pub mod hardware;
pub mod infrastructure;
pub mod platform;
