//! Keeping stores in order: what is needed, collecting what is not, joining index objects.

mod accounts;
mod collect;
mod compact;
mod reach;
mod roots;

pub use self::collect::{CollectOptions, Collected, collect};
pub use self::compact::{Compacted, compact};

#[cfg(test)]
mod tests;
