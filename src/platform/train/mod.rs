//! Training and evaluating with candle: networks, optimisers, loops, checkpoints.

mod error;
mod forward;
mod kernels;
mod model;
mod network;
mod random;
mod settings;
mod spec;
mod stock;
mod trainer;

pub use error::{EXPLAIN as TRAIN_EXPLAIN, TrainError};
pub use model::{Model, Prediction};
pub use network::check;
pub use spec::{
    AdamW, Augment, Conv2d, EarlyStop, EvaluateSpec, InputSpec, Layer, Loss, ModelSpec, Normalize, OneCycle,
    Optimizer, Schedule, Sgd, Slices, StepDecay, TrainSpec,
};
pub use trainer::{Control, Evaluated, Outcome, Stopped, evaluate, train};
