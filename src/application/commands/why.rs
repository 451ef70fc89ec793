//! `mlp why`.

use std::collections::HashSet;

use console::style;
use serde::Serialize;

use super::lineage::{First, histories, thing, with_lineage};
use super::{Answer, Context};
use crate::application::judgement::Judging;
use crate::application::ui::{Report, clean};
use crate::platform::model::{Graph, Node};

/// Tells what something rests on: a model version, a run, a record, a file.
///
/// For a version: the run that made it, its data, code, settings and executable, then the evidence about it, its approvals and its
/// promotions with their verdicts. Each line ends with what `mlp why` takes to go on from there.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A model version, dataset (`mnist`, `mnist/a.png@REV`), file, run, commit, the id of a prediction, or the beginning of a digest.
    #[arg(value_name = "ID")]
    subject: String,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    graph: Graph,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/why/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        if let Some(root) = self.graph.node(&self.graph.root) {
            text.push_str(&line(root));
            let mut drawn = HashSet::from([root.id.as_str()]);
            draw(&self.graph, &root.id, "", &mut drawn, &mut text);
        }
        text
    }
}

/// Ids of this kind are digests or commits, of which the beginning is enough.
fn short(node: &Node) -> String {
    match node.id.strip_prefix("b3:") {
        Some(hex) => format!("b3:{}", hex.get(..12).unwrap_or(hex)),
        None if node.kind == "commit" => node.id.get(..12).unwrap_or(&node.id).to_owned(),
        None => node.id.clone(),
    }
}

fn line(node: &Node) -> String {
    let id = style(clean(&short(node)).into_owned());
    let id = if node.kind == "version" { id.bold() } else { id.dim() };
    let missing = if node.missing { format!(" {}", style("(missing)").yellow()) } else { String::new() };
    let about = clean(&node.about).replace(['\n', '\t'], " ");
    if node.kind == "version" {
        format!("{id}  {about}{missing}\n")
    } else {
        format!("{about}  {id}{missing}\n")
    }
}

/// Draws what `id` rests on; what was drawn before is only named.
fn draw<'a>(graph: &'a Graph, id: &str, before: &str, drawn: &mut HashSet<&'a str>, text: &mut String) {
    let edges: Vec<_> = graph.below(id).collect();
    for (index, edge) in edges.iter().enumerate() {
        let Some(node) = graph.node(&edge.to) else { continue };
        let last = index + 1 == edges.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let role = match edge.role.as_str() {
            // The kind of the evidence says more.
            "evidence" | "input" => node.kind.clone(),
            role => role.to_owned(),
        };
        text.push_str(&format!("{before}{branch}{} ", style(clean(&role)).cyan()));
        if drawn.insert(&node.id) {
            text.push_str(&line(node));
            draw(graph, &node.id, &format!("{before}{below}"), drawn, text);
        } else {
            text.push_str(&format!("{}  (above)\n", style(clean(&short(node))).dim()));
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let histories = histories(&judging)?;
    let graph = with_lineage(&project, &histories, |lineage| {
        let thing = thing(&args.subject, First::Model, &project, context, &histories, lineage)?;
        Ok(lineage.why(&thing)?)
    })?;
    context.ui.report(&Told { graph });
    Ok(judging.exit())
}
