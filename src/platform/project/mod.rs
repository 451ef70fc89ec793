//! The front door of the platform: `mlp.yaml`, templates, schemas.

mod manifest;
mod open;

pub use manifest::{Manifest, Profile, ProjectSpec};
pub use open::{Project, ProjectError};
