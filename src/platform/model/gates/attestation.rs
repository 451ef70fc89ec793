//! `attestation: signed`: a signer has signed the files as other tools verify it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::platform::model::{ModelError, Need, SIGNATURE, hint, verify};

pub(super) const WANTED: &str = "the files signed by a signer, as other tools verify it";

pub(super) const MEANING: &str = "`mlp model attest --key` (or `--sign`) put a signature over every file of the version (OpenSSF Model \
     Signing: an in-toto statement in a sigstore bundle) on record. Its key is a line `ecdsa-sha2-nistp256` of the signers' file on the \
     trust branch that was valid at the time of judgement. The newest record that holds counts.";

/// State of the files of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttestationState {
    /// A signer has signed every file.
    Signed,
}

pub(super) fn find(case: &Case<'_>) -> Result<Finding, ModelError> {
    let tree = case.candidate.version.tree;
    let rules = case.rules;
    let attest = format!("mlp model attest {} --key signing.pem", case.reference());
    let keys = rules.signers.ec_keys(case.at);
    if keys.is_empty() {
        let next = format!(
            "add a line `PRINCIPAL namespaces=\"model-signing\" ecdsa-sha2-nistp256 KEY` to {}, then {} && {attest}",
            rules.signers_path,
            super::card::commit(&rules.signers_path, case)
        );
        let observed = format!("{} has no key that signs models", rules.signers_path);
        return Ok(Finding::decided(false, observed).next(next));
    }
    let mut signatures = case.evidence.attestations(tree, SIGNATURE).peekable();
    if signatures.peek().is_none() {
        return Ok(Finding::unknown("not signed yet").next(attest));
    }
    let Some(files) = case.evidence.files(&tree)? else {
        return Ok(Finding::unknown("the files of the version are not here")
            .next(case.check())
            .needing(Need::Files { id: tree }));
    };
    let mut void = None;
    for (id, record) in signatures {
        let bundle = &record.body.bundle;
        // The keys of others fail with less to say than the one that is named.
        let named = hint(bundle);
        let Some((principal, key)) = keys.iter().find(|(_, key)| named == Some(key.hint().as_str())) else {
            void.get_or_insert((*id, "the signature is by a key of no signer".to_owned()));
            continue;
        };
        match verify(bundle, key, &files) {
            Ok(()) => {
                let observed = format!("{} files, signed by {principal}", files.len());
                return Ok(Finding::decided(true, observed).resting_on([tree, *id]));
            }
            Err(why) => {
                void.get_or_insert((*id, format!("the signature by {principal} is void: {why}")));
            }
        }
    }
    let (id, why) = void.unzip();
    Ok(Finding::decided(false, why.unwrap_or_default())
        .resting_on(id.map(|id| [tree, id]).into_iter().flatten())
        .next(attest))
}
