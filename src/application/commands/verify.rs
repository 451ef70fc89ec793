//! `mlp verify`.

use std::path::{Path, PathBuf};

use clap_complete::engine::ArgValueCompleter;
use console::style;
use serde::Serialize;
use serde_json::Value;

use super::{Answer, Context};
use crate::application::chosen::choose;
use crate::application::completion;
use crate::application::judgement::mark;
use crate::application::ui::{Report, Table, clean, plural};
use crate::base::{Attestation, Digest, Entry, EntryKind, Exit, Failure, Run, Time, VerdictValue};
use crate::infrastructure::keys::{EcPublicKey, KeyError, Signers};
use crate::infrastructure::store::{StoreError, fetch};
use crate::platform::model::package::STAMP;
use crate::platform::model::{
    History, ModelError, ModelFile, Registry, SIGNATURE, folder_files, hint, listed_files, stored_files,
    verify, weights_problem,
};
use crate::platform::project::Project;

/// The file of a signature in a folder.
const BUNDLE: &str = "model.sig";
/// What is said of a signature by a key that nobody here knows.
const UNTRUSTED: &str = "it was made with a key that is not trusted here";
/// Bytes that a signature's file may have.
const LONGEST: u64 = 16 << 20;

/// Verifies the files of a model: of a version by its ledger, or of any folder by the signature in it.
///
/// Of a version every byte is read again, the ledger's signatures are checked, weights must be what their name says, the run must have made
/// these files, and signatures over them must hold. A folder must hold just the files that were signed (`model.sig`) or, within a project,
/// those of a registered version, which where there are signers one of them must have promoted; links and pickles are refused. Keys are
/// those of the curve P-256 in the signers' file on the trust branch, or
/// `--public-key`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A folder, or a model version: `digits@7`, `digits@production`. A folder that is there is taken for one.
    #[arg(value_name = "DIR|MODEL@REF", add = ArgValueCompleter::new(completion::references))]
    what: String,
    /// The public key that must have signed (PEM, or a public key file of SSH).
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// The signature of a folder, if it is not `model.sig` in it.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

#[derive(Serialize)]
struct Verified {
    subject: String,
    verified: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    verdict: VerdictValue,
    detail: String,
}

impl Report for Verified {
    fn schema(&self) -> &'static str {
        "mlp/verify/1"
    }

    fn human(&self) -> String {
        let mut table = Table::plain().indent(2);
        for check in &self.checks {
            table.row([mark(Some(check.verdict)), check.check.to_owned(), clean(&check.detail).into_owned()]);
        }
        let head = match self.verified {
            true => style(format!("{} is verified", self.subject)).green(),
            false => style(format!("{} is not verified", self.subject)).red(),
        };
        format!("{}{}\n", table.render(), head.bold())
    }
}

