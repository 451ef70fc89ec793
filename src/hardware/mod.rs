//! Layer 1: what a machine can do.

mod device;

pub use device::{Device, DeviceError, describe_cpu, threads};
