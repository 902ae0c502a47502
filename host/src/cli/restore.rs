//! `coinslot restore`: makes the state of a host out of a backup.

use std::path::PathBuf;

use super::{DEFAULT_CONFIG, Failure, print};
use crate::backup::{self, Contents};
use crate::config::Config;
use crate::operate::time;

/// Make the state of a host out of a file of `coinslot backup`.
///
/// Refuses while a host runs, and where a ledger is: nothing replaces one. What plugins keep and the builds that serve
/// are restored where they are missing. The host that the backup is of must not run again on its own state, because the
/// restored ledger has the same identity.
///
/// Ends with 0 if the state is there (with --dry-run: could be restored), 1 if it is not, for which it says the reason, 2
/// for wrong usage or a wrong configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The file that `coinslot backup` wrote.
    pub file: PathBuf,
    /// The configuration of the host. Of it only `state` counts.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the file, say what would be restored, and restore nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Restores the files, and prints what is back and what to do next.
pub fn run(args: &RestoreArgs) -> Result<(), Failure> {
    let state = Config::read_state(&args.config)?;
    let contents = backup::restore(&state, &args.file, args.dry_run)?;
    let Contents { kept, unfinished, .. } = &contents;
    let made = time::shown(contents.made);
    let folder = state.folder.display();
    let (would, left) =
        if args.dry_run { ("would restore", "would stay as they are") } else { ("restored", "left as they were") };
    print::line(format_args!("{would} {folder}: {contents}, as of {made}"))?;
    if !kept.is_empty() {
        print::line(format_args!("{left}, because they were there: {}", kept.join(", ")))?;
    }
    if args.dry_run {
        return print::line("nothing is changed");
    }
    if *unfinished > 0 {
        print::line(format_args!(
            "payments that were being worked on, and had sent nothing: {unfinished}. The chain decides what they are worth now"
        ))?;
    }
    print::line(format_args!(
        "payments that were made later are not in this ledger. `coinslot ledger reconcile --since {made}` lists those that \
         the chain has; start the host, and answer for them by hand. Never start the host that this is a backup of again"
    ))
}
