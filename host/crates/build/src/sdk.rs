//! Unpacks what is part of this program and compilers have to read: the SDKs, and the WIT of the contract.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coinslot_base::private::{PrivateFolder, is_written_by_us_only};
use sha2::{Digest, Sha256};

use crate::BuildError;

include!(concat!(env!("OUT_DIR"), "/unpacked.rs"));

/// The folder with the SDK and the WIT, which is made in the cache if it is not there. Its name tells its content, so
/// that another version of this program has another one. A file of it that is missing or differs is written again.
///
/// Other programs compile what is in it, so it is refused if another user can write to it, or put another one in its
/// place.
pub fn unpack(cache: &Path) -> Result<PathBuf, BuildError> {
    let cache = PrivateFolder::open(cache).map_err(BuildError::Cache)?;
    let path = cache.path_for_others().map_err(BuildError::Cache)?;
    let folder = path.join(folder_name());
    match std::fs::symlink_metadata(&folder) {
        Ok(metadata) if metadata.is_dir() && cache.owns_folder(&folder, &metadata) => return restore(folder),
        Ok(_) => {
            let text = format!("{} belongs to another user or is writable by all: remove it", folder.display());
            return Err(BuildError::Cache(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text)));
        }
        Err(_) => {}
    }
    let part = tempfile::tempdir_in(path).map_err(BuildError::file(path))?;
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

/// Writes what is missing in a folder that was unpacked before, and what others can write to. Files that are as they
/// should be keep their times, by which compilers know them.
fn restore(folder: PathBuf) -> Result<PathBuf, BuildError> {
    for (path, bytes) in UNPACKED {
        let path = folder.join(path);
        let is_kept = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && is_written_by_us_only(&meta));
        if is_kept && std::fs::read(&path).is_ok_and(|found| found == *bytes) {
            continue;
        }
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).map_err(BuildError::file(parent))?;
        coinslot_base::file::replace(&path, 0o644, bytes).map_err(BuildError::file(&path))?;
    }
    Ok(folder)
}

/// The name of the folder in a cache, which tells what is in it.
pub(crate) fn folder_name() -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in UNPACKED {
        hash.update(path);
        hash.update(bytes);
    }
    format!("sdk-{}", &hex::encode(hash.finalize())[..12])
}

/// Writes the WIT of the contract, with that of WASI, into a folder. What has the name of a file is replaced, and never
/// written through: the folder may come out of a repository, with links that lead out of it, or pipes.
pub fn write_wit(folder: &Path) -> Result<(), BuildError> {
    // Without a slash at its end, behind which a link is followed.
    let folder: PathBuf = folder.components().collect();
    let above = folder.parent().unwrap_or(&folder);
    std::fs::create_dir_all(above).map_err(BuildError::file(above))?;
    make_folder(&folder).map_err(BuildError::file(&folder))?;
    for (path, bytes) in UNPACKED {
        let Some(path) = path.strip_prefix("wit/").map(Path::new) else { continue };
        let mut inner = folder.clone();
        for part in path.parent().into_iter().flat_map(Path::components) {
            inner.push(part);
            make_folder(&inner).map_err(BuildError::file(&inner))?;
        }
        let path = folder.join(path);
        coinslot_base::file::replace(&path, 0o666, bytes).map_err(BuildError::file(&path))?;
    }
    Ok(())
}

