//! Layer 3: what the lifecycle means.

pub mod data;
pub mod model;
pub mod monitor;
pub mod project;
pub mod run;
pub mod serve;
pub mod step;
pub mod train;
