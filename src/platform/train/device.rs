//! The device that a training runs on.

use super::TrainError;
use crate::base::{Level, Sink};
use crate::hardware::Device;

/// What `auto` stands for on this machine, said to `sink`.
pub(super) fn choose(sink: &dyn Sink) -> Result<candle_core::Device, TrainError> {
    let (device, reason) = Device::auto();
    sink.log(Level::Info, &format!("computing on `{device}`: {reason}"));
    open(device)
}

fn open(device: Device) -> Result<candle_core::Device, TrainError> {
    let opened = match device {
        Device::Cpu => return Ok(candle_core::Device::Cpu),
        Device::Cuda(index) => candle_core::Device::new_cuda(index),
        Device::Metal => candle_core::Device::new_metal(0),
    };
    opened.map_err(|error| TrainError::Device { name: device.to_string(), detail: error.to_string() })
}
