//! The front door of the platform: `mlp.yaml`, templates, schemas.

mod amend;
mod check;
mod ci;
mod collaboration;
mod error;
pub mod hosts;
mod manifest;
mod open;
mod outline;
mod personal;
mod profile;
mod resolve;
mod scaffold;
pub mod schema;
mod source;
mod template;
mod yaml;

pub use amend::{amend, follow};
pub use check::Findings;
pub use ci::{CiPlatform, CiSubject, ci_files};
pub use collaboration::Setup;
pub use error::{EXPLAIN, Mistake, ProjectError};
pub use manifest::{Manifest, ProjectSpec};
pub use open::{FILE, Project};
pub use profile::{Change, ChangeKind, Conflict, Following, Loosening, Profile, Update};
pub use scaffold::{Scaffold, write_new};
pub use template::{TEMPLATES, Template};
