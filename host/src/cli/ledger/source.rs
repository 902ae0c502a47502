//! The ledger that a report is made of, and the format of the report.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use coinslot_ledger::reports::LedgerReader;
use url::Url;

use crate::cli::output::OutputFormat;
use crate::cli::{DEFAULT_CONFIG, Failure, dev_hosts};
use crate::config::{Config, StateConfig};
use crate::logging;
use crate::operate::units::Units;

/// The ledger of `coinslot dev`, unless it keeps its state in another directory.
const DEV_LEDGER: &str = ".coinslot/dev-ledger.db";

/// The ledger, and the format of the report.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Source {
    /// The configuration whose ledger it is [default: coinslot.toml]. Without one it is the ledger of the `coinslot dev`
    /// which runs in this folder, or ran there last.
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
    pub(in crate::cli) fn find(&self) -> Result<(PathBuf, Option<Config>), Failure> {
        // One of them may stand before the report's name and the other behind it, which clap does not compare.
        match (&self.file, &self.config) {
            (Some(_), Some(_)) => return Err(Failure::usage("--file names the ledger itself: leave --config out")),
            (Some(file), None) => return Ok((file.clone(), None)),
            (None, _) => {}
        }
        if self.is_of_dev() {
            logging::say(match dev_hosts::is_running_here() {
                true => "this is the ledger of the `coinslot dev` that runs in this folder",
                false => "no `coinslot dev` is running: this is the ledger of the last one",
            });
            return Ok((DEV_LEDGER.into(), None));
        }
        let config = self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        let config = Config::read(config).map_err(|problems| Failure::usage(problems.to_string()))?;
        Ok((config.state.ledger(), Some(config)))
    }

    fn is_of_dev(&self) -> bool {
        let config = self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        self.file.is_none() && dev_hosts::is_meant(config, Path::new(DEV_LEDGER), StateConfig::ledger)
    }

    /// The chain of the `coinslot dev` whose ledger this is. None if it is another ledger, or if that has ended.
    pub(super) fn rpc_of_dev(&self) -> Option<Url> {
        if self.is_of_dev() { dev_hosts::rpc_here() } else { None }
    }

    /// Opens the ledger, with the units of its amounts.
    pub(super) fn open(&self) -> Result<(LedgerReader, Units), Failure> {
        let (file, config) = self.find()?;
        Ok((open(&file)?, Units::of(config.as_ref())))
    }

    /// The format that was asked for, else a table on a terminal and JSON elsewhere.
    pub(in crate::cli) fn format(&self) -> OutputFormat {
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
pub(in crate::cli) fn failed(error: impl Display) -> Failure {
    Failure::new(error.to_string())
}
