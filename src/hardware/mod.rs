//! Layer 1: what a machine can do.

mod device;
pub mod facts;

pub use device::{Device, describe_cpu, threads};
pub use facts::Facts;
