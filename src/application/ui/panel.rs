//! Some lines that stay below the log on a terminal and are redrawn in place.

use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Lines under the log. They disappear when this is dropped.
pub struct Panel {
    multi: MultiProgress,
    lines: Mutex<Vec<ProgressBar>>,
}

impl Panel {
    pub(super) fn new(multi: MultiProgress) -> Self {
        Self { multi, lines: Mutex::default() }
    }

    /// How many columns a line has.
    pub fn width(&self) -> usize {
        usize::from(console::Term::stderr().size().1)
    }

    /// Shows these lines, which may hold no line end; what is too wide is cut.
    pub fn show(&self, texts: &[String]) {
        let mut lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (index, text) in texts.iter().enumerate() {
            if index == lines.len() {
                let style = ProgressStyle::with_template("{wide_msg}");
                let line = ProgressBar::new_spinner()
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                // Above the bars, below the lines that are there.
                lines.push(self.multi.insert(index, line));
            }
            lines[index].set_message(text.clone());
        }
        for line in lines.drain(texts.len()..) {
            line.finish_and_clear();
            self.multi.remove(&line);
        }
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        self.show(&[]);
    }
}

/// A curve as one line of blocks of at most `width` columns: `▇▅▃▂▁▁`. What is not finite is a `×`.
pub fn spark(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let columns = values.len().min(width);
    let block = |value: f64| {
        if !value.is_finite() {
            return '×';
        }
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        BLOCKS[((share * 8.0) as usize).min(7)]
    };
    // The last of the values that fall into a column.
    (1..=columns).map(|column| block(values[column * values.len() / columns - 1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_a_block_per_value_or_fewer() {
        assert_eq!(spark(&[4.0, 2.0, 1.0, 0.0], 10), "█▅▃▁");
        assert_eq!(spark(&(0..100).map(f64::from).collect::<Vec<_>>(), 5).chars().count(), 5);
        assert_eq!(spark(&[1.0, 1.0], 5), "▁▁");
        assert_eq!(spark(&[f64::NAN, 1.0, f64::INFINITY, 2.0], 5), "×▁×█");
        assert_eq!((spark(&[], 5), spark(&[1.0], 0)), (String::new(), String::new()));
    }
}
