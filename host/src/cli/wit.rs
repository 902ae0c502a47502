//! `coinslot wit`: writes the contract for toolchains that read WIT.

use std::path::PathBuf;

use super::{Failure, print};

/// Write the WIT of the contract with plugins, and of WASI, into a folder.
///
/// DIR has the worlds on WASI 0.2, and DIR/p3 those on WASI 0.3. There are no links, so it can be copied.
///
/// Ends with 0 if the files are written, 2 for wrong usage, 74 if a file cannot be written.
#[derive(clap::Args, Clone, Debug)]
pub struct WitArgs {
    /// The folder. Files of these names in it are replaced; folders that are links are refused.
    #[arg(default_value = "wit", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Writes the files.
pub fn run(args: &WitArgs) -> Result<(), Failure> {
    coinslot_build::sdk::write_wit(&args.dir).map_err(|error| Failure { code: 74, message: error.to_string() })?;
    print::line(format_args!("{}", args.dir.display()))
}
