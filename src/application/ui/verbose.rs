//! `--verbose`: what the store logs of its requests becomes talk of the command.

use log::{LevelFilter, Log, Metadata, Record};

use super::Ui;
use crate::base::{Event, Level, Sink, What};
use crate::infrastructure::store::REQUESTS_LOG;

struct Requests(&'static Ui);

/// From now on each request to a store is told.
pub(crate) fn install(ui: &'static Ui) {
    if log::set_logger(Box::leak(Box::new(Requests(ui)))).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

impl Log for Requests {
    /// Nothing of what libraries log is shown: nobody took the secrets out of it.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == REQUESTS_LOG
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let log = crate::base::Log { level: Level::Debug, text: record.args().to_string() };
            self.0.emit(&Event::now(What::Log(log)));
        }
    }

    fn flush(&self) {}
}
