//! Profiles: versioned sets of default gates, as data.

use indexmap::IndexMap;

use super::Profile;
use crate::base::Name;
use crate::platform::model::StageSpec;

/// The stages of a profile with their gates.
pub(super) fn stages(profile: Profile) -> IndexMap<Name, StageSpec> {
    let _ = profile;
    IndexMap::new()
}

/// The stages of the profile and of the manifest: the manifest's order, or the profile's if it names none; a gate of the
/// manifest replaces the profile's of the same name.
pub(super) fn merged(manifest: &super::Manifest) -> IndexMap<Name, StageSpec> {
    let defaults = stages(manifest.project.profile);
    if manifest.stages.is_empty() {
        return defaults;
    }
    let merge = |(name, own): (&Name, &StageSpec)| {
        let mut stage = defaults.get(name).cloned().unwrap_or_default();
        stage.gates.extend(own.gates.clone());
        stage.keep = own.keep.or(stage.keep);
        (name.clone(), stage)
    };
    manifest.stages.iter().map(merge).collect()
}
