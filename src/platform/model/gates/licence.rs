//! `licence`: what the data's licence allows, held against the model's.
//!
//! Whether a model is an adaptation of the data it was trained with is disputed. The gate takes the careful side: it is one.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::base::Name;
use crate::platform::model::{DataRule, Rules};

pub(super) const WANTED: &str = "a licence of the model that those of its data allow";

pub(super) const MEANING: &str = "`licence:` of the model and of each dataset that the run read, as SPDX identifiers in mlp.yaml on \
     the trust branch. Public domain and permissive licences allow any; share-alike ones only themselves and what their \
     stewards name as compatible; non-commercial ones only non-commercial licences; those that forbid derivatives none. It \
     takes the careful side: a model counts as made from its data. What is neither a dataset of mlp.yaml nor lies in one is unknown, and so is what is \
     not in the table (`mlp gate explain` names the page): a waiver says who looked at it. This is no legal advice.";

/// What is asked of licences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LicenceState {
    /// The licences of the data allow that of the model.
    Compatible,
}

/// What a licence asks of what is made from the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terms {
    /// Nothing, or naming its authors.
    Permissive,
    /// One of these licences.
    ShareAlike(&'static [&'static str]),
    /// No use for money; the licence may be another one that says so.
    NonCommercial,
    /// No use for money, and one of these licences.
    NonCommercialShareAlike(&'static [&'static str]),
    /// Nothing may be made from it.
    NoDerivatives,
}

/// The licences that are known, by SPDX identifier (the list of spdx.org/licenses). What share-alike ones are compatible with is
/// what Creative Commons (creativecommons.org/share-your-work/licensing-considerations/compatible-licenses) and the GNU project
/// (gnu.org/licenses/license-list) say.
const KNOWN: &[(&str, Terms)] = &[
    ("0BSD", Terms::Permissive),
    ("Apache-2.0", Terms::Permissive),
    ("BSD-2-Clause", Terms::Permissive),
    ("BSD-3-Clause", Terms::Permissive),
    ("BSL-1.0", Terms::Permissive),
    ("CC0-1.0", Terms::Permissive),
    ("CC-BY-2.0", Terms::Permissive),
    ("CC-BY-2.5", Terms::Permissive),
    ("CC-BY-3.0", Terms::Permissive),
    ("CC-BY-4.0", Terms::Permissive),
    ("CDLA-Permissive-1.0", Terms::Permissive),
    ("CDLA-Permissive-2.0", Terms::Permissive),
    ("ISC", Terms::Permissive),
    ("MIT", Terms::Permissive),
    ("MIT-0", Terms::Permissive),
    ("ODC-By-1.0", Terms::Permissive),
    ("PDDL-1.0", Terms::Permissive),
    ("Unlicense", Terms::Permissive),
    ("Zlib", Terms::Permissive),
    ("CC-BY-SA-3.0", Terms::ShareAlike(&["CC-BY-SA-3.0", "CC-BY-SA-4.0"])),
    ("CC-BY-SA-4.0", Terms::ShareAlike(&["CC-BY-SA-4.0", "GPL-3.0-only"])),
    ("GPL-2.0-only", Terms::ShareAlike(&["GPL-2.0-only"])),
    (
        "GPL-2.0-or-later",
        Terms::ShareAlike(&["GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"]),
    ),
    ("GPL-3.0-only", Terms::ShareAlike(&["GPL-3.0-only"])),
    ("GPL-3.0-or-later", Terms::ShareAlike(&["GPL-3.0-only", "GPL-3.0-or-later"])),
    ("CC-BY-NC-3.0", Terms::NonCommercial),
    ("CC-BY-NC-4.0", Terms::NonCommercial),
    ("CC-BY-NC-SA-3.0", Terms::NonCommercialShareAlike(&["CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"])),
    ("CC-BY-NC-SA-4.0", Terms::NonCommercialShareAlike(&["CC-BY-NC-SA-4.0"])),
    ("CC-BY-ND-3.0", Terms::NoDerivatives),
    ("CC-BY-ND-4.0", Terms::NoDerivatives),
    ("CC-BY-NC-ND-3.0", Terms::NoDerivatives),
    ("CC-BY-NC-ND-4.0", Terms::NoDerivatives),
];

fn terms(licence: &str) -> Option<Terms> {
    // SPDX identifiers are compared without regard to case (SPDX 2.3, annex D.2).
    KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(licence)).map(|(_, terms)| *terms)
}

