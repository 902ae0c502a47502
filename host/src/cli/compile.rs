//! `coinslot compile`, hidden: the child process in which components are compiled.

use std::process::ExitCode;

/// Compiles one component; the host runs this in a child process at low priority.
#[derive(clap::Args, Clone, Debug)]
pub struct CompileArgs {
    /// What the host hands over.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<std::ffi::OsString>,
}

/// Ends the process with what the host understands.
pub fn run(args: &CompileArgs) -> ExitCode {
    coinslot_plugin::compile_main(args.arguments.iter().cloned())
}
