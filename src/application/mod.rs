//! Layer 4: what the user meets.

mod commands;
pub mod ui;

pub use commands::main;
