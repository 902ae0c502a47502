//! Checks the state folder of `coinslot dev` before anything in it is opened, written or removed.
//!
//! The folder lies beside the plugins, so it may have come with them, out of a repository or an archive. A link in it
//! would lead what `dev` writes and removes to another place of this machine, and a pipe would keep it waiting.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coinslot_base::text::printable;

use crate::cli::Failure;

/// The deepest folder that is made there has two folders above it.
const DEPTH: usize = 8;

/// Makes the folder if there is none. Fails unless it and everything in it is a folder or a regular file.
pub(super) fn open(state: &Path) -> Result<(), Failure> {
    fs::create_dir_all(state).map_err(|error| failed(state, &error))?;
    // Without a slash at its end, which would follow a link.
    check(&state.components().collect::<PathBuf>(), DEPTH)
}

fn check(path: &Path, depth: usize) -> Result<(), Failure> {
    let kind = fs::symlink_metadata(path).map_err(|error| failed(path, &error))?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if !kind.is_dir() || depth == 0 {
        let what = match (kind.is_symlink(), kind.is_dir()) {
            (true, _) => "a link",
            (false, true) => "deeper than any folder that dev makes",
            (false, false) => "no file and no folder",
        };
        return Err(Failure::new(format!(
            "{} is {what}, and nothing that coinslot dev has made: it may have come with the plugins. Look at it and \
             remove it, or name another folder with --state",
            printable(&path.to_string_lossy())
        )));
    }
    for entry in fs::read_dir(path).map_err(|error| failed(path, &error))? {
        let entry = entry.map_err(|error| failed(path, &error))?.path();
        match check(&entry, depth - 1) {
            // Another program removed it meanwhile.
            Err(_) if fs::symlink_metadata(&entry).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {}
            checked => checked?,
        }
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{}: {error}", printable(&path.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_state_folder_of_files_and_folders_is_opened_and_one_with_a_link_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("state");
        open(&state).expect("made");
        fs::create_dir_all(state.join("dev/served/components")).expect("folders");
        fs::write(state.join("dev/served/components/a.wasm"), "").expect("a file");
        open(&state).expect("as dev makes it");
        for path in ["plugins", "dev/artifacts", "dev/served/components/b.wasm"] {
            symlink(dir.path(), state.join(path)).expect("a link");
            let refused = open(&state).expect_err("a link").message;
            assert!(refused.contains(&format!("{path} is a link")), "{refused}");
            fs::remove_file(state.join(path)).expect("removed");
        }
        symlink(&state, dir.path().join("link")).expect("a link");
        for spelling in ["link", "link/"] {
            open(&dir.path().join(spelling)).expect_err(spelling);
        }
    }
}
