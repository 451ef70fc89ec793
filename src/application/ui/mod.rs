//! The terminal: the only place that prints.

mod output;

pub use output::{ErasedReport, Mode, Report, Ui};
