//! Small plots for the terminal: braille dots for a line, circles for measured points. No colour is needed to read them.

/// One line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Points (x, y), x ascending.
    pub points: Vec<(f64, f64)>,
}

/// Columns of dots; with the labels a plot stays under 80 columns. A narrow terminal gets fewer.
const WIDTH: usize = 60;
/// Columns of the labels.
const LABELS: usize = 12;
const HEIGHT: usize = 8;
/// Bit of each dot of a braille cell, by row and column (Unicode, Braille Patterns, U+2800).
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// A plot of at most two curves: the first as a line of dots, the second as circles. Points that are not finite are left
/// out; with fewer than two points on the x axis there is nothing to plot and the text is empty.
pub fn plot(title: &str, x_name: &str, curves: &[Curve]) -> String {
    let terminal = console::Term::stdout();
    let columns = if terminal.is_term() { usize::from(terminal.size().1) } else { usize::MAX };
    plot_in(columns.saturating_sub(LABELS).clamp(20, WIDTH), title, x_name, curves)
}

/// As [`plot`], with so many columns of dots.
fn plot_in(width: usize, title: &str, x_name: &str, curves: &[Curve]) -> String {
    // Braille cells are two dots wide and four high.
    let dots = (width * 2, HEIGHT * 4);
    let finite = |curve: &Curve| -> Vec<(f64, f64)> {
        curve.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let curves: Vec<(&str, Vec<(f64, f64)>)> =
        curves.iter().take(2).map(|curve| (curve.name.as_str(), finite(curve))).collect();
    let all = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let (left, right) = range(all().map(|(x, _)| x));
    let (bottom, top) = range(all().map(|(_, y)| y));
    if all().count() == 0 || right <= left {
        return String::new();
    }
    let height = if top > bottom { top - bottom } else { 1.0 };
    let place = |(x, y): (f64, f64)| {
        let column = (x - left) / (right - left) * (dots.0 - 1) as f64;
        let row = (top - y) / height * (dots.1 - 1) as f64;
        (column.round() as usize, row.round() as usize)
    };
    let mut canvas = vec![vec![Cell::Dots(0); width]; HEIGHT];
    if let Some((_, line)) = curves.first() {
        for pair in line.windows(2) {
            draw(&mut canvas, place(pair[0]), place(pair[1]));
        }
    }
    for (_, points) in curves.iter().skip(1) {
        for point in points {
            let (column, row) = place(*point);
            canvas[row / 4][column / 2] = Cell::Circle;
        }
    }
    let legend = curves.iter().zip(["⠒", "o"]).filter(|((_, points), _)| !points.is_empty());
    let legend: Vec<String> = legend.map(|((name, _), mark)| format!("{mark} {name}")).collect();
    let mut text = format!("{title:<12}{}\n", legend.join("   "));
    for (row, cells) in canvas.iter().enumerate() {
        let label = match row {
            0 => number(top),
            row if row == HEIGHT - 1 => number(bottom),
            _ => String::new(),
        };
        let axis = if label.is_empty() { '│' } else { '┤' };
        let cells: String = cells.iter().map(Cell::show).collect();
        text += format!("{label:>9} {axis}{}", cells).trim_end();
        text.push('\n');
    }
    let (first, last) = (number(left), format!("{x_name} {}", number(right)));
    text += &format!("{:>9} └{}\n", "", "─".repeat(width));
    text += &format!("{:>11}{first}{last:>width$}\n", "", width = width.saturating_sub(first.len()));
    text
}

#[derive(Clone, Copy)]
enum Cell {
    Dots(u8),
    Circle,
}

impl Cell {
    fn show(&self) -> char {
        match self {
            Self::Dots(0) => ' ',
            Self::Dots(bits) => char::from_u32(0x2800 + u32::from(*bits)).unwrap_or('.'),
            Self::Circle => 'o',
        }
    }
}

/// Sets the dots of the line between two places, by the larger of the two distances.
fn draw(canvas: &mut [Vec<Cell>], from: (usize, usize), to: (usize, usize)) {
    let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
    for step in 0..=steps {
        let share = step as f64 / steps as f64;
        let between = |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * share).round() as usize;
        let (column, row) = (between(from.0, to.0), between(from.1, to.1));
        if let Cell::Dots(bits) = &mut canvas[row / 4][column / 2] {
            *bits |= BITS[row % 4][column % 2];
        }
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// Four significant digits, without an exponent where that is readable.
fn number(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 1e6 {
        format!("{value:.0}")
    } else if (0.001..1e6).contains(&size) {
        let digits = 3_i32.saturating_sub(size.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, ys: &[f64]) -> Curve {
        Curve {
            name: name.into(),
            points: ys.iter().enumerate().map(|(x, y)| (x as f64 + 1.0, *y)).collect(),
        }
    }

    #[test]
    fn a_falling_loss_goes_from_upper_left_to_lower_right() {
        let text = plot(
            "loss",
            "epoch",
            &[curve("train", &[2.3, 1.0, 0.5, 0.25]), curve("val", &[2.0, 0.9, 0.7, 0.6])],
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 3);
        assert!(lines[0].contains("train") && lines[0].contains("o val"), "{text}");
        assert!(lines[1].starts_with("    2.300 ┤") && lines[1].chars().count() < 20, "{text}");
        assert!(lines[HEIGHT].starts_with("   0.2500 ┤"), "{text}");
        assert!(
            lines[HEIGHT + 2].trim_start().starts_with('1') && text.trim_end().ends_with("epoch 4"),
            "{text}"
        );
        let circles: usize = lines[1..=HEIGHT].iter().map(|line| line.matches('o').count()).sum();
        assert_eq!(circles, 4, "{text}");
    }

    #[test]
    fn no_line_is_wider_than_eighty_columns() {
        let text = plot("accuracy", "epoch", &[curve("train", &[1e-9, 123_456.789, -1e12])]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_narrow_plot_has_everything_of_a_wide_one() {
        let text = plot_in(40, "loss", "epoch", &[curve("train", &[2.0, 1.0]), curve("val", &[2.0, 1.5])]);
        assert!(text.lines().all(|line| line.chars().count() <= 40 + LABELS), "{text}");
        assert!(text.contains("o val") && text.trim_end().ends_with("epoch 2"), "{text}");
    }

    #[test]
    fn nothing_to_plot_is_an_empty_text() {
        assert_eq!(plot("loss", "epoch", &[]), "");
        assert_eq!(plot("loss", "epoch", &[curve("train", &[1.0])]), "");
        assert_eq!(plot("loss", "epoch", &[curve("train", &[f64::NAN, f64::INFINITY])]), "");
    }

    #[test]
    fn a_constant_curve_is_drawn() {
        assert!(plot("loss", "epoch", &[curve("train", &[0.5, 0.5])]).contains("0.5"));
    }
}
