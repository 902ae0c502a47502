//! `coinslot compile`, hidden: compiles a component in a child process of the host.

use std::process::ExitCode;

/// Compile one component to native code, for a host, which runs this in a child process at low priority.
///
/// This is no tool for people, and its arguments change between versions: `coinslot build` makes components, and a host
/// compiles them by itself. So `coinslot --help` does not list it.
///
/// Ends with 0 if the compiled code is written, 1 if the component cannot be compiled, 2 for wrong usage, 74 if a file
/// cannot be read or written.
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
