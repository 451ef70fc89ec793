//! What other tools ask about a model version: where it comes from, what judged it, what is in it, who signed it. All but the signature
//! is a function of the records, so that it is made when it is asked for, and is the same bytes wherever that is.

mod bom;
mod bundle;
mod files;
mod pickle;
mod statements;

pub use bom::bom;
pub use bundle::{SIGNATURE, hint, sign, signature_statement, verify};
pub use files::{ModelFile, folder_files, listed_files, stored_files, weights_problem};
pub use statements::{provenance, verdicts};
