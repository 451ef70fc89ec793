//! The measured section of a data card: what mlp writes between two comments, in a file that people write.

use std::fmt::Write;

use super::Measured;
use crate::base::{Digest, Leakage};

const BEGIN: &str = "<!-- measured by mlp: what stands here is written anew by `mlp data card` -->";
const END: &str = "<!-- end of what mlp measured -->";
/// Classes and categories that are listed.
const LISTED: usize = 40;

/// The text of a card with `section` in the place of the measured one, or behind everything else if it has none.
///
/// # Errors
/// What is wrong with the comments that the section stands between.
pub fn with_section(card: &str, section: &str) -> Result<String, &'static str> {
    let block = format!("{BEGIN}\n\n{}\n\n{END}", section.trim());
    let (begins, ends) = (card.matches(BEGIN).count(), card.matches(END).count());
    match (begins, ends, card.find(BEGIN), card.find(END)) {
        (0, 0, _, _) => Ok(format!("{}\n\n{block}\n", card.trim_end())),
        (1, 1, Some(begin), Some(end)) if begin < end => {
            Ok(format!("{}{block}{}", &card[..begin], &card[end + END.len()..]))
        }
        _ => Err("the comments around its measured section are not one pair; take them out"),
    }
}

/// The measured section as Markdown. `sheet` and `columns` are the files of pictures beside the card, the first with the number of
/// classes on it.
pub fn section(
    name: &str,
    tree: Digest,
    measured: &Measured,
    leakage: &Leakage,
    sheet: Option<(&str, usize)>,
    columns: Option<&str>,
) -> String {
    let mut text = format!("## Measured\n\nVersion `{tree}`, counted by `mlp data card {name}`.\n\n");
    let shape: Vec<_> = measured.shape.iter().map(usize::to_string).collect();
    let _ = write!(text, "| | train | val | test | all |\n|---|---|---|---|---|\n");
    let _ = row(&mut text, "examples", measured.examples);
    for (class, counts) in measured.classes.iter().take(LISTED) {
        let _ = row(&mut text, &format!("class {}", code(class)), *counts);
    }
    if measured.classes.len() > LISTED {
        let _ = writeln!(text, "| … {} classes in all | | | | |", measured.classes.len());
    }
    let _ = write!(
        text,
        "\n- One input has the shape {}.\n- {} examples repeat one of their own part, {} stand in an earlier part",
        shape.join(" x "),
        measured.repeated,
        leakage.overlap
    );
    let _ = match &leakage.near {
        Some(near) => writeln!(text, ", {} nearly (up to {} of 256 bits differ).", near.found, near.distance),
        None => writeln!(text, "."),
    };
    // `label` of images and arrays says nothing that the classes do not say.
    if measured.columns.len() > 1 {
        let _ = write!(
            text,
            "\n| column | missing | different | from | to | mean |\n|---|---|---|---|---|---|\n"
        );
        for column in &measured.columns {
            let (low, high) =
                column.range.map_or_else(Default::default, |(low, high)| (number(low), number(high)));
            let mean = column.histogram.as_ref().map(|histogram| number(histogram.mean)).unwrap_or_default();
            let (name, missing) = (code(&column.name), column.missing);
            let distinct = format!("{}{}", if column.more { "over " } else { "" }, column.distinct);
            let _ = writeln!(text, "| {name} | {missing} | {distinct} | {low} | {high} | {mean} |");
        }
    }
    for column in measured.columns.iter().filter(|column| !column.categories.is_empty()) {
        let mut categories = column.categories.clone();
        categories.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let listed = categories.iter().take(LISTED);
        let listed: Vec<_> = listed.map(|(value, count)| format!("{} {count}", code(value))).collect();
        let more = if categories.len() > LISTED { ", …" } else { "" };
        let _ = write!(text, "\nCategories of {}: {}{more}.\n", code(&column.name), listed.join(", "));
    }
    if let Some((file, rows)) = sheet {
        let classes: Vec<_> = measured.classes.iter().take(rows).map(|(class, _)| code(class)).collect();
        let _ = write!(
            text,
            "\nImages of the training part, a row for each class from above: {}.\n\n![Images of each class]({})\n",
            classes.join(", "),
            address(file)
        );
    }
    if let Some(file) = columns {
        let _ = write!(text, "\n![Distributions of the numbers]({})\n", address(file));
    }
    text
}

fn row(text: &mut String, name: &str, counts: [u64; 3]) -> std::fmt::Result {
    let [train, val, test] = counts;
    writeln!(text, "| {name} | {train} | {val} | {test} | {} |", train + val + test)
}

/// A name from the data as code, which cannot be read as anything else: no markup, no placeholder, no end of the section.
fn code(name: &str) -> String {
    let plain = |c: char| match c {
        '`' => '\'',
        '|' => '¦',
        c if c.is_control() => ' ',
        c => c,
    };
    let name: String = name.chars().map(plain).collect();
    let name = name.replace("<!--", "<! --").replace("-->", "-- >");
    if name.trim().is_empty() { "` `".to_owned() } else { format!("`{name}`") }
}

/// The name of a file as the address of a link.
fn address(file: &str) -> String {
    file.chars()
        .map(|c| if " ()<>".contains(c) { format!("%{:02X}", u32::from(c)) } else { c.to_string() })
        .collect()
}

/// At most six digits.
fn number(value: f64) -> String {
    let rounded = format!("{value:.5e}").parse::<f64>().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..1e9).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays_and_the_section_is_replaced() {
        let card = "# Data card: x\n\n## Content\n\nImages of x.\n";
        let first = with_section(card, "one").expect("adds");
        assert!(first.starts_with(card) && first.contains("one"), "{first}");
        let more = format!("{first}\n## Privacy\n\nNobody.\n");
        let second = with_section(&more, "two").expect("replaces");
        assert_eq!(second, more.replace("one", "two"));
        assert_eq!(with_section(&second, "two").as_deref(), Ok(second.as_str()));
        for wrong in [format!("{BEGIN}\n"), format!("{END}\n{BEGIN}\n"), format!("{first}{first}")] {
            assert!(with_section(&wrong, "x").is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_from_the_data_stay_names() {
        assert_eq!(code("a|b`c\n"), "`a¦b'c `");
        assert_eq!(code(END), "`<! -- end of what mlp measured -- >`");
        assert_eq!(code(""), "` `");
        assert_eq!(
            (number(1.0 / 3.0), number(70000.0), number(1e-9)),
            ("0.333333".into(), "70000".into(), "1e-9".into())
        );
        assert_eq!(address("my data (1).png"), "my%20data%20%281%29.png");
    }
}
