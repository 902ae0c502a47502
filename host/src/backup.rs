//! Copies the state of a host into one file beside the running host, and makes a state of such a file.
//!
//! The file is an archive in the format of tar, which an operator can look into: `ledger.db`, the stores of plugins in
//! `keyvalue/`, the builds that serve in `served/`, and at its end `coinslot-backup.json`, which names every file with
//! its SHA-256. So an archive that was cut short is known by its missing end. What a host makes again is not in it
//! (compiled components, the key of quotes), and neither is what an operator keeps elsewhere (the configuration, keys).

mod manifest;
mod read;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use coinslot_ledger::LedgerError;
use coinslot_ledger::backup::BackupError;
use coinslot_ledger::backup::LedgerContent;
use coinslot_x402::UnixTime;

pub use self::read::restore;
pub use self::write::back_up;

/// The names of an archive's entries, which are those of the state folder.
const LEDGER: &str = "ledger.db";
const STORES: &str = "keyvalue";
const SERVED: &str = "served";
const MANIFEST: &str = "coinslot-backup.json";

/// The content of a backup, or of a state that was restored from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The time at which the backup was begun.
    pub made: UnixTime,
    pub ledger: LedgerContent,
    /// Plugins whose keys and values are in it.
    pub stores: Vec<String>,
    /// Components of builds that serve or served.
    pub builds: usize,
    /// The size of the archive, in bytes.
    pub size: u64,
    /// The parts that the state folder had already, and that were left as they were: of a restore.
    pub kept: Vec<String>,
    /// Claims that are not taken over, because nothing says how they ended: of a restore.
    pub unfinished: usize,
}

/// The reason why a backup was not made or not restored. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("there is no ledger at {}: a host makes it when it first serves", .0.display())]
    NoLedger(PathBuf),
    #[error("{} is there already: --force replaces it", .0.display())]
    Exists(PathBuf),
    #[error("{} is no file: name one that may be replaced, or none that is there", .0.display())]
    NoFile(PathBuf),
    #[error("a host runs on {}: stop it first", .0.display())]
    Running(PathBuf),
    #[error(
        "{} is there already: nothing replaces a ledger. Move it and the files beside it that begin with its name to \
         another folder first",
        .0.display()
    )]
    HasLedger(PathBuf),
    #[error("{} is no backup of Coinslot: {reason}", .path.display())]
    NotABackup { path: PathBuf, reason: String },
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Database(#[from] BackupError),
    #[error(transparent)]
    Lock(#[from] LedgerError),
}

impl Trouble {
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path: path.clone(), source }
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<String> =
            self.ledger.payments.iter().map(|(state, payments)| format!("{payments} {state}")).collect();
        write!(f, "a ledger of {}", counted(self.ledger.total(), "payment"))?;
        if !states.is_empty() {
            write!(f, " ({})", states.join(", "))?;
        }
        write!(f, ", {} of plugins", counted(self.builds as u64, "component"))?;
        match self.stores.as_slice() {
            [] => Ok(()),
            stores => write!(f, ", what is kept by {}", stores.join(", ")),
        }
    }
}

fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
