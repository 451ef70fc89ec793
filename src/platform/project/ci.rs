//! Files for continuous integration: the check of every change, and the scheduled look at what is live.

use super::template::text;
use crate::base::Name;

/// Where a project's changes are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CiPlatform {
    /// GitHub Actions.
    Github,
    /// GitLab CI/CD.
    Gitlab,
}

/// The stage whose gates a change is judged by, and the one that answers: those of the templates.
const NEXT: &str = "staging";
const LIVE: &str = "production";

/// Paths and texts of the files for a platform. Of a project without models only the project file is checked.
pub fn ci_files(platform: CiPlatform, models: &[Name]) -> Vec<(String, String)> {
    let gates: Vec<String> =
        models.iter().map(|model| format!("mlp gate check {model} --to {NEXT}")).collect();
    let live: Vec<String> = models.iter().map(|model| format!("\"{model}@{LIVE}\"")).collect();
    let watched = |text: &str| text.replace("@MODELS@", &live.join(", "));
    let script = (".mlp/monitor.sh".to_owned(), text!("common/monitor.sh").to_owned());
    match platform {
        CiPlatform::Github => {
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
            let check = text!("common/github.yml").replace("@GITHUB_GATES@\n", &step);
            let mut files = vec![(".github/workflows/mlp.yml".to_owned(), check)];
            if !models.is_empty() {
                let text = watched(text!("common/github-monitor.yml"));
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
            let mut text = text!("common/gitlab-ci.yml").replace("@GITLAB_GATES@\n", &line);
            if models.is_empty() {
                return vec![(".gitlab-ci.yml".to_owned(), text)];
            }
            text += &watched(text!("common/gitlab-monitor.yml"));
            vec![(".gitlab-ci.yml".to_owned(), text), script]
        }
    }
}
