//! Papers about a version, written from evidence alone: the model card and the technical documentation. Whatever number stands in them
//! names the record that it comes from; what is not there is named as missing.

mod card;
mod dossier;
mod html;
mod markdown;
mod portrait;
mod sections;
#[cfg(test)]
mod tests;

pub use card::{is_model_card, model_card};
pub use dossier::{Part, dossier};
pub use html::page;
pub use markdown::Link;
pub use portrait::{Portrait, Promotion, Written};
