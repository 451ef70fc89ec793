//! `mlp data trash`.

use std::path::PathBuf;

use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{relative, shown};
use crate::application::ui::{Align, Report, Table, bytes};
use crate::base::{Exit, Id, Time};
use crate::infrastructure::store::worktree::{Trashed, restore, trashed};
use crate::platform::data::DataError;
use crate::platform::project::Project;

/// Brings back what a command with `--force` replaced, for seven days.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Lists what is in the trash, the oldest first.
    Ls,
    /// Puts files back where they were. What stands there now goes to the trash in turn.
    Restore {
        /// What one command replaced, as `mlp data trash ls` names it.
        #[arg(value_name = "ID")]
        id: String,
        /// Only this file or folder of it.
        #[arg(value_name = "PATH")]
        path: Option<PathBuf>,
    },
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let all = trashed(&project.store)?;
    let Some(Command::Restore { id, path }) = args.command else {
        context
            .ui
            .report(&Listed { commands: all.iter().map(|trashed| Line::of(trashed, &project)).collect() });
        return Ok(Exit::Ok);
    };
    let missing = |path: &str| DataError::NotInTrash(shown(path));
    let found = all
        .iter()
        .find(|trashed| trashed.id.to_string().eq_ignore_ascii_case(&id))
        .ok_or_else(|| missing(&id))?;
    let (files, aside) = restore(&project.store, found, path.as_deref())?;
    if files.is_empty() {
        return Err(missing(&path.unwrap_or_default().to_string_lossy()).into());
    }
    let files = files.iter().map(|file| relative(&project.root, file)).collect();
    context.ui.report(&Restored { files, aside });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Listed {
    commands: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    id: Id,
    time: Time,
    /// The folder that the files were in, relative to the project.
    from: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    size: u64,
}

impl Line {
    fn of(trashed: &Trashed, project: &Project) -> Self {
        let files = trashed.files.iter();
        Self {
            id: trashed.id,
            time: Time::from_ms(trashed.id.timestamp_ms() as i64),
            from: relative(&project.root, &trashed.from),
            files: files
                .map(|(path, size)| File { path: path.to_string_lossy().into_owned(), size: *size })
                .collect(),
        }
    }
}

impl Report for Listed {
    fn schema(&self) -> &'static str {
        "mlp/data-trash-ls/1"
    }

    fn human(&self) -> String {
        if self.commands.is_empty() {
            return "the trash is empty\n".to_owned();
        }
        let mut text = String::new();
        for line in &self.commands {
            text.push_str(&format!("{}  {}  {}\n", line.id, line.time, shown(&line.from)));
            let mut table = Table::plain().indent(2).align(0, Align::Right);
            for file in &line.files {
                table.row([bytes(file.size), shown(&file.path)]);
            }
            text.push_str(&table.render());
        }
        text
    }

    fn quiet(&self) -> String {
        self.commands.iter().map(|line| format!("{}\n", line.id)).collect()
    }
}

#[derive(Serialize)]
struct Restored {
    files: Vec<String>,
    /// Where what stood there is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    aside: Option<Id>,
}

impl Report for Restored {
    fn schema(&self) -> &'static str {
        "mlp/data-trash-restore/1"
    }

    fn human(&self) -> String {
        let mut text: String = self.files.iter().map(|file| format!("restored {}\n", shown(file))).collect();
        if let Some(id) = self.aside {
            text.push_str(&format!("what stood there is in the trash: `mlp data trash restore {id}`\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        self.files.iter().map(|file| format!("{}\n", shown(file))).collect()
    }
}
