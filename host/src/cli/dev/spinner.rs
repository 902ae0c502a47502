//! Shows that a plugin is built, and how long that took.

use std::time::Duration;

use coinslot_base::text::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::build::compile::BuildResult;
use crate::cli::print;

/// A spinner on a terminal, a line elsewhere.
pub(super) struct Spinner {
    bar: ProgressBar,
    name: String,
}

impl Spinner {
    pub(super) fn start(progress: &MultiProgress, name: &str) -> Self {
        let bar = progress.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(printable(&format!("building {name}")));
        bar.enable_steady_tick(Duration::from_millis(120));
        if bar.is_hidden() {
            let _ = print::line(format_args!("building {name}"));
        }
        Self { bar, name: name.to_owned() }
    }

    pub(super) fn end(self, result: &BuildResult) {
        let took = self.bar.elapsed();
        self.bar.finish_and_clear();
        if *result == BuildResult::Built {
            let _ = print::line(format_args!("built {} in {:.1} s", self.name, took.as_secs_f64()));
        }
    }
}
