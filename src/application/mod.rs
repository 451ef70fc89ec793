//! Layer 4: what the user meets.

mod answering;
mod chosen;
mod commands;
mod completion;
mod elsewhere;
mod following;
mod judgement;
mod live;
mod mirror;
mod named;
mod predictions;
mod promised;
mod rehearsal;
mod stores;
pub mod ui;

pub use commands::{command, main};

use crate::base::Explain;
use crate::infrastructure::{compute, git, keys, store};
use crate::platform::{data, model, monitor, project, run, serve, step, train};

/// The explanations of all error codes, module by module from the highest down.
pub fn explanations() -> impl Iterator<Item = &'static Explain> {
    let modules: [&'static [Explain]; 15] = [
        ui::EXPLAIN,
        project::EXPLAIN,
        serve::EXPLAIN,
        model::MODEL_EXPLAIN,
        model::LINEAGE_EXPLAIN,
        model::package::PACKAGE_EXPLAIN,
        run::RUN_EXPLAIN,
        monitor::EXPLAIN,
        step::EXPLAIN,
        train::TRAIN_EXPLAIN,
        data::EXPLAIN,
        compute::JOB_EXPLAIN,
        store::STORE_EXPLAIN,
        keys::KEYS_EXPLAIN,
        git::GIT_EXPLAIN,
    ];
    modules.into_iter().flatten()
}
