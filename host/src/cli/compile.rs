//! `coinslot compile`, hidden: compiles a component in a child process of the host.

use std::process::ExitCode;

/// Compiles one component; the host runs this in a child process at low priority.
#[derive(clap::Args, Clone, Debug)]
pub struct CompileArgs {
    /// The arguments of the child process.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<std::ffi::OsString>,
}

/// Compiled functions of the script engine, which a release carries: `host/deploy/release` makes the file.
#[cfg(feature = "carried-functions")]
static CARRIED_FUNCTIONS: &[u8] = include_bytes!(env!("COINSLOT_CARRIED_FUNCTIONS"));
#[cfg(not(feature = "carried-functions"))]
static CARRIED_FUNCTIONS: &[u8] = &[];

/// Compiles, and returns the exit code of the child process.
pub fn run(args: &CompileArgs) -> ExitCode {
    coinslot_plugin::compile_main(args.arguments.iter().cloned(), CARRIED_FUNCTIONS)
}
