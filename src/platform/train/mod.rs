//! Training and evaluating with candle: networks, optimisers, loops, checkpoints.

mod error;
mod model;
mod spec;
mod trainer;

pub use error::{EXPLAIN as TRAIN_EXPLAIN, TrainError};
pub use model::{Model, Prediction};
pub use spec::{
    AdamW, Augment, Conv2d, EarlyStop, EvaluateSpec, InputSpec, Layer, Loss, ModelSpec, Normalize, OneCycle,
    Optimizer, Schedule, Sgd, Slices, StepDecay, TrainSpec,
};
pub use trainer::{Control, Evaluated, Outcome, Stopped, check, evaluate, train};
