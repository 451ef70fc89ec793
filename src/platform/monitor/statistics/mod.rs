//! Two-sample statistics: whether what is seen now is what was seen before. One per file, each with its source.

mod chi_square;
mod gamma;
mod ks;
mod mmd;
mod psi;
mod sparse;

use crate::base::Tested;

pub use chi_square::chi_square;
pub use ks::{ks, ks_of_counts, ks_p_value};
pub use mmd::{PERMUTATIONS, mmd};
pub use psi::psi;
pub use sparse::categories;

#[cfg(test)]
mod tests;
