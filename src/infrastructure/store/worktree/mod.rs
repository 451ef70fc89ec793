//! Between a folder of the user and the store: snapshot, compare, check out; with the stat cache.

mod cache;
mod checkout;
mod diff;
mod names;
mod place;
mod read;
mod scan;
mod snapshot;
mod stat;
mod survey;
mod trash;

pub use cache::StatCache;
pub use checkout::{Checkout, CheckoutOptions, checkout};
pub use diff::{Change, diff, status};
pub use snapshot::{Snapshot, identify, snapshot};

#[cfg(test)]
mod tests;
