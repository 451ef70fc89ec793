//! Files for continuous integration: the check of every change, and the scheduled look at what is live.

use super::template::text;
use super::{Manifest, Project};
use crate::base::{Name, Time};
use crate::infrastructure::store::credential_variables;

/// Where a project's changes are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CiPlatform {
    /// GitHub Actions.
    Github,
    /// GitLab CI/CD.
    Gitlab,
}

/// The stage whose gates a change is judged by, and the one that answers, where a project has them.
const NEXT: &str = "staging";
const LIVE: &str = "production";

/// What the files say of a project.
#[derive(Clone, Debug)]
pub struct CiSubject {
    models: Vec<Name>,
    /// The stage whose gates a change is judged by.
    next: String,
    /// The stage that answers.
    live: String,
    /// Variables with the credentials of stores.
    stores: Vec<String>,
    /// The variable with the webhook that is told of a breach.
    webhook: Option<String>,
}

impl CiSubject {
    /// A project of a template, with these models.
    pub(super) fn template(models: Vec<Name>) -> Self {
        Self { models, next: NEXT.to_owned(), live: LIVE.to_owned(), stores: Vec::new(), webhook: None }
    }

    /// The project that `manifest` describes. Of stages with other names the last one answers, and the one before it is next.
    pub fn of(manifest: &Manifest) -> Self {
        let stages: Vec<String> =
            Project::stages(manifest, None, Time::now()).keys().map(Name::to_string).collect();
        let stage = |usual: &str, from_end: usize| {
            let other = || stages.get(stages.len().saturating_sub(from_end));
            let found = stages.iter().find(|stage| *stage == usual).or_else(other).or(stages.last());
            found.map_or(usual, String::as_str).to_owned()
        };
        let of_stores = manifest.stores.iter().flat_map(|(name, spec)| credential_variables(name, spec));
        Self {
            models: manifest.models.keys().cloned().collect(),
            next: stage(NEXT, 2),
            live: stage(LIVE, 1),
            stores: of_stores.collect(),
            webhook: manifest.monitor.alert.as_ref().and_then(|alert| alert.webhook.clone()),
        }
    }
}

/// Paths and texts of the files for a platform. Of a project without models only the project file is checked.
pub fn ci_files(platform: CiPlatform, subject: &CiSubject) -> Vec<(String, String)> {
    let CiSubject { models, next, live, stores, webhook } = subject;
    let gates: Vec<String> =
        models.iter().map(|model| format!("mlp gate check {model} --to {next}")).collect();
    let live: Vec<String> = models.iter().map(|model| format!("\"{model}@{live}\"")).collect();
    let watched = |text: &str| text.replace("@MODELS@", &live.join(", "));
    let script = (".mlp/monitor.sh".to_owned(), text!("common/monitor.sh").to_owned());
    match platform {
        CiPlatform::Github => {
            let env = |names: &[&String]| {
                let pass = |name: &&String| format!("      {name}: ${{{{ secrets.{name} }}}}\n");
                let begin = if names.is_empty() { "" } else { "    env:\n" };
                names.iter().map(pass).fold(begin.to_owned(), |text, line| text + &line)
            };
            let step = format!(
                "      - name: Judge the gates of the next stage
        run: |
          if grep -q '^stores:' mlp.yaml; then
            mlp data pull
            {}
          fi
",
                gates.join("\n            ")
            );
            let step = if models.is_empty() { String::new() } else { step };
            // The check runs what a change says: it gets no more than it needs.
            let check =
                text!("common/github.yml").replace("@ENV@\n", &env(&stores.iter().collect::<Vec<_>>()));
            let check = check.replace("@GITHUB_GATES@\n", &step);
            let mut files = vec![(".github/workflows/mlp.yml".to_owned(), check)];
            if !models.is_empty() {
                let all: Vec<&String> = stores.iter().chain(webhook).collect();
                let text = watched(text!("common/github-monitor.yml")).replace("@ENV@\n", &env(&all));
                files.extend([(".github/workflows/monitor.yml".to_owned(), text), script]);
            }
            files
        }
        CiPlatform::Gitlab => {
            let line = format!(
                "    - if grep -q '^stores:' mlp.yaml; then mlp data pull; {}; fi\n",
                gates.join(" && ")
            );
            let line = if models.is_empty() { String::new() } else { line };
            let all: Vec<&str> = stores.iter().chain(webhook).map(String::as_str).collect();
            let named = match all.is_empty() {
                true => String::new(),
                false => {
                    format!("# Jobs get the CI/CD variables of the project. It needs: {}.\n", all.join(", "))
                }
            };
            let text = text!("common/gitlab-ci.yml").replace("@SECRETS@\n", &named);
            let mut text = text.replace("@GITLAB_GATES@\n", &line);
            if models.is_empty() {
                return vec![(".gitlab-ci.yml".to_owned(), text)];
            }
            text += &watched(text!("common/gitlab-monitor.yml"));
            vec![(".gitlab-ci.yml".to_owned(), text), script]
        }
    }
}