/// A key and what it is called.
type Key = (String, EcPublicKey);

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, check: &'static str, verdict: VerdictValue, detail: impl Into<String>) {
        self.0.push(Check { check, verdict, detail: detail.into() });
    }

    fn judge(&mut self, check: &'static str, result: Result<String, String>) {
        match result {
            Ok(detail) => self.add(check, VerdictValue::Pass, detail),
            Err(detail) => self.add(check, VerdictValue::Fail, detail),
        }
    }

    /// Adds that the ledger knows the tree: where the project has signers, one of them must have promoted it or put it back.
    fn registered(
        &mut self,
        check: &'static str,
        detail: String,
        signers: &Signers,
        history: &History,
        tree: &Digest,
    ) {
        let signed = |entry: &Entry| {
            matches!(entry.kind, EntryKind::Promote | EntryKind::Rollback)
                && entry.subject.tree == *tree
                && entry.signature.is_some()
        };
        if signers.is_empty() || history.entries().iter().any(signed) {
            self.add(check, VerdictValue::Pass, detail);
        } else {
            let why = format!("{detail}: registered; nobody signed for it");
            self.add(check, VerdictValue::Unknown, why);
        }
    }

    /// Checks one signature over `files` with the key that it names.
    fn signature(&mut self, bundle: &Value, keys: &[Key], files: &[ModelFile]) {
        let named = hint(bundle).and_then(|hint| keys.iter().find(|(_, key)| key.hint() == hint));
        match (named, keys) {
            (Some((who, key)), _) => {
                self.judge("signature", verify(bundle, key, files).map(|()| format!("by {who}")));
            }
            (None, []) => {
                self.add("signature", VerdictValue::Unknown, "there is no key to check it with: --public-key")
            }
            (None, _) => self.add("signature", VerdictValue::Fail, UNTRUSTED),
        }
    }

    /// Where one signature holds, others by keys that are not known here prove nothing and disprove nothing.
    fn excuse_strangers(&mut self) {
        let holds = |check: &Check| (check.check, check.verdict) == ("signature", VerdictValue::Pass);
        if self.0.iter().any(holds) {
            for check in self.0.iter_mut().filter(|check| check.detail == UNTRUSTED) {
                check.verdict = VerdictValue::Unknown;
            }
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let folder = context.dir.join(&args.what);
    let given = args.public_key.as_deref().map(|path| public_key(path, context)).transpose()?;
    let mut checks = Checks::default();
    if folder.is_dir() {
        of_folder(args, &folder, given, context, &mut checks)?;
    } else if folder.exists() {
        return Err(ModelError::NoFolder { path: args.what.clone(), why: "it is a file" }.into());
    } else if args.what.contains(std::path::is_separator) {
        // No model is called so.
        return Err(ModelError::NoFolder { path: args.what.clone(), why: "it does not exist" }.into());
    } else {
        of_version(args, given, context, &mut checks)?;
    }
    let failed = checks.0.iter().any(|check| check.verdict == VerdictValue::Fail);
    // Files that are whole are anybody's: somebody must answer for them.
    let vouched = checks.0.iter().any(|check| {
        check.verdict == VerdictValue::Pass && ["signature", "origin", "ledger"].contains(&check.check)
    });
    let verified = vouched && !failed;
    context.ui.report(&Verified { subject: args.what.clone(), verified, checks: checks.0 });
    Ok(if verified { Exit::Ok } else { Exit::No })
}

fn public_key(path: &Path, context: &Context) -> Result<Key, Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(context.dir.join(path))
        .map_err(|error| KeyError::NoKey(format!("`{shown}`: {error}")))?;
    Ok((shown.clone(), EcPublicKey::from_text(&text, &format!("`{shown}`"))?))
}

/// The keys that may have signed: the given one, else those of the signers' file.
fn keys(given: Option<Key>, signers: &Signers) -> Vec<Key> {
    given.map_or_else(|| signers.ec_keys(Time::now()), |key| vec![key])
}

fn of_version(
    args: &Args,
    given: Option<Key>,
    context: &Context,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let project = context.project()?;
    let (_, signers) = project.trusted()?;
    let chosen = choose(&project, &args.what)?;
    let (name, version) = (&chosen.name, &chosen.version);
    let stage = chosen.stage.as_ref().map(|stage| format!(", live in {stage}")).unwrap_or_default();
    let home = project.ledger_home()?;
    let history = Registry { home: &home, project: project.id(), signers: &signers }.history(name)?;
    let detail = format!("{name}@{}{stage}; registered by entry {}", version.number, version.entry);
    checks.registered("ledger", detail, &signers, &history, &version.tree);
    let store = &project.store;
    if !store.has(&version.tree)?
        && let Some(remote) = home.store()
    {
        fetch(store, remote, &[version.tree], &[], &context.ui)?;
    }
    let files = match stored_files(store, &version.tree) {
        Ok(files) => files,
        Err(error) => {
            checks.add("files", VerdictValue::Fail, error.to_string());
            return Ok(());
        }
    };
    checks.add(
        "files",
        VerdictValue::Pass,
        format!("{}, tree {}", plural(files.len() as u64, "file"), version.tree),
    );
    for file in &files {
        weights(checks, file, &store.read(&file.id)?);
    }
    if let Some(id) = version.run {
        checks.judge(
            "run",
            match store.record::<Run>(&id) {
                Ok(record) if record.body.outputs.get("model") == Some(&version.tree) => {
                    Ok(format!("{} made these files", record.body.run))
                }
                Ok(record) => Err(format!("{} made other files", record.body.run)),
                Err(error) => Err(error.to_string()),
            },
        );
    }
    let must = given.is_some();
    let keys = keys(given, &signers);
    let mut signed = false;
    for id in store.records(crate::base::RecordKind::Attestation)? {
        let record = store.record::<Attestation>(&id)?;
        if record.body.tree == version.tree && record.body.predicate == SIGNATURE {
            // Of several signatures one by the wanted key is enough.
            if must && hint(&record.body.bundle) != keys.first().map(|(_, key)| key.hint()).as_deref() {
                continue;
            }
            checks.signature(&record.body.bundle, &keys, &files);
            signed = true;
        }
    }
    checks.excuse_strangers();
    if must && !signed {
        checks.add("signature", VerdictValue::Fail, "nobody signed it with this key");
    }
    Ok(())
}

