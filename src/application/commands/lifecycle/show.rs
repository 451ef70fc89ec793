//! `mlp lifecycle show`.

use serde::Serialize;

use crate::application::commands::{Answer, Context};
use crate::application::ui::Report;
use crate::base::Exit;
use crate::platform::project::{Following, Project};

/// Prints a version of a profile as it is compiled in.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The profile: `product` (its newest version), `product@1`; the project's if left out.
    profile: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    profile: &'static str,
    version: u32,
    newest: u32,
    about: &'static str,
    text: &'static str,
}

impl Report for Shown {
    fn schema(&self) -> &'static str {
        "mlp/lifecycle-show/1"
    }

    fn human(&self) -> String {
        self.text.to_owned()
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let following = match &args.profile {
        Some(text) => super::named(text)?,
        None => Project::read(&context.dir)?.1.project.profile,
    };
    context.ui.report(&Shown {
        profile: following.profile.as_str(),
        version: following.version,
        newest: Following::newest(following.profile).version,
        about: following.about(),
        text: following.text(),
    });
    Ok(Exit::Ok)
}
