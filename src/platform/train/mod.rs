//! Training and evaluating with candle: networks, optimisers, loops, checkpoints.

mod augment;
mod checkpoint;
mod device;
mod error;
mod evaluate;
mod forward;
mod kernels;
mod measure;
mod metrics;
mod model;
mod network;
mod optimizer;
mod plan;
mod preprocess;
mod random;
mod schedule;
mod settings;
mod spec;
mod stock;
mod trainer;

pub use error::{EXPLAIN as TRAIN_EXPLAIN, TrainError};
pub use evaluate::{Evaluated, evaluate};
pub use model::{Model, Prediction};
pub use network::{check, last_outputs};
pub use spec::{
    AdamW, Attention, Augment, Conv1d, Conv2d, ConvTranspose2d, EarlyStop, Embedding, EvaluateSpec,
    InputSpec, Layer, Loss, ModelSpec, Normalize, OneCycle, Optimizer, Recurrent, RecurrentOutput, Residual,
    Schedule, Sgd, Slices, StepDecay, TrainSpec,
};
pub use trainer::{Control, Outcome, Stopped, train};
