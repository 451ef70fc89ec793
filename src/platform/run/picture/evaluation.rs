//! The picture of an evaluation: confusion matrix and reliability curve, side by side.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, TRAIN, VAL, draw, plain, short};
use crate::base::{CalibrationBin, Confusion};

/// More classes than this make no matrix that can be read.
const MOST_CLASSES: usize = 200;
/// Width and height of the reliability curve, and of the title above it.
const CURVE: (u32, u32) = (420, 380);
const TITLE: u32 = 40;

/// A confusion matrix, each row coloured by the share of its truths, unless it has too many classes to be read; and
/// the reliability curve (DeGroot and Fienberg, 1983), unless there are no bins. None where nothing is left.
pub fn evaluation(title: &str, matrix: Option<&Confusion>, bins: &[CalibrationBin]) -> Option<String> {
    let matrix = matrix.and_then(Matrix::new);
    let left = matrix.as_ref().map_or((0, 0), Matrix::size);
    let right = if bins.is_empty() { (0, 0) } else { CURVE };
    let size = (left.0 + right.0, left.1.max(right.1 + TITLE).max(1));
    if size.0 == 0 {
        return None;
    }
    draw(size, |root| {
        root.draw(&Text::new(plain(title), (16, 14), ("sans-serif", 18)))?;
        if let Some(matrix) = &matrix {
            matrix.paint(root)?;
        }
        if bins.is_empty() {
            return Ok(());
        }
        reliability(&root.clone().shrink((left.0, TITLE), CURVE), bins)
    })
}

/// A matrix with its places: labels to the left and above, the side of a cell.
struct Matrix<'a> {
    labels: Vec<String>,
    counts: &'a [Vec<u64>],
    cell: i32,
    left: i32,
    top: i32,
    /// Whether the labels above stand upright.
    upright: bool,
}

impl<'a> Matrix<'a> {
    fn new(matrix: &'a Confusion) -> Option<Self> {
        let classes = matrix.labels.len();
        if classes == 0 || classes > MOST_CLASSES {
            return None;
        }
        let labels: Vec<String> = matrix.labels.iter().map(|label| short(label)).collect();
        let cell = (560 / classes).clamp(10, 64) as i32;
        // About seven pixels a letter.
        let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as i32;
        let upright = 7 * longest <= cell - 4;
        let (left, top) = (56 + 7 * longest, 76 + if upright { 7 } else { 7 * longest });
        Some(Self { labels, counts: &matrix.counts, cell, left, top, upright })
    }

    fn side(&self) -> i32 {
        self.cell * self.labels.len() as i32
    }

    fn size(&self) -> (u32, u32) {
        ((self.left + self.side() + 24).max(360) as u32, (self.top + self.side() + 24) as u32)
    }

    fn paint(&self, root: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let &Self { cell, left, top, .. } = self;
        let text = |size: i32, x: HPos, y: VPos| {
            TextStyle::from(("sans-serif", size)).pos(Pos::new(x, y)).color(&BLACK)
        };
        let centre = |index: usize| cell * index as i32 + cell / 2;
        let font = (cell - 2).clamp(8, 13);
        let middle = left + self.side() / 2;
        root.draw(&Text::new("predicted", (middle, 46), text(13, HPos::Center, VPos::Center)))?;
        let turned = |style: TextStyle<'static>| style.transform(FontTransform::Rotate270);
        let truth = turned(text(13, HPos::Center, VPos::Center));
        root.draw(&Text::new("truth", (24, top + self.side() / 2), truth))?;
        for (index, label) in self.labels.iter().enumerate() {
            let row = (left - 8, top + centre(index));
            root.draw(&Text::new(label.as_str(), row, text(font, HPos::Right, VPos::Center)))?;
            let column = (left + centre(index), top - 8);
            let style = match self.upright {
                true => text(font, HPos::Center, VPos::Bottom),
                false => turned(text(font, HPos::Left, VPos::Center)),
            };
            root.draw(&Text::new(label.as_str(), column, style))?;
        }
        for (truth, counts) in self.counts.iter().enumerate() {
            let all: u64 = counts.iter().sum();
            for (predicted, count) in counts.iter().enumerate() {
                let share = if all == 0 { 0.0 } else { *count as f64 / all as f64 };
                let corner = (left + cell * predicted as i32, top + cell * truth as i32);
                let opposite = (corner.0 + cell, corner.1 + cell);
                root.draw(&Rectangle::new([corner, opposite], shade(share).filled()))?;
                root.draw(&Rectangle::new([corner, opposite], BLACK.mix(0.15)))?;
                let digits = count.to_string();
                if *count > 0 && 8 * digits.len() as i32 <= cell - 2 {
                    let ink = if share > 0.5 { WHITE } else { BLACK };
                    let style = text(13, HPos::Center, VPos::Center).color(&ink);
                    root.draw(&Text::new(digits, (corner.0 + cell / 2, corner.1 + cell / 2), style))?;
                }
            }
        }
        Ok(())
    }
}

