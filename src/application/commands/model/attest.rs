//! `mlp model attest`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;
use serde_json::Value;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, Table};
use crate::base::{
    Attestation, Body, Digest, EntryKind, Evaluation, Exit, Failure, Name, Record, RecordKind, Verdict,
};
use crate::infrastructure::durable;
use crate::infrastructure::keys::{EcKey, KeyError, only_for_its_owner};
use crate::infrastructure::store::{Local, StoreError, fetch};
use crate::platform::model::{
    History, SIGNATURE, Version, bom, provenance, sign, signature_statement, stored_files, verdicts,
};
use crate::platform::project::Project;
use crate::platform::run::publish;

/// The secret that holds the key.
const SECRET: &str = "MODEL_SIGNING_KEY";

/// Writes what other tools ask about a model version, and signs its files for them.
///
/// `--out DIR` writes where it comes from (`provenance.intoto.json`: in-toto, SLSA provenance v1), what the gates said at each promotion
/// (`verdicts-STAGE.intoto.json`), a bill of materials (`bom.cdx.json`: CycloneDX 1.6) and, if the version was signed, `model.sig`
/// (OpenSSF Model Signing), which `model_signing verify key DIR --signature model.sig --public_key PEM` checks.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("what").args(["out", "key", "sign"]).required(true).multiple(true))]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@production`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
    /// Writes the statements into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Signs the files with this private key on the curve P-256 (PEM, without a passphrase). Only the signature is kept.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Signs the files with the key that the secret MODEL_SIGNING_KEY holds (`secrets:` in your own configuration, or the variable).
    #[arg(long, conflicts_with = "key")]
    sign: bool,
}

#[derive(Serialize)]
struct Attested {
    model: Name,
    version: u64,
    tree: Digest,
    /// The record of the new signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Digest>,
    /// What stands for the key: SHA-256 of its public half in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    files: Vec<PathBuf>,
}

impl Report for Attested {
    fn schema(&self) -> &'static str {
        "mlp/model-attest/1"
    }

    fn human(&self) -> String {
        let mut rows = Table::plain().indent(2);
        if let (Some(id), Some(key)) = (self.signature, &self.key) {
            rows.row(["signed".to_owned(), format!("b3:{} with the key {}…", id.short(), &key[..12])]);
        }
        for file in &self.files {
            rows.row(["wrote".to_owned(), file.display().to_string()]);
        }
        format!("{}@{}\n{}", self.model, self.version, rows.render())
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let key = private_key(args, &project, context)?;
    let judging = Judging::open(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let history = judging.registry().history(&model)?;
    let version = history.select(&selector)?;
    if !project.store.has(&version.tree)?
        && let Some(remote) = judging.home.store()
    {
        fetch(&project.store, remote, &[version.tree], &[], &context.ui)?;
    }
    let files = stored_files(&project.store, &version.tree)?;
    let mut attested = Attested {
        version: version.number,
        tree: version.tree,
        signature: None,
        key: None,
        files: Vec::new(),
        model: model.clone(),
    };
    if let Some(key) = key {
        let statement = signature_statement(&format!("{model}@{}", version.number), &files);
        let body = Attestation {
            model: model.clone(),
            version: version.number,
            tree: version.tree,
            predicate: SIGNATURE.to_owned(),
            bundle: sign(&statement, &key)?,
        };
        let (rules, actor) = (judging.rules(&model)?, judging.author());
        let record = Record::new(actor.author(), vec![version.tree], body);
        let id = judging.change(&model, &rules, &actor, |workshop| -> Result<Digest, Failure> {
            let id = publish(workshop.store, &record, model.as_str(), &[])?;
            (workshop.share)(&[id])?;
            Ok(id)
        })?;
        (attested.signature, attested.key) = (Some(id), Some(key.public().hint()));
    }
    if let Some(out) = &args.out {
        let folder = context.dir.join(out);
        durable::make_folders(&folder).map_err(StoreError::io("make", &folder))?;
        for (name, value) in statements(&judging, &history, version, &files)? {
            let path = folder.join(&name);
            // A JSON value: writing it cannot fail.
            let text = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
            durable::replace(&path, text.as_bytes()).map_err(StoreError::io("write", &path))?;
            attested.files.push(out.join(name));
        }
    }
    context.ui.report(&attested);
    Ok(Exit::Ok)
}

/// The key to sign with, if one is asked for.
fn private_key(args: &Args, project: &Project, context: &Context) -> Result<Option<EcKey>, Failure> {
    if args.sign {
        let values = project.secrets.values(&[SECRET.to_owned()])?;
        let text = values.get(SECRET).map(String::as_str).unwrap_or_default();
        return Ok(Some(EcKey::from_pem(text, &format!("the secret `{SECRET}`"))?));
    }
    let Some(path) = &args.key else { return Ok(None) };
    let (path, shown) = (context.dir.join(path), path.display().to_string());
    only_for_its_owner(&path.display().to_string()).map_err(KeyError::NoModelKey)?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| KeyError::NoModelKey(format!("`{shown}`: {error}")))?;
    Ok(Some(EcKey::from_pem(&text, &format!("`{shown}`"))?))
}

/// Every statement about `version`, by the name of its file.
fn statements(
    judging: &Judging<'_>,
    history: &History,
    version: &Version,
    files: &[crate::platform::model::ModelFile],
) -> Result<BTreeMap<String, Value>, Failure> {
    let store = &judging.project.store;
    let candidate = judging.candidate(history, version)?;
    let mut statements = BTreeMap::new();
    if let Some((id, record)) = &candidate.run {
        statements.insert("provenance.intoto.json".to_owned(), provenance(files, *id, record));
    }
    let promotions = history
        .entries()
        .iter()
        .filter(|entry| entry.kind == EntryKind::Promote && entry.subject.version == version.number);
    // Of several promotions to one stage the last one.
    for entry in promotions {
        let Some(stage) = &entry.subject.stage else { continue };
        let mut records = BTreeMap::new();
        for id in &entry.evidence {
            if store.any_record(id)?.kind == RecordKind::Verdict {
                records.insert(*id, store.record::<Verdict>(id)?);
            }
        }
        statements.insert(format!("verdicts-{stage}.intoto.json"), verdicts(files, entry, &records));
    }
    let mut evaluations = about::<Evaluation>(store)?;
    evaluations.retain(|(_, record)| record.body.model == version.tree);
    let run = candidate.run.as_ref().map(|(_, record)| record);
    statements.insert("bom.cdx.json".to_owned(), bom(history.model(), version, files, run, &evaluations));
    let mut signatures = about::<Attestation>(store)?;
    signatures.retain(|(_, record)| record.body.tree == version.tree && record.body.predicate == SIGNATURE);
    if let Some((_, newest)) = signatures.into_iter().max_by_key(|(id, record)| (record.time, *id)) {
        statements.insert("model.sig".to_owned(), newest.body.bundle);
    }
    Ok(statements)
}

/// The records of one kind that are here, in the order of their ids.
fn about<B: Body>(store: &Local) -> Result<Vec<(Digest, Record<B>)>, StoreError> {
    let mut found = Vec::new();
    for id in store.records(B::KIND)? {
        match store.record::<B>(&id) {
            Ok(record) => found.push((id, record)),
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by_key(|(id, _)| *id);
    found.dedup_by_key(|(id, _)| *id);
    Ok(found)
}
