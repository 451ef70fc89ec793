//! `mlp data card`.

use std::fs;

use crate::support::project::Project;
use crate::support::{ok, refused};

const TABLE: &str = "\
data:
  people: {path: data/people.csv, format: csv, target: kind, card: docs/people.datacard.md}
  bare: {path: data/bare.csv, format: csv, target: kind}
  digits: {path: data/digits, format: idx, source: [{digits: {train: 120, test: 30, seed: 1}}], card: docs/digits.datacard.md}
";

fn project() -> Project {
    let project = Project::new(TABLE);
    let rows: String =
        (0..90).map(|i| format!("{},{},{}\n", i % 31, ["a", "<b>", ""][i % 3], ["x", "y"][i % 2])).collect();
    project.write("data/people.csv", &format!("age,town,kind\n{rows}"));
    project
}

#[test]
fn the_measured_section_is_kept_up_to_date_and_what_people_wrote_stays() {
    let project = project();
    let written = "# People\n\n## Source\n\nAsked at the door.\n";
    project.write("docs/people.datacard.md", written);

    let told = ok(project.path(), &["data", "card", "people", "--dry-run"]);
    assert_eq!(told, "would make docs/people.columns.svg\nwould update docs/people.datacard.md\n");
    assert_eq!(project.read("docs/people.datacard.md"), written);
    assert!(!project.path().join("docs/people.columns.svg").exists());

    let told = ok(project.path(), &["data", "card", "people"]);
    assert_eq!(told, "made docs/people.columns.svg\nupdated docs/people.datacard.md\n");
    let card = project.read("docs/people.datacard.md");
    assert!(card.starts_with(written), "{card}");
    for line in [
        "| class `x` | ",
        "| `town` | 30 | 2 |  |  |  |",
        "Categories of `town`: `<b>` 30, `a` 30.",
        "![Distributions of the numbers](people.columns.svg)",
    ] {
        assert!(card.contains(line), "no `{line}` in\n{card}");
    }
    assert!(project.read("docs/people.columns.svg").contains("age"));

    let more = format!("{card}\n## Privacy\n\nNo names.\n");
    project.write("docs/people.datacard.md", &more);
    let told = ok(project.path(), &["data", "card", "people"]);
    assert_eq!(told, "kept docs/people.columns.svg\nkept docs/people.datacard.md\n");

    let table = project.read("data/people.csv");
    project.write("data/people.csv", &format!("{table}7,a,z\n"));
    let report = project.json(&["data", "card", "people"], 0);
    assert_eq!(report["schema"], "mlp/data-card/1");
    assert_eq!(report["measured"]["classes"].as_array().map(Vec::len), Some(3));
    let card = project.read("docs/people.datacard.md");
    assert!(card.starts_with(written) && card.ends_with("\n## Privacy\n\nNo names.\n"), "{card}");
    assert!(card.contains("| class `z` | "), "{card}");
}

#[test]
fn images_get_a_contact_sheet_and_a_card_that_is_not_there_is_begun() {
    let project = project();
    ok(project.path(), &["data", "download", "digits"]);
    let told = ok(project.path(), &["data", "card", "digits"]);
    assert_eq!(told, "made docs/digits.samples.png\nmade docs/digits.datacard.md\n");
    let sheet = fs::read(project.path().join("docs/digits.samples.png")).expect("is there");
    assert_eq!(sheet[..8], *b"\x89PNG\r\n\x1a\n");
    let card = project.read("docs/digits.datacard.md");
    assert!(card.starts_with("# Data card: digits\n") && card.contains("(digits.samples.png)"), "{card}");
}

#[test]
fn what_has_no_place_is_refused_with_what_to_do() {
    let project = project();
    let error = refused(project.path(), &["data", "card", "bare"], 2);
    assert!(error.contains("add `card: docs/bare.datacard.md`"), "{error}");
    ok(project.path(), &["data", "card", "people"]);
    let card = project.read("docs/people.datacard.md");
    project.write("docs/people.datacard.md", &card.replace("<!-- end of", "<!-- the end of"));
    let error = refused(project.path(), &["data", "card", "people"], 2);
    assert!(error.contains("docs/people.datacard.md") && error.contains("not one pair"), "{error}");
    let error = refused(project.path(), &["data", "card", "digits"], 2);
    assert!(error.contains("data::missing"), "{error}");
}