fn of_folder(
    args: &Args,
    folder: &Path,
    given: Option<Key>,
    context: &Context,
    checks: &mut Checks,
) -> Result<(), Failure> {
    // What `mlp model pull` says of a folder is none of the model's files.
    let files = match folder_files(folder, &[BUNDLE, STAMP]) {
        Ok(files) => files,
        Err(error @ ModelError::Files { .. }) => {
            checks.add("files", VerdictValue::Fail, error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    checks.add("files", VerdictValue::Pass, plural(files.len() as u64, "file"));
    for file in &files {
        let path = folder.join(&file.path);
        weights(checks, file, &std::fs::read(&path).map_err(StoreError::io("read", &path))?);
    }
    let project = context.project().ok();
    let signers =
        project.as_ref().map(Project::trusted).transpose()?.map_or_else(Signers::default, |found| found.1);
    let must = given.is_some() || args.signature.is_some();
    let path = args.signature.as_ref().map_or_else(|| folder.join(BUNDLE), |path| context.dir.join(path));
    if must || path.is_file() {
        match bundle(&path) {
            Ok(bundle) => checks.signature(&bundle, &keys(given, &signers), &files),
            Err(why) => checks.add("signature", VerdictValue::Fail, format!("`{}`: {why}", path.display())),
        }
    }
    if let Some(project) = &project {
        version_of(project, &signers, &files, checks)?;
    }
    if checks.0.iter().all(|check| check.check == "files" || check.check == "weights") {
        checks.add("origin", VerdictValue::Fail, "it is not signed, and no project around it knows it");
    }
    Ok(())
}

fn bundle(path: &Path) -> Result<Value, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("it is no JSON: {error}"))
}

/// Which registered version the files are.
fn version_of(
    project: &Project,
    signers: &Signers,
    files: &[ModelFile],
    checks: &mut Checks,
) -> Result<(), Failure> {
    let home = project.ledger_home()?;
    let wanted: Vec<(String, Digest)> = files.iter().map(|file| (file.path.clone(), file.id)).collect();
    let registry = Registry { home: &home, project: project.id(), signers };
    for model in home.models(project.id())? {
        let history = registry.history(&model)?;
        for version in history.versions().iter().rev() {
            match listed_files(&project.store, &version.tree) {
                Ok(Some(known)) if known == wanted => {
                    let detail = format!("they are {model}@{}", version.number);
                    checks.registered("origin", detail, signers, &history, &version.tree);
                    return Ok(());
                }
                Ok(_) | Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let signed =
        checks.0.iter().any(|check| check.check == "signature" && check.verdict == VerdictValue::Pass);
    let verdict = if signed { VerdictValue::Unknown } else { VerdictValue::Fail };
    checks.add("origin", verdict, "no registered version here has just these files");
    Ok(())
}

/// Weights must be what their name says.
fn weights(checks: &mut Checks, file: &ModelFile, bytes: &[u8]) {
    if let Some(why) = weights_problem(&file.path, bytes) {
        checks.add("weights", VerdictValue::Fail, format!("`{}`: {why}", file.path));
    }
}
