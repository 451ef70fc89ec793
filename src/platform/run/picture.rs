//! Pictures as SVG: learning curves, evaluations and histograms. The same numbers give the same bytes.

mod evaluation;

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Curves;
use crate::platform::data::Histogram;

pub use evaluation::evaluation;

/// The file of the curves below the output folder of a run.
pub const CURVES: &str = "curves.svg";

/// Width of the curves, and height of each panel.
const PANEL: (u32, u32) = (800, 300);
/// More metrics than this are not drawn.
const MOST_PANELS: usize = 6;
/// Width and height of a histogram, and how many are drawn.
const BARS_PANEL: (u32, u32) = (280, 190);
const MOST_HISTOGRAMS: usize = 30;
/// Values beyond it are left out: plotters looks for the places of its lines in steps that an f64 must be able to add.
const LARGEST: f64 = 1e12;
/// Blue and vermilion of Okabe and Ito (2008): told apart by nearly everybody; points are drawn for `val` besides.
const TRAIN: RGBColor = RGBColor(0, 114, 178);
const VAL: RGBColor = RGBColor(213, 94, 0);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Points = Vec<(f64, f64)>;

/// One panel per metric with the curves of the training and the validation part; none where nothing was measured.
pub fn learning(title: &str, curves: &Curves) -> Option<String> {
    let points = |part: &str, metric: &str| -> Points {
        let values = curves.of(part, metric).filter(|(_, value)| value.abs() <= LARGEST);
        values.map(|(epoch, value)| (epoch as f64, value)).collect()
    };
    let panels: Vec<(&str, Points, Points)> = curves
        .metrics()
        .into_iter()
        .map(|metric| (metric, points("train", metric), points("val", metric)))
        .filter(|(_, train, val)| !train.is_empty() || !val.is_empty())
        .take(MOST_PANELS)
        .collect();
    if panels.is_empty() {
        return None;
    }
    draw((PANEL.0, 40 + PANEL.1 * panels.len() as u32), |root| {
        let (head, body) = root.split_vertically(40);
        head.draw(&Text::new(plain(title), (16, 14), ("sans-serif", 18)))?;
        for ((metric, train, val), area) in panels.iter().zip(body.split_evenly((panels.len(), 1))) {
            panel(&area, metric, train, val)?;
        }
        Ok(())
    })
}

fn panel(area: &Area<'_>, metric: &str, train: &Points, val: &Points) -> Result<(), Box<dyn Error>> {
    let all = || train.iter().chain(val).copied();
    let (left, right) = range(all().map(|(x, _)| x), 0.0);
    let (bottom, top) = range(all().map(|(_, y)| y), 0.05);
    // The legend stands on the side that the curve goes away from.
    let longer = if train.len() > val.len() { train } else { val };
    let falls = longer.first().map(|point| point.1) >= longer.last().map(|point| point.1);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, bottom..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 12))
        .x_desc("epoch")
        .y_desc(plain(metric))
        .x_labels(10)
        .y_labels(6)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .y_label_formatter(&|y| number(*y))
        .draw()?;
    if !train.is_empty() {
        chart
            .draw_series(LineSeries::new(train.iter().copied(), TRAIN.stroke_width(2)))?
            .label("train")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], TRAIN.stroke_width(2)));
        if let [only] = train.as_slice() {
            chart.draw_series([Circle::new(*only, 3, TRAIN.filled())])?;
        }
    }
    if !val.is_empty() {
        chart.draw_series(LineSeries::new(val.iter().copied(), VAL.stroke_width(2)))?.label("val").legend(
            |(x, y)| {
                EmptyElement::at((x, y))
                    + PathElement::new([(0, 0), (18, 0)], VAL.stroke_width(2))
                    + Circle::new((9, 0), 3, VAL.filled())
            },
        );
        // A point per epoch where they do not touch.
        if val.len() <= 100 {
            chart.draw_series(val.iter().map(|point| Circle::new(*point, 3, VAL.filled())))?;
        }
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 13))
        .position(if falls { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::LowerRight })
        .draw()?;
    Ok(())
}

/// Histograms of columns, side by side; none where there is none.
pub fn histograms(title: &str, columns: &[(&str, &Histogram)]) -> Option<String> {
    let drawn: Vec<_> = columns
        .iter()
        .filter(|(_, histogram)| histogram.low.abs().max(histogram.high.abs()) <= LARGEST)
        .take(MOST_HISTOGRAMS)
        .collect();
    if drawn.is_empty() {
        return None;
    }
    let across = drawn.len().min(3);
    let down = drawn.len().div_ceil(across);
    let size = (BARS_PANEL.0 * across as u32, 40 + BARS_PANEL.1 * down as u32);
    draw(size, |root| {
        let (head, body) = root.split_vertically(40);
        head.draw(&Text::new(plain(title), (16, 14), ("sans-serif", 18)))?;
        for ((name, histogram), area) in drawn.iter().zip(body.split_evenly((down, across))) {
            bars(&area, name, histogram)?;
        }
        Ok(())
    })
}