/// Makes a folder that is not there. Refuses a link in its place.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let refused = |text: &str| Err(std::io::Error::new(std::io::ErrorKind::NotADirectory, text));
    match std::fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(metadata) if metadata.is_symlink() => {
            refused("it is a link, and may lead anywhere: remove it, or name the folder that it leads to")
        }
        Ok(_) => refused("it is no folder: remove it, or name another one"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::fs::create_dir(folder),
        Err(error) => Err(error),
    }
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
    std::fs::write(path, bytes).map_err(BuildError::file(path))?;
    // Whatever the umask: a file that a group can write to is made again at each build.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).map_err(BuildError::file(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_somebody_removed_or_changed_is_unpacked_again() {
        let cache = tempfile::tempdir().expect("a folder");
        let sdk = unpack(cache.path()).expect("the SDK");
        let (gone, changed) = (sdk.join("sdk/rust/Cargo.toml"), sdk.join("wit/plugin.wit"));
        let (manifest, wit) = (fs::read(&gone).expect("a file"), fs::read(&changed).expect("a file"));
        let untouched = sdk.join("sdk/rust/src/lib.rs");
        let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a time");
        let before = time(&untouched);
        fs::remove_dir_all(sdk.join("sdk/rust/macros")).expect("removed");
        fs::remove_file(&gone).expect("removed");
        fs::write(&changed, "package other:one;").expect("written");
        assert_eq!(unpack(cache.path()).expect("the SDK"), sdk);
        assert_eq!((fs::read(&gone).expect("a file"), fs::read(&changed).expect("a file")), (manifest, wit));
        assert!(sdk.join("sdk/rust/macros/Cargo.toml").is_file());
        assert_eq!(time(&untouched), before, "a compiler would compile it again");
    }

    /// A link in a cloned repository had a file outside of it overwritten, and a pipe had the program wait for ever.
    #[test]
    fn the_contract_is_written_into_its_folder_and_nowhere_else() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let (wit, victim) = (path("wit"), path("victim"));
        fs::create_dir(&wit).expect("a folder");
        fs::write(&victim, "precious").expect("written");
        symlink("../victim", wit.join("plugin.wit")).expect("a link");
        let pipe = std::process::Command::new("mkfifo").arg(wit.join("endpoint.wit")).status().expect("mkfifo");
        assert!(pipe.success());
        write_wit(&wit).expect("written");
        assert_eq!(fs::read_to_string(&victim).expect("a file"), "precious");
        let whole = path("whole/wit");
        write_wit(&whole).expect("written");
        let text = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).expect("a file");
        assert_eq!(text(&wit, "plugin.wit"), text(&whole, "plugin.wit"));
        assert!(!fs::symlink_metadata(wit.join("plugin.wit")).expect("a file").is_symlink());
        write_wit(&whole).expect("written again");

        fs::create_dir(path("outside")).expect("a folder");
        fs::remove_dir_all(wit.join("deps")).expect("removed");
        symlink("../outside", wit.join("deps")).expect("a link");
        symlink("outside", path("linked")).expect("a link");
        for (folder, named) in [("wit", "wit/deps"), ("linked", "linked"), ("linked/", "linked"), ("victim", "victim")]
        {
            let error = write_wit(&path(folder)).expect_err("what is no folder").to_string();
            assert!(error.contains(&format!("{named}: it is ")) && error.contains("remove it"), "{error}");
        }
        assert_eq!(fs::read_dir(path("outside")).expect("a folder").count(), 0, "nothing is written there");
    }

    /// Somebody may have it open: what compilers read would not be what was compared.
    #[test]
    fn a_file_of_an_sdk_that_others_can_write_to_is_made_again() {
        let cache = tempfile::tempdir().expect("a folder");
        let sdk = unpack(cache.path()).expect("the SDK");
        let [file, other] = [0, 1].map(|index| sdk.join(UNPACKED[index].0));
        let inode = |file: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).expect("a file"));
        let before = [inode(&file), inode(&other)];
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).expect("a mode");
        unpack(cache.path()).expect("the SDK");
        assert!(inode(&file) != before[0] && inode(&other) == before[1]);
    }

    #[test]
    fn an_sdk_that_others_can_write_to_is_refused() {
        let cache = tempfile::tempdir().expect("a folder");
        let sdk = unpack(cache.path()).expect("the SDK");
        fs::set_permissions(&sdk, fs::Permissions::from_mode(0o777)).expect("a mode");
        let error = unpack(cache.path()).expect_err("another user could have planted it").to_string();
        assert!(error.contains("writable by all: remove it"), "{error}");
        fs::remove_dir_all(&sdk).expect("removed");
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
        let error = unpack(cache.path()).expect_err("another user could plant one").to_string();
        assert!(error.contains("chmod 700") && error.contains("XDG_CACHE_HOME"), "{error}");
        assert!(!sdk.exists());
    }
}
