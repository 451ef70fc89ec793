//! Training and evaluating with candle: networks, optimisers, loops, checkpoints.

mod augment;
mod checkpoint;
mod corrupt;
mod criterion;
mod device;
mod error;
mod evaluate;
mod forward;
mod gradients;
mod init;
mod kernels;
mod labelled;
mod measure;
mod metrics;
mod model;
mod network;
mod onnx;
mod optimizer;
mod plan;
mod preprocess;
mod random;
mod sampling;
mod schedule;
mod settings;
mod spec;
mod stock;
mod trainer;

pub use error::{EXPLAIN as TRAIN_EXPLAIN, TrainError};
pub use evaluate::{Evaluated, evaluate};
pub use init::Origin;
#[cfg(feature = "measuring")]
pub use kernels::roofline::roofline;
pub use labelled::labelled;
pub use metrics::{
    Gain, METRICS, Predicted, is_metric, is_share, join, less_is_better, paired_bootstrap, proportion,
};
pub use model::{Model, Prediction};
pub use network::{check, last_outputs};
pub(crate) use random::{Purpose, Stream};
pub use settings::{WATCHED, check as check_settings};
pub use spec::{
    AdamW, Attention, Augment, Balanced, ClassWeights, Conv1d, Conv2d, ConvTranspose2d, Corruption, Crop,
    CrossEntropy, EarlyStop, Ema, Embedding, EvaluateSpec, Flip, Huber, Init, InputSpec, Layer, Loss, Mixup,
    ModelSpec, Normalize, OneCycle, Optimizer, Plateau, Pool, Recurrent, RecurrentOutput, Residual, RmsProp,
    Sampler, Schedule, Sgd, Slices, StepDecay, TrainSpec, WarmUp,
};
pub use trainer::{Control, Outcome, Stopped, train};
