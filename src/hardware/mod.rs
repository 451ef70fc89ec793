//! Layer 1: what a machine can do.

mod device;
pub mod facts;
mod gpu;
pub mod memory;

pub use device::{Device, describe_cpu, device_line, threads};
pub use facts::Facts;
pub use gpu::{Gpu, gpus};
