//! Between a folder of the user and the store: snapshot, compare, check out; with the stat cache.

mod archive;
mod cache;
mod checkout;
mod clones;
mod diff;
mod edit;
mod kept;
mod left_over;
mod names;
mod place;
mod portable;
mod read;
mod scan;
mod snapshot;
pub(super) mod space;
mod sparse;
mod sparse_file;
mod stat;
mod survey;
mod trash;
mod unfinished;

pub use archive::{archive, archive_file};
pub use cache::StatCache;
pub use checkout::{Checkout, CheckoutOptions, checkout};
pub(super) use clones::Clones;
pub use diff::{Change, diff, dropped, status};
pub use edit::{Edit, Edits, edit};
pub use snapshot::{Snapshot, identify, snapshot};
pub use space::available;
pub use sparse::Sparse;
pub use sparse_file::SparseFile;
pub use trash::{Trashed, restore, trashed};
pub use unfinished::Unfinished;

#[cfg(test)]
mod tests;
