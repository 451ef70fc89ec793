//! Layer 1: what a machine can do.

mod device;
mod energy;
pub mod facts;
mod gpu;
pub mod memory;

pub use device::{Device, describe_cpu, device_line, threads};
pub use energy::Processors;
pub use facts::Facts;
pub(crate) use gpu::LONGEST;
pub use gpu::{Gpu, Load, gpus, power};