/// Accuracy with its bounds over confidence; the diagonal is perfect calibration, the bars are shares of the answers.
fn reliability(area: &Area<'_>, bins: &[CalibrationBin]) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 12))
        .x_desc("confidence")
        .y_desc("accuracy")
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .draw()?;
    let all = bins.iter().map(|bin| bin.examples).sum::<u64>().max(1) as f64;
    let bar = |bin: &CalibrationBin| {
        let share = bin.examples as f64 / all;
        Rectangle::new([(bin.lower, 0.0), (bin.upper, share)], TRAIN.mix(0.2).filled())
    };
    chart.draw_series(bins.iter().map(bar))?;
    chart.draw_series(DashedLineSeries::new([(0.0, 0.0), (1.0, 1.0)], 4, 4, BLACK.mix(0.5).into()))?;
    let at = |bin: &CalibrationBin| (bin.confidence, bin.accuracy.value);
    let bounds = |bin: &CalibrationBin| {
        let ends = [(bin.confidence, bin.accuracy.lower), (bin.confidence, bin.accuracy.upper)];
        PathElement::new(ends, VAL.mix(0.6))
    };
    chart.draw_series(bins.iter().map(bounds))?;
    chart.draw_series(LineSeries::new(bins.iter().map(at), VAL.stroke_width(2)))?;
    chart.draw_series(bins.iter().map(|bin| Circle::new(at(bin), 3, VAL.filled())))?;
    Ok(())
}

/// From white to [`TRAIN`].
fn shade(share: f64) -> RGBColor {
    let mix = |full: u8| (255.0 - share * f64::from(255 - full)).round() as u8;
    RGBColor(mix(TRAIN.0), mix(TRAIN.1), mix(TRAIN.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Estimate;

    fn matrix(labels: &[&str]) -> Confusion {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let row =
            |truth: usize| (0..labels.len()).map(|n| if n == truth { 90 } else { n as u64 % 3 }).collect();
        Confusion { counts: (0..labels.len()).map(row).collect(), labels }
    }

    fn bins() -> Vec<CalibrationBin> {
        let bin = |index: u64| {
            let (lower, upper) = (index as f64 / 15.0, (index + 1) as f64 / 15.0);
            let accuracy = Estimate { value: lower, lower: lower / 2.0, upper: 1.0 };
            CalibrationBin { lower, upper, examples: index, confidence: (lower + upper) / 2.0, accuracy }
        };
        [3, 9, 14].map(bin).to_vec()
    }

    #[test]
    fn the_same_numbers_give_the_same_bytes() {
        let matrix = matrix(&["cat", "dog", "bird"]);
        let drawn = evaluation("pets", Some(&matrix), &bins()).expect("draws");
        assert_eq!(evaluation("pets", Some(&matrix), &bins()), Some(drawn.clone()));
        for word in ["pets", "cat", "predicted", "truth", "confidence", "accuracy"] {
            assert!(drawn.contains(word), "{word}");
        }
        // A point for each bin.
        assert_eq!(drawn.matches("<circle").count(), 3);
        let alone = evaluation("pets", Some(&matrix), &[]).expect("draws");
        assert!(!alone.contains("confidence") && alone.len() < drawn.len());
    }

    #[test]
    fn hostile_names_are_drawn_and_what_cannot_be_read_is_left_out() {
        let labels = ["<script>", "a & b\n", "数字"];
        let drawn = evaluation("a<b>&\u{1b}", Some(&matrix(&labels)), &[]).expect("draws");
        assert!(
            !drawn.contains("<script>") && !drawn.contains('\u{1b}') && drawn.contains("数字"),
            "{drawn}"
        );
        assert_eq!(evaluation("x", Some(&matrix(&[])), &[]), None);
        assert_eq!(evaluation("x", None, &[]), None);
        let many = |n: usize| -> Vec<String> { (0..n).map(|n| format!("class {n}")).collect() };
        let many = |n: usize| matrix(&many(n).iter().map(String::as_str).collect::<Vec<_>>());
        assert!(evaluation("x", Some(&many(150)), &[]).expect("draws").contains("predicted"));
        let curve = evaluation("x", Some(&many(201)), &bins()).expect("draws the curve");
        assert!(curve.contains("confidence") && !curve.contains("predicted"), "{curve}");
    }
}