fn bars(area: &Area<'_>, name: &str, histogram: &Histogram) -> Result<(), Box<dyn Error>> {
    let (left, right) = range([histogram.low, histogram.high].into_iter(), 0.0);
    let highest = histogram.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(short(name), ("sans-serif", 14))
        .x_label_area_size(26)
        .y_label_area_size(48)
        .build_cartesian_2d(left..right, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 11))
        .x_labels(5)
        .y_labels(4)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(*y))
        .draw()?;
    let wide = (histogram.high - histogram.low) / histogram.counts.len() as f64;
    let bar = |(at, count): (usize, &u64)| {
        let begin = histogram.low + wide * at as f64;
        let corners = [(begin, 0.0), (begin + wide, *count as f64)];
        let mut bar = Rectangle::new(corners, TRAIN.mix(0.8).filled());
        bar.set_margin(0, 0, 0, 1);
        bar
    };
    chart.draw_series(histogram.counts.iter().enumerate().map(bar))?;
    Ok(())
}

/// A picture on white; none if it cannot be drawn, which a text in memory never is.
fn draw(size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn Error>>) -> Option<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).ok()?;
        paint(&root).ok()?;
        root.present().ok()?;
    }
    Some(text)
}

/// Lowest and highest value with a margin; never so narrow that the places between them cannot be told apart.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let size = high - low;
    if size > 1e-9 * low.abs().max(high.abs()).max(1e-3) {
        return (low - margin * size, high + margin * size);
    }
    let half = (low.abs() * 0.5).max(0.5);
    (low - half, low + half)
}

fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (0.001..1e5).contains(&size) {
        let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.2e}")
    }
}

/// What XML can hold of a name.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A name of at most 20 letters.
fn short(text: &str) -> String {
    let text = plain(text);
    if text.chars().count() <= 20 { text } else { text.chars().take(19).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Metric;

    fn curves(epochs: u64) -> Curves {
        let mut curves = Curves::default();
        for epoch in 1..=epochs {
            let x = epoch as f64;
            let told = [
                ("train.loss", 2.0 / x),
                ("val.loss", 0.1 + 2.1 / x),
                ("train.accuracy", 1.0 - 0.8 / x),
                ("val.accuracy", 0.98 - 0.8 / x),
                ("lr", 0.1),
            ];
            for (name, value) in told {
                curves.take(&Metric { name: name.into(), value, step: None, epoch: Some(epoch) });
            }
        }
        curves
    }

    #[test]
    fn the_same_numbers_give_the_same_bytes() {
        let one = learning("digits", &curves(12)).expect("draws");
        assert_eq!(learning("digits", &curves(12)), Some(one.clone()));
        for word in ["digits", "loss", "accuracy", "train", "val", "epoch"] {
            assert!(one.contains(word), "{word}");
        }
        assert!(one.starts_with("<svg ") && !one.contains("lr"), "{one}");
    }

    #[test]
    fn histograms_are_drawn_side_by_side_whatever_they_hold() {
        let histogram = |low: f64, high: f64| Histogram { low, high, counts: vec![3, 0, 7, 1], mean: 0.0 };
        let (one, two) = (histogram(0.0, 8.0), histogram(-1e11, 1e11));
        let drawn = histograms("a<b>", &[("age", &one), ("x\u{1b}<script>", &two)]).expect("draws");
        assert!(drawn.contains("age") && !drawn.contains("<script>") && !drawn.contains('\u{1b}'), "{drawn}");
        assert_eq!(histograms("a<b>", &[("age", &one), ("x\u{1b}<script>", &two)]), Some(drawn));
        assert_eq!(histograms("x", &[]), None);
        assert_eq!(histograms("x", &[("huge", &histogram(0.0, 1e300))]), None);
        assert!(histograms("x", &[("narrow", &histogram(1.0, 1.0 + 1e-7))]).is_some());
    }

    #[test]
    fn hostile_numbers_and_names_are_drawn_or_left_out() {
        assert_eq!(learning("x", &Curves::default()), None);
        assert!(learning("x", &curves(1)).is_some());
        for values in [
            [f64::NAN, 1.0],
            [f64::INFINITY, f64::NAN],
            [1e300, -1e300],
            [f64::MAX, f64::MIN],
            [1e12, 1e12 + 1e-3],
            [-1e12, 1e12],
            [1e-13, 2e-13],
            [1e-300, 0.0],
            [0.0, 0.0],
        ] {
            let mut curves = Curves::default();
            for (epoch, value) in (1..).zip(values) {
                curves.take(&Metric { name: "val.loss".into(), value, step: None, epoch: Some(epoch) });
            }
            learning("x", &curves);
        }
        assert_eq!(range([1.0, 1.0 + 1e-12].into_iter(), 0.0), (0.5, 1.5));
    }
}
