//! The configuration of a host: typed, with its defaults, and read from `coinslot.toml`.
//!
//! Unknown keys are refused, and every problem is reported at once with its key. Nothing here opens a socket or asks a
//! chain. Secrets are never in the file: it names environment variables and files. `host/docs/configuration.md` has
//! the table of keys.

mod accept;
mod active;
mod admin;
mod allow;
mod discover;
mod document;
mod facilitator;
mod hosts;
mod limits;
mod overrides;
mod plugin;
mod reader;
mod refunds;
mod renamed;
mod server;
mod settings;
mod settlement;
mod telemetry;
mod types;
mod unknown_key;
mod values;
mod webhook;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use coinslot_base::file::read_regular_text;
use coinslot_base::text::printable;

use self::reader::{Reader, Section};

pub use self::active::{ActiveConfig, ConfigFacts};
pub(crate) use self::overrides::is_route_label;
pub use self::settings::{
    Setting, SettingChange, SettingInForce, TakesEffect, Value, changes, in_force, needs_restart, settings,
};
pub use self::settlement::{
    AcceptConfig, CredentialSource, FacilitatorConfig, KeySource, LocalFacilitator, RemoteFacilitator, SettlementConfig,
};
pub use self::types::{
    Accent, AdminConfig, AdminTls, AllowanceConfig, Config, DiscoverConfig, PayerSource, PaymentConfig, PluginConfig,
    PluginsConfig, RateLimitConfig, RefundConfig, Robots, SecretSource, ServerConfig, StateConfig, TelemetryConfig,
    TlsFiles, WebhookConfig,
};
pub use self::values::{parse_duration, parse_ether, parse_gas_price};

/// The largest file that is read.
const MOST_BYTES: u64 = 4 << 20;

/// Everything that is wrong with a file, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<String>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        // Problems repeat keys and values of the file.
        for line in self.list.iter().flat_map(|problem| problem.trim_end().split('\n')) {
            write!(f, "\n  {}", printable(line))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// The file and its problems in one line, for the log. Of a problem of several lines, such as a mistake of syntax
    /// with the line of the file, it has the first and the last one.
    pub fn in_one_line(&self) -> String {
        let problems = self.list.iter().map(|problem| {
            let mut lines = problem.trim_end().lines();
            let first = lines.next().unwrap_or_default();
            printable(&lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}")))
        });
        format!("{}: {}", self.file.display(), problems.collect::<Vec<_>>().join("; "))
    }
}

impl Config {
    /// Reads a file. Paths in it are relative to its directory.
    pub fn read(file: &Path) -> Result<Self, Problems> {
        read(file, document::config)
    }

    /// Reads the text of a file in this directory, which need not be written yet.
    pub fn of_text(text: &str, directory: &Path) -> Result<Self, Problems> {
        let failed = |list| Problems { file: directory.to_owned(), list };
        parse(text, directory, document::config).map_err(failed)
    }

    /// Reads only the bounds and grants of plugins, `[limits]`, `[health]` and `[plugin.NAME]`. The rest of the file is
    /// not looked at, and may be missing or wrong.
    pub fn read_plugins(file: &Path) -> Result<PluginsConfig, Problems> {
        read(file, |root, base| {
            let plugins = document::plugins(root, base);
            root.ignore_the_rest();
            plugins
        })
    }

    /// Reads only what the host publishes about itself, `[discover]`. The rest of the file is not looked at, and may be
    /// missing or wrong.
    pub(crate) fn read_discover(file: &Path) -> Result<DiscoverConfig, Problems> {
        read(file, |root, base| {
            let discover = discover::read(root, base);
            root.ignore_the_rest();
            discover
        })
    }

    /// Reads only where a host keeps its state; the other keys of that have their defaults. The rest of the file is not
    /// looked at, and may be missing or wrong.
    pub(crate) fn read_state(file: &Path) -> Result<StateConfig, Problems> {
        read(file, |root, base| {
            let folder = document::state_folder(root, base);
            root.ignore_the_rest();
            StateConfig { folder, ..StateConfig::default() }
        })
    }

    /// Reads only the listener for operators. The rest of the file is not looked at, and may be missing or wrong.
    pub(crate) fn read_admin(file: &Path) -> Result<Option<AdminConfig>, Problems> {
        read(file, |root, base| {
            let admin = admin::read(root, base);
            root.ignore_the_rest();
            admin
        })
    }

    /// Reads only where the compiled components are. The rest of the file is not looked at, and may be missing or wrong.
    pub(crate) fn read_artifacts(file: &Path) -> Result<PathBuf, Problems> {
        Self::read_state(file).map(|state| state.artifacts())
    }
}

fn read<T>(file: &Path, take: impl FnOnce(&mut Section<'_, '_>, &Path) -> T) -> Result<T, Problems> {
    let failed = |list| Problems { file: file.to_owned(), list };
    // A running host reads it again: a pipe in its place would never end, and a huge file would fill the memory.
    let text = read_regular_text(file, MOST_BYTES).map_err(|error| failed(vec![unreadable(&error)]))?;
    parse(&text, file.parent().unwrap_or(Path::new("")), take).map_err(failed)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file: `coinslot init` writes one for a host that sells, `coinslot dev` serves plugins without \
             one, and --config names another"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// Parses a document; what `take` leaves in it is a problem.
fn parse<T>(text: &str, base: &Path, take: impl FnOnce(&mut Section<'_, '_>, &Path) -> T) -> Result<T, Vec<String>> {
    let reader = Reader::default();
    let taken = {
        let mut root = reader.document(text).map_err(|problem| vec![problem])?;
        take(&mut root, base)
    };
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(taken) } else { Err(problems) }
}

#[cfg(test)]
mod tests;
