//! `coinslot new`: makes the folder of a new plugin.

use std::path::{Path, PathBuf};

use coinslot_build::new::{self, Language};

use super::{Failure, print, user_cache};

/// Make the folder of a new plugin, with a free and a paid endpoint.
///
/// Everything comes out of this program: no network is needed.
///
/// Ends with 0 if the folder is made, 1 if a file cannot be written or the folder is there already, 2 for wrong usage.
#[derive(clap::Args, Clone, Debug)]
pub struct NewArgs {
    /// The folder to make. Its last part is the plugin's name: at most 64 lower-case letters, digits and hyphens, a
    /// letter first.
    #[arg(value_name = "NAME")]
    pub name: PathBuf,
    /// The language.
    #[arg(short, long, default_value = "ts", value_parser = ["ts", "js", "python", "rust", "c", "cpp", "zig"], value_name = "LANGUAGE")]
    pub lang: String,
}

/// Writes the files, and prints what to do next.
pub fn run(args: &NewArgs) -> Result<(), Failure> {
    let name = args.name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_name(name) {
        return Err(Failure::usage(format!(
            "`{name}` is no name of a plugin: lower-case letters, digits and hyphens, at most 64, a letter first"
        )));
    }
    let language = Language::ALL.into_iter().find(|language| language.word() == args.lang);
    let language = language.ok_or_else(|| Failure::usage(format!("there is no language {}", args.lang)))?;
    let files =
        new::create(&args.name, name, language, &user_cache()?).map_err(|error| Failure::new(error.to_string()))?;
    for file in files {
        print::line(file.display())?;
    }
    print::line(format_args!("\nnow:  coinslot dev --plugins {}", folder_of(&args.name).display()))
}

/// The folder that holds the new plugin, which `dev` serves.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_part)
}
