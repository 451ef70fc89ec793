//! Layer 4: what the user meets.

mod commands;
mod judgement;
pub mod ui;

pub use commands::main;
