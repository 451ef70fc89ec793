//! `mlp model export`.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::super::{Answer, Context};
use super::pull::{Packing, packing};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, argument};
use crate::base::{Digest, Exit, Failure, Name};
use crate::infrastructure::durable;
use crate::platform::model::package::{Image, PackageError, Placed, files, look, place, write_files};
use crate::platform::serve::load;

/// Writes a version for programs that know nothing of mlp.
///
/// `folder` is the files of the version. `oci` is an OCI image layout with a layer for each file, which registries, container engines
/// and Kubernetes image volumes take. `onnx` is one file with preprocessing, network and last step, for networks of layers that ONNX
/// has.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits@production`, `digits@7`, `digits` for the newest.
    #[arg(value_name = "MODEL[@REF]", add = ArgValueCompleter::new(completion::references))]
    reference: String,
    /// The folder: new, empty, or from an earlier call.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What it is to be.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Replace a package that somebody changed, or that is of something else.
    #[arg(long)]
    force: bool,
    /// Only say what would be written.
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// The files of the version.
    #[default]
    Folder,
    /// An OCI image layout.
    Oci,
    /// One ONNX file.
    Onnx,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Oci => "oci",
            Self::Onnx => "onnx",
        }
    }
}

#[derive(Serialize)]
struct Exported {
    model: Name,
    version: u64,
    digest: Digest,
    format: &'static str,
    folder: PathBuf,
    /// Whether the folder is another now, or would be.
    changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// The tag in an image layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

impl Report for Exported {
    fn schema(&self) -> &'static str {
        "mlp/model-export/1"
    }

    fn human(&self) -> String {
        let Self { model, version, format, folder, .. } = self;
        let verb = match (self.dry_run, self.changed) {
            (true, true) => "would hold",
            (false, true) => "holds now",
            (_, false) => "holds already",
        };
        let mut text = format!("{} {verb} {model}@{version} as {format}\n", folder.display());
        if let Some(tag) = self.tag.as_ref().filter(|_| !self.dry_run) {
            let from = argument(&format!("oci:{}:{tag}", folder.display()));
            text.push_str(&format!("next: skopeo copy --all {from} docker://REGISTRY/{model}:{version}\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let format = args.format.name();
    let Packing { version, stamp, .. } = packing(&project, &judging, &args.reference, format, &context.ui)?;
    let store = &project.store;
    let folder = context.dir.join(&args.folder);
    let (force, tree) = (args.force, version.tree);
    // What cannot be packed is told before anything is written.
    let files = files(store, &tree)?;
    let onnx = match args.format {
        Format::Onnx => Some(onnx(store, &stamp.reference(), tree, &stamp.model)?),
        Format::Folder | Format::Oci => None,
    };
    let wanted = match (args.format, &onnx) {
        (Format::Folder, _) => Some(files.into_iter().map(|(path, node)| (path, node.id)).collect()),
        (_, Some(bytes)) => Some([("model.onnx".to_owned(), Digest::of(bytes))].into()),
        // An image is made of the same bytes each time.
        (_, None) => None,
    };
    let wanted = wanted.as_ref();
    let placed = match (args.dry_run, args.format) {
        (true, _) => look(&folder, &stamp, wanted, force)?,
        (false, Format::Folder) => {
            place(&folder, &stamp, wanted, force, |new| write_files(store, &tree, new))?
        }
        (false, Format::Oci) => {
            let licence = judging.rules(&stamp.model)?.licence;
            let image = Image { stamp: &stamp, time: version.time, licence };
            place(&folder, &stamp, wanted, force, |new| image.write(store, &tree, new))?
        }
        (false, Format::Onnx) => {
            let bytes = onnx.unwrap_or_default();
            place(&folder, &stamp, wanted, force, |new| {
                let path = new.join("model.onnx");
                durable::replace(&path, &bytes).map_err(|source| PackageError::Io {
                    action: "write",
                    path,
                    source,
                })
            })?
        }
    };
    context.ui.report(&Exported {
        version: version.number,
        digest: tree,
        format,
        folder: args.folder,
        changed: matches!(placed, Placed::Written(_)),
        dry_run: args.dry_run,
        tag: (args.format == Format::Oci).then(|| format!("{}-{}", stamp.model, version.number)),
        model: stamp.model,
    });
    Ok(Exit::Ok)
}

/// The version as an ONNX file, with what it is among its metadata.
fn onnx(
    store: &crate::infrastructure::store::Local,
    reference: &str,
    tree: Digest,
    name: &Name,
) -> Result<Vec<u8>, Failure> {
    let model = load(store, reference, tree)?;
    let words =
        [("mlp.reference".to_owned(), reference.to_owned()), ("mlp.tree".to_owned(), tree.to_string())];
    Ok(model.to_onnx(name.as_str(), &words)?)
}
