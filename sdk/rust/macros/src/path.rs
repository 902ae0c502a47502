//! Parses path templates by the grammar of `endpoint.path` in `wit/plugin.wit`.
//!
//! The host parses them again when it loads the plugin. The cases that both must agree on are in
//! `tests/fixtures/path-templates.txt`, which the tests of both read.

use std::fmt;

/// Longest template, in bytes: the contract's limit.
const MAX_BYTES: usize = 512;

/// A checked template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CheckedPath {
    /// The parameters' names, in order.
    pub(crate) params: Vec<String>,
    /// A part of a Rust identifier. Two templates have the same key exactly if they match the same paths.
    pub(crate) key: String,
}

/// A mistake in a template. It displays as a sentence that says what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathMistake {
    NoLeadingSlash { path: String },
    TooLong { bytes: usize },
    TrailingSlash { path: String },
    EmptySegment,
    DotSegment { segment: String },
    PartialParameter { segment: String },
    ParameterName { segment: String },
    DuplicateParameter { name: String },
    RestNotLast { segment: String },
    Percent,
    Query,
    Character { found: char },
}

/// Checks a template.
pub(crate) fn parse(text: &str) -> Result<CheckedPath, PathMistake> {
    let Some(inner) = text.strip_prefix('/') else {
        return Err(PathMistake::NoLeadingSlash { path: text.to_owned() });
    };
    if text.len() > MAX_BYTES {
        return Err(PathMistake::TooLong { bytes: text.len() });
    }
    if inner.is_empty() {
        return Ok(CheckedPath { params: Vec::new(), key: "__".to_owned() });
    }
    let mut checked = CheckedPath { params: Vec::new(), key: String::new() };
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        checked.key.push_str("__");
        if segment.is_empty() {
            return Err(match last {
                true => PathMistake::TrailingSlash { path: text.trim_end_matches('/').to_owned() },
                false => PathMistake::EmptySegment,
            });
        }
        if segment.contains(['{', '}']) {
            let (name, rest) = parameter(segment)?;
            if rest && !last {
                return Err(PathMistake::RestNotLast { segment: segment.to_owned() });
            }
            if checked.params.iter().any(|known| known == name) {
                return Err(PathMistake::DuplicateParameter { name: name.to_owned() });
            }
            checked.params.push(name.to_owned());
            checked.key.push_str(if rest { "_rest_" } else { "_any_" });
        } else {
            literal(segment, &mut checked.key)?;
        }
    }
    Ok(checked)
}

/// Splits `{name}` or `{*name}` into the name and whether the parameter takes the rest of the path.
fn parameter(segment: &str) -> Result<(&str, bool), PathMistake> {
    let inner = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    let Some(inner) = inner.filter(|inner| !inner.contains(['{', '}'])) else {
        return Err(PathMistake::PartialParameter { segment: segment.to_owned() });
    };
    let (name, rest) = match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts_well || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(PathMistake::ParameterName { segment: segment.to_owned() });
    }
    Ok((name, rest))
}

/// Checks a literal segment and appends its part of the key.
///
/// Every escape in a key starts with `_`, which never stands for itself, and escapes differ in their
/// second character, so two keys are equal only if the segments are.
fn literal(segment: &str, key: &mut String) -> Result<(), PathMistake> {
    if segment == "." || segment == ".." {
        return Err(PathMistake::DotSegment { segment: segment.to_owned() });
    }
    for c in segment.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => key.push(c),
            '-' => key.push_str("_d_"),
            '_' => key.push_str("_u_"),
            '.' => key.push_str("_p_"),
            '~' | '!' | '$' | '&' | '\'' | '(' | ')' | '+' | ',' | ';' | '=' | ':' | '@' => {
                key.push_str(&format!("_x{:02x}_", c as u32));
            }
            '%' => return Err(PathMistake::Percent),
            '?' => return Err(PathMistake::Query),
            found => return Err(PathMistake::Character { found }),
        }
    }
    Ok(())
}

