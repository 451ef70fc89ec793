//! Layer 4: what the user meets.

mod commands;
mod following;
