//! `mlp explain`.

use serde::Serialize;

use super::{Answer, Context};
use crate::application::explanations;
use crate::application::ui::{Report, UiError, wrap};
use crate::base::{Exit, Explain, nearest};

/// Explains an error code at length; without one, lists all codes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The code, as `project::none`.
    code: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let Some(code) = args.code else {
        let mut codes: Vec<&str> = explanations().map(|explain| explain.code).collect();
        codes.sort_unstable();
        context.ui.report(&List { codes });
        return Ok(Exit::Ok);
    };
    let code = code.trim_matches(['[', ']']);
    let Some(Explain { code, text }) = explanations().find(|explain| explain.code == code) else {
        let near = nearest(code, explanations().map(|explain| explain.code));
        let code = code.chars().take(80).collect::<String>().escape_debug().to_string();
        return Err(UiError::UnknownCode { code, near }.into());
    };
    context.ui.report(&Explanation { code, text });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Explanation {
    code: &'static str,
    text: &'static str,
}

impl Report for Explanation {
    fn schema(&self) -> &'static str {
        "mlp/explain/1"
    }

    fn human(&self) -> String {
        format!("{}\n\n{}", self.code, wrap(self.text, 100))
    }
}

#[derive(Serialize)]
struct List {
    codes: Vec<&'static str>,
}

impl Report for List {
    fn schema(&self) -> &'static str {
        "mlp/codes/1"
    }

    fn human(&self) -> String {
        self.codes.iter().map(|code| format!("{code}\n")).collect()
    }
}
