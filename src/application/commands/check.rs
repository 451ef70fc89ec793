//! `mlp check`.

use serde::Serialize;

use super::{Answer, Context};
use crate::application::ui::{Report, Severity, event, plural, render};
use crate::base::{ErrorEvent, Exit, Time};
use crate::platform::project::{Findings, Manifest, Project, ProjectError};

/// Validates the project: mlp.yaml, its references, networks, gates and files.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let (manifest, findings) = Project::check(&context.dir)?;
    let failed = !findings.errors.is_empty() || (args.strict && !findings.warnings.is_empty());
    context.ui.report(&Checked::new(&manifest, &findings));
    Ok(if failed { Exit::Usage } else { Exit::Ok })
}

/// What was checked and found.
#[derive(Serialize)]
struct Checked {
    project: String,
    profile: &'static str,
    profile_version: u32,
    datasets: u64,
    models: u64,
    steps: u64,
    stages: u64,
    gates: u64,
    errors: u64,
    warnings: u64,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    severity: Severity,
    #[serde(flatten)]
    what: ErrorEvent,
    #[serde(skip)]
    text: String,
}

impl Checked {
    fn new(manifest: &Manifest, findings: &Findings) -> Self {
        let stages = Project::stages(manifest, None, Time::now());
        let finding = |severity| {
            move |error: &ProjectError| Finding {
                severity,
                what: event(error),
                text: render(severity, error, console::colors_enabled()),
            }
        };
        let errors = findings.errors.iter().map(finding(Severity::Error));
        let warnings = findings.warnings.iter().map(finding(Severity::Warning));
        Self {
            project: manifest.project.name.to_string(),
            profile: manifest.project.profile.profile.as_str(),
            profile_version: manifest.project.profile.version,
            datasets: manifest.data.len() as u64,
            models: manifest.models.len() as u64,
            steps: manifest.steps.len() as u64,
            stages: stages.len() as u64,
            gates: stages.values().map(|stage| stage.gates.len() as u64).sum(),
            errors: findings.errors.len() as u64,
            warnings: findings.warnings.len() as u64,
            findings: errors.chain(warnings).collect(),
        }
    }
}

impl Report for Checked {
    fn schema(&self) -> &'static str {
        "mlp/check/1"
    }

    fn human(&self) -> String {
        let mut text: String = self.findings.iter().map(|finding| format!("{}\n", finding.text)).collect();
        text += &match (self.errors, self.warnings) {
            (0, 0) => format!("`{}` is right", self.project),
            (0, warnings) => format!("`{}` is right, with {}", self.project, plural(warnings, "warning")),
            (errors, 0) => format!("`{}` has {}", self.project, plural(errors, "error")),
            (errors, warnings) => {
                format!(
                    "`{}` has {} and {}",
                    self.project,
                    plural(errors, "error"),
                    plural(warnings, "warning")
                )
            }
        };
        text += &format!(
            ": {}, {}, {}, {} with {} (profile {}@{})\n",
            plural(self.datasets, "dataset"),
            plural(self.models, "model"),
            plural(self.steps, "step"),
            plural(self.stages, "stage"),
            plural(self.gates, "gate"),
            self.profile,
            self.profile_version
        );
        text
    }

    fn quiet(&self) -> String {
        self.findings.iter().map(|finding| finding.text.as_str()).collect()
    }
}
