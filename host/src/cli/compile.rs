//! `coinslot compile`, hidden: the child process that compiles components.

use std::process::ExitCode;

/// Compiles one component; the host runs this in a child process at low priority.
#[derive(clap::Args, Clone, Debug)]
pub struct CompileArgs {
    /// The arguments of the child process.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<std::ffi::OsString>,
}

/// Compiles, and returns the exit code of the child process.
pub fn run(args: &CompileArgs) -> ExitCode {
    coinslot_plugin::compile_main(args.arguments.iter().cloned())
}
