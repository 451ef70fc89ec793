//! Compute devices, their names, and how many threads computations use.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Where tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU by index.
    Cuda(usize),
    /// An Apple GPU.
    Metal,
}

/// A device name that means nothing, or one that this build cannot drive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not a device name.
    #[error("`{0}` is not a device: expected `auto`, `cpu`, `cuda`, `cuda:1` or `metal`")]
    Unknown(String),
    /// This build has no support for it.
    #[error("this build of mlp has no support for `{device}`: build it with `--features {feature}`")]
    NotBuilt {
        /// The device.
        device: Device,
        /// The Cargo feature.
        feature: &'static str,
    },
}

impl Device {
    /// The device that `auto` stands for, and why: the first kind of accelerator that this build can drive, else the
    /// processor.
    pub fn auto() -> (Self, &'static str) {
        if cfg!(feature = "cuda") {
            (Self::Cuda(0), "this build drives NVIDIA GPUs")
        } else if cfg!(feature = "metal") {
            (Self::Metal, "this build drives Apple GPUs")
        } else {
            (Self::Cpu, "this build drives no accelerator")
        }
    }

    /// The device that a user names (`auto` included), if this build can drive it.
    pub fn named(name: &str) -> Result<Self, DeviceError> {
        let device = if name == "auto" { Self::auto().0 } else { name.parse()? };
        match device {
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(DeviceError::NotBuilt { device, feature: "cuda" })
            }
            Self::Metal if !cfg!(feature = "metal") => {
                Err(DeviceError::NotBuilt { device, feature: "metal" })
            }
            device => Ok(device),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => name
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(name.to_owned())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// Architecture and instruction set that the kernels use: `x86-64 avx512`.
///
/// Results of a training repeat bit for bit where this text, the program and the plan are the same.
pub fn describe_cpu() -> String {
    #[cfg(target_arch = "x86_64")]
    let level = if std::is_x86_feature_detected!("avx512f") {
        "avx512"
    } else if std::is_x86_feature_detected!("avx2") {
        "avx2"
    } else {
        "sse2"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let level = "generic";
    format!("{} {level}", std::env::consts::ARCH.replace('_', "-"))
}

/// What trainings of this build run on here: `cpu x86-64 avx512`, `cuda:0`. Instruction sets, and accelerators, differ in rounding.
pub fn device_line() -> String {
    match Device::auto().0 {
        Device::Cpu => format!("cpu {}", describe_cpu()),
        accelerator => accelerator.to_string(),
    }
}

/// How many threads computations use: `MLP_THREADS` if set, else what rayon takes (`RAYON_NUM_THREADS`, or the available
/// parallelism). Never changes a result, only how soon it is there.
///
/// The first call decides for the process: call it before anything computes.
pub fn threads() -> usize {
    static CONFIGURED: OnceLock<()> = OnceLock::new();
    CONFIGURED.get_or_init(|| {
        let wanted =
            std::env::var(crate::base::variables::THREADS).ok().and_then(|text| text.trim().parse().ok());
        if let Some(wanted @ 1..) = wanted {
            // Fails only if the pool was used before, which then stays as it is.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(wanted).build_global();
        }
    });
    rayon::current_num_threads()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_survive_a_round_trip() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(3), Device::Metal] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
    }

    #[test]
    fn a_name_that_is_no_device_is_refused() {
        for name in ["", "gpu", "cuda:", "cuda:x", "CPU"] {
            assert_eq!(name.parse::<Device>(), Err(DeviceError::Unknown(name.to_owned())));
        }
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn the_default_build_takes_the_processor_and_names_the_feature_it_lacks() {
        assert_eq!(Device::named("auto"), Ok(Device::Cpu));
        let refused = Device::named("cuda:1").expect_err("not built in").to_string();
        assert!(refused.contains("cuda:1") && refused.contains("--features cuda"), "{refused}");
    }
}
