//! Matches gitignore patterns with paths, by the rules of gitignore(5).
//!
//! In a union of sections the last matching pattern wins, so a later section can undo an earlier `!keep`; matching
//! finds these cases. Patterns and paths are bytes; paths are relative, with `/`.

/// Whether `pattern` (no leading `!`) matches `path` itself, not one of its parents.
pub(crate) fn matches(pattern: &str, path: &str, is_dir: bool) -> bool {
    let (body, only_dirs) = match pattern.strip_suffix('/') {
        Some(body) => (body, true),
        None => (pattern, false),
    };
    if only_dirs && !is_dir {
        return false;
    }
    // A slash anywhere but at the end anchors the pattern at the root.
    if let Some(anchored) = body.strip_prefix('/') {
        return glob(anchored.as_bytes(), path.as_bytes());
    }
    if body.contains('/') {
        return glob(body.as_bytes(), path.as_bytes());
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    glob(body.as_bytes(), name.as_bytes())
}

/// Whether `pattern` ignores `path` because it matches it or a directory above it.
#[cfg(test)]
pub(crate) fn ignores_parent(pattern: &str, path: &str) -> bool {
    path.match_indices('/').any(|(at, _)| matches(pattern, &path[..at], true))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            glob(rest, text) || text.iter().enumerate().any(|(at, byte)| *byte == b'/' && glob(rest, &text[at + 1..]))
        }
        [b'*', b'*'] => !text.is_empty(),
        [b'*', rest @ ..] => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|at| glob(rest, &text[at..]))
        }
        [b'?', rest @ ..] => matches!(text, [byte, tail @ ..] if *byte != b'/' && glob(rest, tail)),
        [b'[', rest @ ..] => class(rest, text),
        [b'\\', literal, rest @ ..] => {
            matches!(text, [byte, tail @ ..] if byte == literal && glob(rest, tail))
        }
        [literal, rest @ ..] => {
            matches!(text, [byte, tail @ ..] if byte == literal && glob(rest, tail))
        }
    }
}

/// Matches a class and the rest of the pattern, given the pattern behind the `[`. An unclosed class matches nothing, as
/// in git.
fn class(pattern: &[u8], text: &[u8]) -> bool {
    let Some((byte, tail)) = text.split_first() else {
        return false;
    };
    let (negated, body) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    // A `]` that comes first is a member, not the end.
    let Some(end) = body.iter().skip(1).position(|byte| *byte == b']').map(|at| at + 1) else {
        return false;
    };
    let mut members = &body[..end];
    let mut found = false;
    while let Some((first, rest)) = members.split_first() {
        if let [b'-', last, after @ ..] = rest {
            found |= (*first..=*last).contains(byte);
            members = after;
        } else {
            found |= first == byte;
            members = rest;
        }
    }
    *byte != b'/' && found != negated && glob(&body[end + 1..], tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_at_any_depth_and_an_anchored_one_only_at_its_place() {
        assert!(matches("*.log", "a/b/c.log", false));
        assert!(matches("/target/", "target", true));
        assert!(!matches("/target/", "a/target", true));
        assert!(!matches("target/", "target", false), "a directory pattern spares files");
        assert!(matches(".vscode/*", ".vscode/settings.json", false));
        assert!(!matches(".vscode/*", "x/.vscode/settings.json", false));
    }

    #[test]
    fn stars_classes_and_escapes_follow_git() {
        assert!(matches("**/*.rs.bk", "a/b/main.rs.bk", false));
        assert!(matches("src/**/build/", "src/build", true));
        assert!(matches("src/**/build/", "src/a/b/build", true));
        assert!(matches("*.py[cod]", "x.pyc", false));
        assert!(!matches("*.py[cod]", "x.pyx", false));
        assert!(matches("[._]*.sw[a-p]", ".main.swp", false));
        assert!(matches("\\#*\\#", "#notes#", false));
        assert!(!matches("/bin/*.exe", "bin/a/b.exe", false), "one star does not cross a slash");
        assert!(matches("[!a]b", "cb", false));
        assert!(!matches("[!a]b", "ab", false));
    }
}
