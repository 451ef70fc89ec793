//! `mlp ci`.

use serde::Serialize;

use super::{Answer, Context};
use crate::application::ui::Report;
use crate::base::Exit;
use crate::platform::project::{CiPlatform, CiSubject, ci_files, write_new};

/// Shows the files with which GitHub Actions or GitLab CI/CD check each change and watch what is live.
///
/// A check of the project file and of the gates of `staging` (else of the last stage but one) on every change; once a day (GitLab: in
/// scheduled pipelines) `mlp monitor` of what is live in `production` (else in the last stage), where a broken limit opens a branch to
/// train again. Jobs get the secrets that `stores:` and `monitor.alert` name. `--write` makes the files that are missing.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// For whom.
    #[arg(value_enum)]
    platform: Platform,
    /// Write the files that are not there; what is there stays as it is.
    #[arg(long)]
    write: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Platform {
    /// GitHub Actions.
    Github,
    /// GitLab CI/CD.
    Gitlab,
}

#[derive(Serialize)]
struct Files {
    files: Vec<File>,
    #[serde(skip)]
    write: bool,
}

#[derive(Serialize)]
struct File {
    path: String,
    text: String,
    /// Whether it was there already.
    existing: bool,
}

impl Report for Files {
    fn schema(&self) -> &'static str {
        "mlp/ci/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            text += &match (self.write, file.existing) {
                (true, true) => format!("left as it is  {}\n", file.path),
                (true, false) => format!("made           {}\n", file.path),
                (false, _) => format!("# {}\n{}\n", file.path, file.text),
            };
        }
        text
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let subject = CiSubject::of(&project.manifest);
    let platform = match args.platform {
        Platform::Github => CiPlatform::Github,
        Platform::Gitlab => CiPlatform::Gitlab,
    };
    let mut files = Vec::new();
    for (path, text) in ci_files(platform, &subject) {
        let full = project.root.join(&path);
        let existing = full.symlink_metadata().is_ok();
        if args.write && !existing {
            write_new(&full, &text)?;
        }
        files.push(File { path, text, existing });
    }
    context.ui.report(&Files { files, write: args.write });
    Ok(Exit::Ok)
}
