//! The `coinslot` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(command) if command == "compile" => coinslot::plugin::compile_main(arguments),
        _ => ExitCode::from(2),
    }
}
