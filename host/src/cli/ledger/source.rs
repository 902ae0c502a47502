//! The ledger that a report is made of, and the format of the report.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use coinslot_ledger::reports::LedgerReader;

use crate::cli::output::OutputFormat;
use crate::cli::{DEFAULT_CONFIG, Failure};
use crate::config::Config;
use crate::operate::units::Units;

/// The ledger of `coinslot dev`, unless it keeps its state in another directory.
const DEV_LEDGER: &str = ".coinslot/dev-ledger.db";

/// The ledger, and the format of the report.
#[derive(Args, Clone, Debug)]
pub(super) struct Source {
    /// The configuration whose ledger it is [default: coinslot.toml].
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The ledger's file itself.
    #[arg(long, value_name = "LEDGER", global = true)]
    file: Option<PathBuf>,
    /// `table`, `json` (a line for each) or `csv`. A table on a terminal, JSON elsewhere.
    #[arg(long, global = true)]
    format: Option<OutputFormat>,
}

impl Source {
    /// Finds the ledger's file, with the configuration unless the file was named.
    pub(super) fn find(&self) -> Result<(PathBuf, Option<Config>), Failure> {
        let config = match (&self.file, &self.config) {
            // One of them may stand before the report's name and the other behind it, which clap does not compare.
            (Some(_), Some(_)) => return Err(Failure::usage("--file names the ledger itself: leave --config out")),
            (Some(file), None) => return Ok((file.clone(), None)),
            (None, config) => config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG)),
        };
        if !config.exists() {
            let shown = config.display();
            let of_dev = if Path::new(DEV_LEDGER).exists() { format!(", such as {DEV_LEDGER}") } else { String::new() };
            return Err(Failure::usage(format!(
                "there is no {shown}: name the configuration with --config, or a ledger with --file{of_dev}"
            )));
        }
        let config = Config::read(config).map_err(|problems| Failure::usage(problems.to_string()))?;
        Ok((config.state.ledger(), Some(config)))
    }

    /// Opens the ledger, with the units of its amounts.
    pub(super) fn open(&self) -> Result<(LedgerReader, Units), Failure> {
        let (file, config) = self.find()?;
        Ok((open(&file)?, Units::of(config.as_ref())))
    }

    /// The format that was asked for, else a table on a terminal and JSON elsewhere.
    pub(super) fn format(&self) -> OutputFormat {
        let by_terminal = || if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Json };
        self.format.unwrap_or_else(by_terminal)
    }

    /// The format that was asked for, if any.
    pub(super) fn chosen_format(&self) -> Option<OutputFormat> {
        self.format
    }
}

pub(super) fn open(file: &Path) -> Result<LedgerReader, Failure> {
    LedgerReader::open(file).map_err(failed)
}

/// A failure of the command with the words of an error.
pub(super) fn failed(error: impl Display) -> Failure {
    Failure::new(error.to_string())
}
