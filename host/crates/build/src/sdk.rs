//! Unpacks what is part of this program and compilers have to read: the SDKs, and the WIT of the contract.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::BuildError;

include!(concat!(env!("OUT_DIR"), "/unpacked.rs"));

/// The folder with the SDK and the WIT, which is made in the cache if it is not there. Its name tells its content, so
/// that another version of this program has another one.
pub fn unpack(cache: &Path) -> Result<PathBuf, BuildError> {
    let mut hash = Sha256::new();
    for (path, bytes) in UNPACKED {
        hash.update(path);
        hash.update(bytes);
    }
    let folder = cache.join(format!("sdk-{}", &hex::encode(hash.finalize())[..12]));
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(cache).map_err(BuildError::file(cache))?;
    let part = tempfile::tempdir_in(cache).map_err(BuildError::file(cache))?;
    for (path, bytes) in UNPACKED {
        write(&part.path().join(path), bytes)?;
    }
    let part = part.keep();
    // Another process may have been quicker. What it made is the same.
    if let Err(error) = std::fs::rename(&part, &folder) {
        let _ = std::fs::remove_dir_all(&part);
        if !folder.is_dir() {
            return Err(BuildError::File { path: folder, error });
        }
    }
    Ok(folder)
}

/// Writes the WIT of the contract, with that of WASI, into a folder. Files that are there are overwritten.
pub fn write_wit(folder: &Path) -> Result<(), BuildError> {
    for (path, bytes) in UNPACKED {
        if let Some(path) = path.strip_prefix("wit/") {
            write(&folder.join(path), bytes)?;
        }
    }
    Ok(())
}

/// The declarations of the JavaScript SDK for editors, by the names that they have beside a module.
pub fn types() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNPACKED.iter().filter_map(|(path, bytes)| {
        let name = path.strip_prefix("sdk/js/")?;
        Some((name, std::str::from_utf8(bytes).ok()?)).filter(|_| name.ends_with(".d.ts"))
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(BuildError::file(folder))?;
    std::fs::write(path, bytes).map_err(BuildError::file(path))
}
