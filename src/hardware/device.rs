//! Compute devices and their names.

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

/// Architecture, instruction set that the kernels use, and vendor-independent facts of this processor: `x86-64 avx512`.
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

/// How many threads computations use: `MLP_THREADS` or `RAYON_NUM_THREADS` if set, else the available parallelism.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
