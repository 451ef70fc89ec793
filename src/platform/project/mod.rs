//! The front door of the platform: `mlp.yaml`, templates, schemas.

mod error;
mod manifest;
mod open;
mod outline;
mod profile;
mod resolve;
mod source;
mod yaml;

pub use error::{EXPLAIN, Mistake, ProjectError};
pub use manifest::{Manifest, Profile, ProjectSpec};
pub use open::{FILE, Project};
