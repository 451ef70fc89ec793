//! Aligned columns.

use std::borrow::Cow;

use console::measure_text_width;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Text.
    #[default]
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a heading, columns two spaces apart and as wide as their widest cell on a terminal.
///
/// ```
/// # use mlp::application::ui::{Align, Table};
/// let mut table = Table::new(["MODEL", "ACCURACY"]).align(1, Align::Right);
/// table.row(["digits", "0.991"]);
/// assert_eq!(table.render(), "MODEL   ACCURACY\ndigits     0.991\n");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Table {
    heading: Vec<String>,
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// A table with a heading, by custom in capitals.
    pub fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Self {
        Self { heading: heading.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// A table without a heading.
    pub fn plain() -> Self {
        Self::default()
    }

    /// Aligns one column, counted from 0.
    #[must_use]
    pub fn align(mut self, column: usize, align: Align) -> Self {
        if self.align.len() <= column {
            self.align.resize(column + 1, Align::Left);
        }
        self.align[column] = align;
        self
    }

    /// Indents every line by so many spaces.
    #[must_use]
    pub fn indent(mut self, spaces: usize) -> Self {
        self.indent = spaces;
        self
    }

    /// Adds a row; control characters in cells are escaped, colours of `console` survive.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each with its end and without spaces before it.
    pub fn render(&self) -> String {
        let lines = || std::iter::once(&self.heading).filter(|cells| !cells.is_empty()).chain(&self.rows);
        let columns = lines().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            lines().filter_map(|cells| cells.get(column)).map(|cell| width_of(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for cells in lines() {
            let mut line = " ".repeat(self.indent);
            for (column, cell) in cells.iter().enumerate() {
                let cell = match cell.contains(['\n', '\t']) {
                    true => Cow::Owned(cell.replace(['\n', '\t'], " ")),
                    false => Cow::Borrowed(cell.as_str()),
                };
                let padding = " ".repeat(widths[column].saturating_sub(width_of(&cell)));
                match self.align.get(column) {
                    Some(Align::Right) => line.extend([padding.as_str(), &cell]),
                    _ => line.extend([&cell, padding.as_str()]),
                }
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns of a terminal that a text takes. Most cells are plain, and a table may have thousands.
fn width_of(text: &str) -> usize {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { text.len() } else { measure_text_width(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_width_on_the_terminal_not_by_bytes() {
        let mut table = Table::new(["NAME", "N"]).align(1, Align::Right);
        table.row(["äö", "1"]).row(["数字", "10"]).row(["x", "100"]);
        assert_eq!(table.render(), "NAME    N\näö      1\n数字   10\nx     100\n");
    }

    #[test]
    fn rows_may_be_ragged_and_headings_absent() {
        let mut table = Table::plain().indent(2);
        table.row(["a", "b"]).row(["long"]).row([String::new(), "c".into()]);
        assert_eq!(table.render(), "  a     b\n  long\n        c\n");
        assert_eq!(Table::new(["A"]).render(), "A\n");
        assert!(Table::plain().is_empty());
    }
}
