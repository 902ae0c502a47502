//! Asks git where the sources of a plugin come from.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coinslot_build::FILLED_BY_TOOLS;
use coinslot_plugin::PackedSource;
use url::Url;

use crate::cli::{Failure, user_cache};

/// The files that git is asked about at once.
const ASKED: usize = 200;

/// The commit of a folder. None if no repository holds it, it has no commit, or git is not installed. The file `out` is
/// made of the sources, and is none of them. `read` are the files that the compiler has read: they may lie elsewhere in the
/// repository, and a file that git ignores is not in the commit.
pub(super) fn source(folder: &Path, read: &BTreeSet<PathBuf>, out: &Path) -> Option<PackedSource> {
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"])?;
    let path = git(folder, &["rev-parse", "--show-prefix"])?;
    let path = path.trim_end_matches('/');
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    let top = Path::new(&top).canonicalize().ok()?;
    let made = out.canonicalize().ok();
    let made = made.as_deref().and_then(|made| made.strip_prefix(&top).ok());
    let exclude = made.map(|made| format!(":(exclude,top,literal){}", made.display()));
    // git asks a submodule for its changes with the submodule's own configuration.
    let mut status = vec!["status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=dirty", "--", "."];
    status.extend(exclude.as_deref());
    let modified = git(folder, &status).is_none_or(|changes| !changes.is_empty()) || !has_all(&top, read);
    let repository = git(folder, &["config", "--get", "remote.origin.url"]).as_deref().and_then(address);
    Some(PackedSource { commit, modified, path: (!path.is_empty()).then(|| path.to_owned()), repository })
}

/// Returns whether the commit that is checked out has each of these files as it is, but for those of tools: packages of
/// npm, whose versions are what a lock file says, what compilers generate, and the SDK.
fn has_all(top: &Path, read: &BTreeSet<PathBuf>) -> bool {
    let cache =
        user_cache().and_then(|cache| cache.canonicalize().map_err(|error| Failure::new(error.to_string()))).ok();
    let is_of_tools = |path: &Path| {
        let is_filled = |name: &OsStr| FILLED_BY_TOOLS.iter().any(|filled| name == *filled) || name == ".cargo";
        cache.as_ref().is_some_and(|cache| path.starts_with(cache)) || path.iter().any(is_filled)
    };
    let read = read.iter().filter_map(|path| path.canonicalize().ok()).filter(|path| !is_of_tools(path));
    // None for a file outside of the repository, and for one that cannot be asked for: its name is not in UTF-8.
    let inside: Option<Vec<String>> =
        read.map(|path| path.strip_prefix(top).ok()?.to_str().map(str::to_owned)).collect();
    inside.is_some_and(|paths| paths.chunks(ASKED).all(|paths| has_each(top, paths)))
}

fn has_each(top: &Path, paths: &[String]) -> bool {
    let asked: Vec<String> = paths.iter().map(|path| format!(":(top,literal){path}")).collect();
    let ask = |command: &[&'static str]| {
        let arguments: Vec<&str> = command.iter().copied().chain(asked.iter().map(String::as_str)).collect();
        git(top, &arguments)
    };
    let Some(known) = ask(&["ls-files", "-z", "--"]) else { return false };
    let known: BTreeSet<&str> = known.split('\0').collect();
    let changes = ask(&["status", "--porcelain", "--untracked-files=no", "--"]);
    paths.iter().all(|path| known.contains(path.as_str())) && changes.is_some_and(|changes| changes.is_empty())
}

/// The output of a command that only reads. A repository may name programs in its configuration, and comes from anyone:
/// none is started.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    output(folder, arguments, &filters(folder)?).map(|text| text.trim().to_owned())
}

/// The output of git with these settings, which come before those of all files.
fn output(folder: &Path, arguments: &[&str], settings: &[String]) -> Option<String> {
    let fixed = ["core.fsmonitor=false", "core.hooksPath=/dev/null", "status.submoduleSummary=false"];
    let output = Command::new("git")
        .args(fixed.into_iter().chain(settings.iter().map(String::as_str)).flat_map(|setting| ["-c", setting]))
        .args(["--no-pager", "-C"])
        .arg(folder)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        // A clone without some of its objects would fetch them, by a command that its configuration names.
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// Settings that empty each filter that is configured for this folder: `git status` would run the filter of a file that
/// may have changed. Listing the configuration runs nothing. None if a filter has a name that no setting can have.
fn filters(folder: &Path) -> Option<Vec<String>> {
    let list = output(folder, &["config", "--list", "--name-only", "-z"], &[])?;
    let keys = list.split('\0').filter(|key| key.starts_with("filter."));
    // Without a program the content of a file counts as it is. A filter that is required would fail.
    let empty = |key: &str| if key.ends_with(".required") { "false" } else { "" };
    keys.map(|key| (!key.contains('=')).then(|| format!("{key}={}", empty(key)))).collect()
}

/// The address of a repository without credentials. None for a path of this machine, which says nothing elsewhere.
fn address(remote: &str) -> Option<String> {
    if let Ok(mut url) = Url::parse(remote) {
        url.host()?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if url.set_password(None).is_err() || (is_web && url.set_username("").is_err()) {
            return None;
        }
        url.set_query(None);
        url.set_fragment(None);
        return Some(url.to_string());
    }
    // git@example.com:shop/plugin.git, where the user is no secret.
    let (host, path) = remote.split_once(':')?;
    let is_host = !host.is_empty() && !host.contains('/') && !path.is_empty();
    is_host.then(|| remote.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_credentials_and_a_path_is_none() {
        for (remote, expected) in [
            ("https://example.com/shop.git", Some("https://example.com/shop.git")),
            ("https://ada:secret@example.com/shop.git?t=1", Some("https://example.com/shop.git")),
            ("ssh://git@example.com/shop.git", Some("ssh://git@example.com/shop.git")),
            ("git@example.com:shop/plugin.git", Some("git@example.com:shop/plugin.git")),
            ("file:///home/ada/shop", None),
            ("/home/ada/shop", None),
            ("../shop", None),
        ] {
            assert_eq!(address(remote).as_deref(), expected, "{remote}");
        }
    }
}