impl fmt::Display for PathMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeadingSlash { path } => write!(f, "a path starts with a slash: \"/{path}\""),
            Self::TooLong { bytes } => write!(f, "this path has {bytes} bytes; the limit is {MAX_BYTES}"),
            Self::TrailingSlash { path } => write!(f, "a path does not end with a slash: \"{path}\""),
            Self::EmptySegment => f.write_str("a path has no empty segment: write one slash instead of \"//\""),
            Self::DotSegment { segment } => {
                write!(f, "a client resolves \"{segment}\" before it sends a request; no request would match")
            }
            Self::PartialParameter { segment } => {
                write!(f, "a parameter is a whole segment, as in \"/{{name}}\"; found \"{segment}\"")
            }
            Self::ParameterName { segment } => write!(
                f,
                "a parameter's name has letters, digits and `_`, and does not start with a digit; found \"{segment}\""
            ),
            Self::DuplicateParameter { name } => write!(f, "the parameter {{{name}}} stands twice in this path"),
            Self::RestNotLast { segment } => {
                write!(f, "{segment} takes the rest of the path, so it must come last")
            }
            Self::Percent => f.write_str("there is no percent-encoding in a path template"),
            Self::Query => f.write_str("a path ends before the question mark; read the query with `Query`"),
            Self::Character { found } => write!(f, "{found:?} cannot stand in a path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PathMistake, parse};

    const TABLE: &str = include_str!("../../../../tests/fixtures/path-templates.txt");

    /// The table's word for a mistake.
    fn reason(mistake: &PathMistake) -> &'static str {
        match mistake {
            PathMistake::NoLeadingSlash { .. } => "no-leading-slash",
            PathMistake::TooLong { .. } => "too-long",
            PathMistake::TrailingSlash { .. } => "trailing-slash",
            PathMistake::EmptySegment => "empty-segment",
            PathMistake::DotSegment { .. } => "dot-segment",
            PathMistake::PartialParameter { .. } => "partial-parameter",
            PathMistake::ParameterName { .. } => "parameter-name",
            PathMistake::DuplicateParameter { .. } => "duplicate-parameter",
            PathMistake::RestNotLast { .. } => "rest-not-last",
            PathMistake::Percent => "percent",
            PathMistake::Query => "query",
            PathMistake::Character { .. } => "character",
        }
    }

    fn key(text: &str) -> String {
        parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}")).key
    }

    #[test]
    fn the_grammar_is_that_of_the_shared_table() {
        let mut cases = 0;
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(' ').expect("a kind and its words");
            let words: Vec<&str> = rest.split(' ').collect();
            match kind {
                "valid" => {
                    let checked = parse(words[0]).unwrap_or_else(|mistake| panic!("{line}: {mistake}"));
                    assert_eq!(checked.params, words[1..], "{line}");
                }
                "invalid" => {
                    let (expected, template) = rest.split_once(' ').unwrap_or((rest, ""));
                    let mistake = parse(template).expect_err(line);
                    assert_eq!(reason(&mistake), expected, "{line}: {mistake}");
                }
                "same" => assert_eq!(key(words[0]), key(words[1]), "{line}"),
                "different" => assert_ne!(key(words[0]), key(words[1]), "{line}"),
                "match" | "mismatch" => drop(key(words[0])),
                // Read by the tests of the dispatch in `coinslot-sdk`.
                "routes" | "request" => continue,
                _ => panic!("an unknown kind of case: {line}"),
            }
            cases += 1;
        }
        assert!(cases > 90, "{cases} cases");
    }

    #[test]
    fn templates_that_match_the_same_paths_share_a_key() {
        let all = [
            "/", "/a", "/a/b", "/a_b", "/a-b", "/a.b", "/a/{x}", "/a/{*x}", "/a/any", "/a/_any_", "/a+b", "/a/d",
            "/a_d_",
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(key(one), key(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_mistake_says_what_to_write() {
        for (text, part) in [
            ("a", "starts with a slash: \"/a\""),
            ("/a//b", "empty segment"),
            ("/a/", "does not end with a slash: \"/a\""),
            ("/a{b}", "whole segment"),
            ("/{1a}", "letters, digits"),
            ("/{*a}/b", "must come last"),
            ("/{a}/{a}", "twice"),
            ("/a%20b", "percent-encoding"),
            ("/a?b", "question mark"),
            ("/a\n", "'\\n' cannot stand"),
            ("/\u{e9}", "cannot stand"),
            ("/a/../b", "resolves"),
            (&format!("/{}", "a".repeat(512)), "limit is 512"),
        ] {
            let mistake = parse(text).expect_err(text).to_string();
            assert!(mistake.contains(part), "{text}: {mistake}");
        }
    }
}
