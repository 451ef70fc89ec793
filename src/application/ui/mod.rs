//! The terminal: the only place that prints.

mod error;
mod failure;
mod format;
mod output;
mod panel;
mod plot;
mod progress;
mod table;
pub(crate) mod verbose;

pub use error::{EXPLAIN, UiError};
pub(crate) use failure::{Severity, event, install_panic_hook, render};
pub use format::{Neutral, amount, argument, bytes, clean, count, duration, percent, plural, spoken, wrap};
pub use output::{ErasedReport, Mode, Program, Report, Ui};
pub use panel::{Panel, spark};
pub use plot::{Curve, plot};
pub use table::{Align, Table};
