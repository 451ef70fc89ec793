//! Technical documentation of a version, under the headings of Annex IV of Regulation (EU) 2024/1689, the AI Act
//! (<https://eur-lex.europa.eu/eli/reg/2024/1689/oj>): what evidence and people say on each point, and what nobody says.
//!
//! It is a frame that is filled from records, and no legal advice: whether a system falls under the act, and whether an answer is
//! enough, is for people to judge. Points that evidence cannot speak to are taken from the model card and data cards, by heading.

use super::card::body;
use super::markdown::{Link, code, text};
use super::portrait::{Portrait, Written};
use super::sections::{Sections, first};
use crate::platform::model::written;

/// A piece of the paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Markdown of mlp's own.
    Text(String),
    /// Markdown of people: without HTML in it.
    Words(String),
    /// Something that is missing, as Markdown.
    Gap(String),
    /// A picture as SVG, and what it shows.
    Picture(String, String),
}

/// Where an answer may come from.
enum Source {
    /// A section that mlp writes.
    Evidence(fn(&Sections<'_>) -> Option<String>),
    /// A heading of the model card, as a field of the gate `model_card`; several names for one.
    Card(&'static [&'static str], &'static str),
    /// All cards of the data.
    DataCards,
    /// The pictures that were drawn.
    Pictures,
    /// What mlp finds missing.
    Gaps,
}

/// A point of Annex IV: its number, what it asks for, and where answers come from.
struct Point(&'static str, &'static str, &'static [Source]);

/// Headings and points, in the order and by the numbers of Annex IV; the words are shortened.
const ANNEX: &[(&str, &[Point])] = &[
    (
        "1. General description of the AI system",
        &[
            Point(
                "1(a)",
                "Intended purpose, provider, version and its relation to earlier versions",
                &[
                    Source::Evidence(|s| Some(s.version())),
                    Source::Card(&["intended_use", "intended_purpose"], "Intended use"),
                    Source::Card(&["provider"], "Provider"),
                ],
            ),
            Point(
                "1(b), (c)",
                "Interaction with hardware and software; versions of software",
                &[Source::Card(&["integration", "interaction"], "Integration")],
            ),
            Point(
                "1(d), (g), (h)",
                "Forms in which it is put into service, user interface, instructions for use",
                &[Source::Card(
                    &["instructions_for_use", "instructions", "how_to_use"],
                    "Instructions for use",
                )],
            ),
            Point("1(e)", "Hardware it is intended to run on", &[Source::Card(&["hardware"], "Hardware")]),
        ],
    ),
    (
        "2. Elements of the AI system and process of its development",
        &[
            Point(
                "2(a)",
                "Methods and steps of the development, use of pre-trained systems",
                &[Source::Evidence(|s| s.training())],
            ),
            Point(
                "2(b)",
                "Design specifications: logic, key choices, what it is optimised for",
                &[Source::Evidence(|s| s.settings()), Source::Card(&["design", "design_choices"], "Design")],
            ),
            Point(
                "2(c)",
                "Architecture and computational resources",
                &[Source::Card(&["architecture"], "Architecture")],
            ),
            Point(
                "2(d)",
                "Data: provenance, scope, characteristics, selection, labelling, cleaning",
                &[Source::DataCards, Source::Card(&["data"], "Data"), Source::Evidence(|s| s.data_checks())],
            ),
            Point(
                "2(e)",
                "Human oversight measures (Article 14)",
                &[Source::Card(&["human_oversight", "oversight"], "Human oversight")],
            ),
            Point(
                "2(f)",
                "Pre-determined changes",
                &[Source::Card(
                    &["pre_determined_changes", "predetermined_changes"],
                    "Pre-determined changes",
                )],
            ),
            Point(
                "2(g)",
                "Validation and testing: data, metrics, robustness, discriminatory impacts; logs and reports, dated and signed",
                &[
                    Source::Evidence(|s| s.evaluations()),
                    Source::Pictures,
                    Source::Evidence(|s| s.reproductions()),
                    Source::Evidence(|s| s.promotions()),
                    Source::Evidence(|s| s.approvals()),
                ],
            ),
            Point(
                "2(h)",
                "Cybersecurity measures",
                &[Source::Card(&["security", "cybersecurity"], "Security")],
            ),
        ],
    ),
    (
        "3. Monitoring, functioning and control",
        &[
            Point(
                "3",
                "Capabilities and limitations, accuracy for specific groups",
                &[
                    Source::Evidence(|s| s.groups()),
                    Source::Card(&["limits", "limitations", "out_of_scope"], "Limits"),
                ],
            ),
            Point(
                "3",
                "Foreseeable unintended outcomes, risks to health, safety and fundamental rights",
                &[Source::Card(&["ethical_considerations", "risks"], "Ethical considerations")],
            ),
        ],
    ),
    (
        "4. Appropriateness of the performance metrics",
        &[Point("4", "Why these metrics", &[Source::Card(&["metrics", "choice_of_metrics"], "Metrics")])],
    ),
    (
        "5. Risk management system (Article 9)",
        &[Point("5", "Description", &[Source::Card(&["risk_management"], "Risk management")])],
    ),
    (
        "6. Changes through the lifecycle",
        &[Point(
            "6",
            "Relevant changes",
            &[
                Source::Card(&["changes", "change_log", "changelog"], "Changes"),
                Source::Evidence(|s| s.history()),
            ],
        )],
    ),
    (
        "7. Harmonised standards and other solutions",
        &[Point("7", "Standards that were applied", &[Source::Card(&["standards"], "Standards")])],
    ),
    (
        "8. EU declaration of conformity (Article 47)",
        &[Point(
            "8",
            "A copy of it",
            &[Source::Card(&["declaration_of_conformity"], "Declaration of conformity")],
        )],
    ),
    (
        "9. Post-market monitoring (Article 72)",
        &[Point(
            "9",
            "The system and the plan",
            &[
                Source::Card(&["maintenance", "monitoring", "post_market_monitoring"], "Maintenance"),
                Source::Evidence(|s| s.others()),
            ],
        )],
    ),
    ("What mlp finds missing", &[Point("", "", &[Source::Gaps])]),
];

/// The paper, piece by piece. `link` says where records stand beside it; `pictures` are SVG with what they show.
pub fn dossier(portrait: &Portrait, link: Link, pictures: &[(String, String)]) -> Vec<Part> {
    let sections = Sections { of: portrait, link };
    let mut parts = vec![Part::Text(format!(
        "# Technical documentation of {}\n\nMade by `mlp dossier` from the records of the project, under the headings of Annex IV of \
         [Regulation (EU) 2024/1689](https://eur-lex.europa.eu/eli/reg/2024/1689/oj). Numbers lead to the records that they come \
         from. It is no legal advice: whether an answer is enough is for people to judge.\n",
        text(&portrait.reference())
    ))];
    for (heading, points) in ANNEX {
        parts.push(Part::Text(format!("## {heading}\n")));
        for Point(number, question, sources) in *points {
            if !question.is_empty() {
                parts.push(Part::Text(format!("### {number} {question}\n")));
            }
            for source in *sources {
                answer(source, &sections, pictures, &mut parts);
            }
        }
    }
    parts
}

fn answer(source: &Source, sections: &Sections<'_>, pictures: &[(String, String)], parts: &mut Vec<Part>) {
    let portrait = sections.of;
    match source {
        // What is missing of evidence stands at the end, with the command that makes it.
        Source::Evidence(write) => parts.extend(write(sections).map(Part::Text)),
        Source::Card(fields, heading) => {
            let words = portrait.card.as_ref().and_then(|card| card.text.as_deref());
            let words = words.and_then(|words| written::section(&body(words), fields));
            match (words, &portrait.card) {
                (Some(words), _) => parts.push(Part::Words(written::lowered(&words, 3))),
                (None, Some(card)) => {
                    parts.push(Part::Gap(format!(
                        "The section *{heading}* of {} says nothing.",
                        code(&card.path)
                    )));
                }
                (None, None) => {
                    parts.push(Part::Gap(format!("There is no model card with a section *{heading}*.")))
                }
            }
        }
        Source::DataCards => {
            for (name, _) in portrait.data() {
                match portrait.data_cards.get(&name) {
                    Some(card @ Written { text: Some(words), path }) => {
                        parts.push(Part::Text(format!("#### Data card of {}\n", text(name.as_str()))));
                        parts.push(Part::Words(written::lowered(&body(words), 3)));
                        if let Some((line, what)) = card.parts().placeholders.first() {
                            let gap = format!("{} still says {} on line {line}.", code(path), code(what));
                            parts.push(Part::Gap(gap));
                        }
                    }
                    _ => parts.push(Part::Gap(format!("There is no data card of {}.", code(name.as_str())))),
                }
            }
        }
        Source::Pictures => {
            parts.extend(pictures.iter().map(|(svg, shows)| Part::Picture(svg.clone(), shows.clone())));
            if first(&portrait.evaluations).is_none() {
                parts.push(Part::Gap("Nothing was evaluated.".to_owned()));
            }
        }
        Source::Gaps => {
            let (_, written) = super::card::written(portrait);
            let missing = written.into_iter().chain(sections.missing());
            parts.extend(missing.map(|what| Part::Gap(format!("{what}."))));
        }
    }
}
