//! `mlp init`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Answer, Context};
use crate::application::ui::{Report, Table, plural};
use crate::base::Exit;
use crate::platform::project::{Profile, ProjectError, Scaffold, TEMPLATES, Template};

/// Makes a project from a template.
///
/// What is there already is never overwritten.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the project and its new folder; `.` for the folder you are in.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// What to begin with.
    #[arg(short, long, default_value = "mnist")]
    template: String,
    /// The set of default gates: research, product, regulated or student.
    #[arg(short, long, default_value = "research", value_parser = profile)]
    profile: Profile,
    /// List the templates.
    #[arg(long)]
    list: bool,
    /// Say what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

fn profile(text: &str) -> Result<Profile, String> {
    let known = Profile::ALL.map(Profile::as_str);
    Profile::ALL
        .into_iter()
        .find(|profile| profile.as_str() == text)
        .ok_or_else(|| format!("no such profile; there are {}", known.join(", ")))
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let (false, Some(name)) = (args.list, args.name) else {
        let entry = |template: &Template| Entry { name: template.name, about: template.about };
        let templates = TEMPLATES.iter().map(entry).collect();
        context.ui.report(&List { templates });
        return Ok(Exit::Ok);
    };
    let template = Template::find(&args.template)?;
    if !context.dir.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(ProjectError::Folder { path: context.dir.clone(), source }.into());
    }
    let scaffold = Scaffold::plan(&context.dir, &name, template, args.profile)?;
    let setup = if args.dry_run { None } else { scaffold.write()? };
    let mut next: Vec<String> = template.next.iter().map(|line| (*line).to_owned()).collect();
    if scaffold.folder != Path::new(".") {
        next.insert(
            0,
            format!("cd {}", shlex::try_quote(&scaffold.folder.to_string_lossy()).unwrap_or_default()),
        );
    }
    context.ui.report(&Made {
        name: scaffold.name.to_string(),
        template: template.name,
        profile: args.profile.as_str(),
        created: scaffold.missing.into_iter().map(|(path, _)| path).collect(),
        existing: scaffold.existing,
        complete: scaffold.complete,
        dry_run: args.dry_run,
        folder: scaffold.folder,
        hooks: setup.map(|setup| setup.is_complete()),
        next: if scaffold.complete { vec!["mlp check".to_owned(), "mlp status".to_owned()] } else { next },
    });
    Ok(Exit::Ok)
}

/// What was made.
#[derive(Serialize)]
struct Made {
    name: String,
    folder: PathBuf,
    template: &'static str,
    profile: &'static str,
    created: Vec<String>,
    existing: Vec<String>,
    /// Whether there was a project already.
    complete: bool,
    dry_run: bool,
    /// Whether the pre-push hook and the merge driver are set up now.
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<bool>,
    next: Vec<String>,
}

impl Report for Made {
    fn schema(&self) -> &'static str {
        "mlp/init/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        let folder = self.folder.display();
        if self.complete {
            text += &format!("`{folder}` is a project already; nothing was changed\n");
        } else {
            let verb = if self.dry_run { "would make" } else { "made" };
            text += &format!(
                "{verb} the project `{}` in `{folder}` ({}, {})\n",
                self.name, self.template, self.profile
            );
            for path in &self.created {
                text += &format!("  {path}\n");
            }
        }
        if !self.existing.is_empty() {
            text +=
                &format!("{} there already, left as it is:\n", plural(self.existing.len() as u64, "file"));
            for path in &self.existing {
                text += &format!("  {path}\n");
            }
        }
        if self.hooks == Some(false) {
            text +=
                "there is a pre-push hook already, left as it is: `mlp hook status` says what to add to it\n";
        }
        text += "next:\n";
        for line in &self.next {
            text += &format!("  {line}\n");
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// The templates.
#[derive(Serialize)]
struct List {
    templates: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    about: &'static str,
}

impl Report for List {
    fn schema(&self) -> &'static str {
        "mlp/templates/1"
    }

    fn human(&self) -> String {
        let mut table = Table::plain();
        for entry in &self.templates {
            table.row([entry.name, entry.about]);
        }
        table.render()
    }
}
