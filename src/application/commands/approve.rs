//! `mlp approve`.

use std::path::{Path, PathBuf};

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, argument};
use crate::base::{Approval, Digest, Exit, Failure, Level, Name, Record, Sink, Time};
use crate::infrastructure::keys::NAMESPACE_APPROVAL;
use crate::infrastructure::{durable, store::StoreError};
use crate::platform::model::{Approved as Approving, ModelError, Workshop};

/// Bytes that a statement or a signature may have.
const LONGEST: u64 = 64 << 10;

/// Signs an approval of a model version for a stage.
///
/// The signature covers the digest of the version's files, so that it is void for any other. It needs a key that stands in the
/// signers' file on the trust branch. An approval that no gate would count is refused: by who made the version, or by somebody without
/// a role that the gates ask for. Who approves again changes nothing. Somebody without a clone signs elsewhere:
/// `--statement FILE --principal WHO` writes what they sign with `ssh-keygen -Y sign -n mlp-approval -f KEY FILE`, and `--signature FILE.sig` takes it back.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("signer").args(["principal", "signature"]))]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@staging`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
    /// The stage it may go to.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    to: String,
    /// Words for those who read it later.
    #[arg(long, value_name = "TEXT", conflicts_with = "signature")]
    comment: Option<String>,
    /// The SSH key that signs: the approval, or the entry that brings an approval signed elsewhere.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Writes the statement to be signed elsewhere into this file; with `--signature`, the statement that was signed.
    #[arg(long, value_name = "FILE", requires = "signer")]
    statement: Option<PathBuf>,
    /// Who signs the statement, as the signers' file names them.
    #[arg(long, value_name = "WHO", requires = "statement", conflicts_with = "signature")]
    principal: Option<String>,
    /// Takes the signature of a statement from this file; the statement is `--statement`, or the file beside it without `.sig`.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

#[derive(Serialize)]
struct Approved {
    model: Name,
    version: u64,
    tree: Digest,
    stage: Name,
    signer: String,
    already: bool,
    entry: Digest,
    evidence: Vec<Digest>,
}

impl Report for Approved {
    fn schema(&self) -> &'static str {
        "mlp/approve/1"
    }

    fn human(&self) -> String {
        let Self { model, version, stage, signer, already, tree, .. } = self;
        let already = if *already { " already; nothing was written" } else { "" };
        let head = format!("{model}@{version} is approved for {stage} by {signer}{already}");
        let head = style(head).green().bold();
        format!("{head}\n  files {tree}\n")
    }
}

#[derive(Serialize)]
struct Stated {
    model: Name,
    version: u64,
    tree: Digest,
    stage: Name,
    principal: String,
    statement: PathBuf,
    sign: String,
    next: String,
}

impl Report for Stated {
    fn schema(&self) -> &'static str {
        "mlp/approve-statement/1"
    }

    fn human(&self) -> String {
        let Self { model, version, stage, principal, tree, .. } = self;
        format!(
            "`{}` says that {principal} approves {model}@{version} for {stage}\n  files {tree}\n{principal} signs it: {}\nthen: {}\n",
            self.statement.display(),
            style(&self.sign).cyan(),
            style(&self.next).cyan()
        )
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::renewed(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let rules = judging.rules(&model)?;
    let stage = rules.stage(&args.to)?.clone();
    let file = |path: &PathBuf| context.dir.join(path);
    if let (Some(path), None) = (&args.statement, &args.signature) {
        let known = rules.signers.principals();
        let principal = args.principal.unwrap_or_default();
        if !known.contains(&principal) {
            return Err(ModelError::UnknownSigner { principal, known }.into());
        }
        let actor = judging.author();
        let body = judging.change(&model, &rules, &actor, |workshop| {
            let body = workshop.approval(&selector, &stage, args.comment.as_deref(), &principal)?;
            workshop.may_approve(&body)?;
            Ok(body)
        })?;
        let record = Record::new(actor.author(), vec![body.tree], body.clone());
        let place = file(path);
        if place.symlink_metadata().is_ok() {
            let why = "something is there already: choose another name".to_owned();
            return Err(ModelError::Statement { path: path.display().to_string(), why }.into());
        }
        durable::replace(&place, &record.to_bytes()).map_err(StoreError::io("write", &place))?;
        let shown = argument(&path.display().to_string());
        context.ui.report(&Stated {
            sign: format!("ssh-keygen -Y sign -n {NAMESPACE_APPROVAL} -f KEY {shown}"),
            next: format!("mlp approve {model}@{} --to {stage} --signature {shown}.sig", body.version),
            model,
            version: body.version,
            tree: body.tree,
            stage,
            principal,
            statement: path.clone(),
        });
        return Ok(Exit::Ok);
    }
    if rules.approving_roles(&stage).is_empty() {
        let text =
            format!("no gate on the way to `{stage}` asks for an approval: nothing waits for this one");
        context.ui.log(Level::Warn, &text);
    }
    let actor = judging.actor(args.key.as_deref())?;
    let Approving { entry, principal: signer, already } =
        judging.change(&model, &rules, &actor, |workshop| -> Result<Approving, Failure> {
            let Some(signature) = &args.signature else {
                return workshop.approve(&selector, &stage, args.comment.as_deref());
            };
            let statement = match &args.statement {
                Some(path) => file(path),
                None => beside(&file(signature))?,
            };
            let wanted = workshop.approval(&selector, &stage, None, "")?;
            let record = signed(workshop, &statement, &file(signature), &wanted)?;
            workshop.take_approval(&record)
        })?;
    context.ui.report(&Approved {
        model,
        version: entry.subject.version,
        tree: entry.subject.tree,
        stage,
        signer,
        already,
        entry: entry.digest(),
        evidence: entry.evidence,
    });
    Ok(Exit::Ok)
}

/// The file `approval.json` of a signature `approval.json.sig`.
fn beside(signature: &Path) -> Result<PathBuf, ModelError> {
    if signature.extension().is_some_and(|extension| extension == "sig") {
        return Ok(signature.with_extension(""));
    }
    let why = "name it with `--statement`: the signature's name does not end with `.sig`".to_owned();
    Err(ModelError::Statement { path: signature.display().to_string(), why })
}

/// The approval in `statement`, which must say just `wanted` by somebody whose signature holds.
fn signed(
    workshop: &Workshop<'_>,
    statement: &Path,
    signature: &Path,
    wanted: &Approval,
) -> Result<Record<Approval>, Failure> {
    let wrong = |why: String| ModelError::Statement { path: statement.display().to_string(), why };
    let bytes = read(statement)?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let mut record = Record::<Approval>::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
    if record.signature.is_some() || record.to_bytes() != bytes {
        return Err(wrong("it holds something that mlp did not write".to_owned()).into());
    }
    let body = &record.body;
    if (&body.model, body.version) != (&wanted.model, wanted.version) {
        return Err(wrong(format!("it is for {}@{}", body.model, body.version)).into());
    }
    if body.tree != wanted.tree || record.inputs != [wanted.tree] {
        return Err(wrong(format!("it is for other files (b3:{})", body.tree.short())).into());
    }
    if body.stage != wanted.stage {
        return Err(wrong(format!("it is for {}", body.stage)).into());
    }
    let text = String::from_utf8_lossy(&read(signature)?).replace("\r\n", "\n");
    let signers = workshop.registry.signers;
    signers
        .verify(&body.principal, NAMESPACE_APPROVAL, bytes, &text, Time::now())
        .map_err(ModelError::from)?;
    record.signature = Some(text);
    Ok(record)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(StoreError::io("read", path))?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(StoreError::io("read", path))?;
    Ok(bytes)
}
