//! `coinslot backup`: copies the state of a host into one file, beside the running host.

use std::path::PathBuf;

use coinslot_ledger::ChangeKind;

use super::{DEFAULT_CONFIG, Failure, audit, print};
use crate::backup::{self, Trouble};
use crate::config::Config;

/// Back up the state of a host into one file, beside the running host.
///
/// In it are the ledger, with what is owed and the answers that may be fetched again, what plugins keep, and the builds
/// that serve. It is one state of the ledger, and the host goes on selling meanwhile. The file is an archive that `tar`
/// can list; it holds signed payments and paid answers, and only its owner can read it. `coinslot restore` makes a state
/// of it.
///
/// Not in it are coinslot.toml, keys and the plugin folder, which is yours: keep copies of them, too.
///
/// Ends with 0 if the file is there (with --dry-run: could be made), 1 if it cannot be made or another is there already, 2
/// for wrong usage or a wrong configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct BackupArgs {
    /// The file to write. It has its name when all of it is on the disk.
    pub file: PathBuf,
    /// The configuration of the host. Of it only `state` counts.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub config: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Say what would be in the file, and leave no file. The copies that are made meanwhile need the same room.
    #[arg(long)]
    pub dry_run: bool,
}

/// Writes the file, and prints what is in it.
pub fn run(args: &BackupArgs) -> Result<(), Failure> {
    let state = Config::read_state(&args.config)?;
    let contents = backup::back_up(&state, &args.file, args.force, args.dry_run)?;
    let size = print::size(usize::try_from(contents.size).unwrap_or(usize::MAX));
    if args.dry_run {
        let file = args.file.display();
        return print::line(format_args!("{file} would be written, {size}: {contents}; nothing is changed"));
    }
    audit::record(&state.ledger(), ChangeKind::Backup, args.file.display().to_string(), Some(contents.to_string()));
    print::line(format_args!("wrote {}, {size}: {contents}", args.file.display()))?;
    print::line(format_args!(
        "not in it: {}, the keys and secrets that it names, and the plugin folder",
        args.config.display()
    ))
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::new(trouble.to_string())
    }
}