/// Whether data under `data` may be made into a model under `model`; none if one of them is not known.
fn allows(data: &str, model: &str) -> Option<bool> {
    let of_model = terms(model)?;
    let one_of = |list: &[&str]| list.iter().any(|name| name.eq_ignore_ascii_case(model));
    let unpaid = matches!(of_model, Terms::NonCommercial | Terms::NonCommercialShareAlike(_))
        || model.to_ascii_uppercase().starts_with("CC-BY-NC-ND");
    Some(match terms(data)? {
        Terms::Permissive => true,
        Terms::ShareAlike(list) | Terms::NonCommercialShareAlike(list) => one_of(list),
        Terms::NonCommercial => unpaid,
        Terms::NoDerivatives => false,
    })
}

/// The dataset that an input of a run is or lies in: runs of models record names, those of steps paths.
fn dataset<'a>(rules: &'a Rules, input: &str) -> Option<(&'a Name, &'a DataRule)> {
    let named = rules.data.iter().find(|(name, _)| name.as_str() == input);
    let within = |path: &str| Path::new(input).starts_with(path.trim_end_matches('/'));
    named.or_else(|| rules.data.iter().find(|(_, rule)| !rule.path.is_empty() && within(&rule.path)))
}

pub(super) fn find(case: &Case<'_>) -> Finding {
    let model = case.candidate.history.model();
    let Some((id, run)) = &case.candidate.run else {
        return super::no_run();
    };
    let Some(licence) = &case.rules.licence else {
        return Finding::unknown(format!("the model `{model}` names no licence")).resting_on([*id]).next(
            format!("add `licence: SPDX-IDENTIFIER` to the model `{model}` in mlp.yaml and commit it"),
        );
    };
    let (mut allowed, mut refused, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = None;
    for input in run.body.data.keys() {
        // The output of a step, a model that it began with, a dataset that is no longer there or has another name.
        let Some((name, rule)) = dataset(case.rules, input) else {
            open.push(format!("the licence of `{input}` is not known"));
            continue;
        };
        let Some(of_data) = &rule.licence else {
            open.push(format!("the dataset `{name}` names no licence"));
            next.get_or_insert(format!(
                "add `licence: SPDX-IDENTIFIER` to the dataset `{name}` in mlp.yaml and commit it"
            ));
            continue;
        };
        match allows(of_data, licence) {
            Some(true) => allowed.push(format!("{of_data} of `{name}`")),
            Some(false) => refused.push(format!("{of_data} of `{name}` does not allow {licence}")),
            None => {
                let unknown = if terms(licence).is_none() { licence } else { of_data };
                open.push(format!("what `{unknown}` allows is not known to mlp"));
            }
        }
    }
    let look = format!("mlp waive {} {} --until DATE --reason \"...\"", case.reference(), case.gate);
    let finding = match (refused.is_empty(), open.is_empty()) {
        (false, _) => Finding::decided(false, refused.join("; "))
            .next("choose another licence for the model, or other data"),
        (true, false) => Finding::unknown(open.join("; ")).next(next.unwrap_or(look)),
        (true, true) if allowed.is_empty() => Finding::decided(true, format!("{licence}; it read nothing")),
        (true, true) => Finding::decided(true, format!("{licence}, allowed by {}", allowed.join(", "))),
    };
    finding.resting_on([*id])
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn what_permits_what() {
        for (data, model, allowed) in [
            ("CC0-1.0", "MIT", Some(true)),
            ("cc-by-4.0", "apache-2.0", Some(true)),
            ("CC-BY-SA-3.0", "Apache-2.0", Some(false)),
            ("CC-BY-SA-3.0", "CC-BY-SA-4.0", Some(true)),
            ("CC-BY-SA-4.0", "CC-BY-SA-3.0", Some(false)),
            ("CC-BY-SA-4.0", "GPL-3.0-only", Some(true)),
            ("GPL-3.0-only", "CC-BY-SA-4.0", Some(false)),
            ("CC-BY-NC-4.0", "MIT", Some(false)),
            ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", Some(true)),
            ("CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", Some(true)),
            ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0", Some(false)),
            ("CC-BY-ND-4.0", "CC-BY-ND-4.0", Some(false)),
            ("ODbL-1.0", "MIT", None),
            ("MIT", "LicenseRef-ours", None),
        ] {
            assert_eq!(allows(data, model), allowed, "{data} {model}");
        }
    }
}
