//! Keeping stores in order: what is needed, collecting what is not, joining index objects, looking for damage and mending it,
//! figures. `docs/concepts/keeping.md` tells users what is kept.

mod accounts;
mod collect;
mod compact;
mod fsck;
mod reach;
mod repair;
mod roots;
mod stats;
mod sweep;

pub use self::collect::{CollectOptions, Collected, collect};
pub use self::compact::{Compacted, compact};
pub use self::fsck::{Checked, Depth, Finding, fsck, fsck_remote};
pub use self::repair::{Repaired, repair, repair_remote};
pub use self::stats::{Stats, stats, stats_remote};
pub use self::sweep::{Swept, sweep};

#[cfg(test)]
mod tests;
