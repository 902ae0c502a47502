//! Parses path templates by the grammar of `endpoint.path` in `wit/plugin.wit`.
//!
//! The SDK's attribute parses templates too, when a plugin is compiled. The cases on which both agree are in
//! `tests/fixtures/path-templates.txt`, which the tests of both read.

use std::fmt;

/// The longest template, in bytes: the contract's limit.
const MAX_BYTES: usize = 512;

/// A valid path template, as in `/items/{id}` or `/files/{*rest}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
    /// The number of segments that are parameters or a rest.
    parameters: usize,
}

/// One part of a template between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Matches a segment of the same bytes. Empty in the template `/` alone.
    Literal(String),
    /// `{name}`: matches one segment that is not empty.
    Parameter(String),
    /// `{*name}`, the last segment: matches the remaining path, however many segments it has. Not empty, and
    /// a slash at its end belongs to it.
    Rest(String),
}

/// A mistake in a template. It displays as what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("start it with a slash")]
    NoLeadingSlash,
    #[error("at most {MAX_BYTES} bytes")]
    TooLong,
    #[error("it ends with a slash: remove it")]
    TrailingSlash,
    #[error("two slashes in a row: remove one")]
    EmptySegment,
    #[error("`.` and `..` are not segments: write the path out")]
    DotSegment,
    #[error("{0:?}: a parameter is a whole segment, as in `/items/{{name}}`")]
    PartialParameter(String),
    #[error("{0:?}: name a parameter with letters, digits and `_`, and start the name with no digit")]
    ParameterName(String),
    #[error("the parameter `{0}` occurs twice: rename one")]
    DuplicateParameter(String),
    #[error("{0:?}: only the last segment can match many")]
    RestNotLast(String),
    #[error("{segment:?}: {found:?} cannot stand in a literal segment")]
    Character { segment: String, found: char },
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_BYTES {
            return Err(TemplateError::TooLong);
        }
        let inner = text.strip_prefix('/').ok_or(TemplateError::NoLeadingSlash)?;
        let count = inner.split('/').count();
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        for (index, part) in inner.split('/').enumerate() {
            let is_last = index + 1 == count;
            match part {
                // The template `/` is one empty segment.
                "" if count == 1 => {}
                "" if is_last => return Err(TemplateError::TrailingSlash),
                "" => return Err(TemplateError::EmptySegment),
                _ => {}
            }
            let segment = Segment::parse(part)?;
            if let Segment::Rest(_) = segment
                && !is_last
            {
                return Err(TemplateError::RestNotLast(part.to_owned()));
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|earlier| earlier.name() == Some(name))
            {
                return Err(TemplateError::DuplicateParameter(name.to_owned()));
            }
            segments.push(segment);
        }
        let parameters = segments.iter().filter(|segment| segment.name().is_some()).count();
        Ok(Self { text: text.to_owned(), segments, parameters })
    }

    /// The template as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The template of the same paths below a mount: `/v1/items/{id}` for `/items/{id}` below `/v1`, and `/v1` for `/`.
    /// Fails if it would be too long, or if both name a parameter alike.
    pub fn below(&self, mount: &Self) -> Result<Self, TemplateError> {
        if self.text == "/" { Ok(mount.clone()) } else { Self::parse(&format!("{}{}", mount.text, self.text)) }
    }

    /// True if a path that both templates match is one of this template: a literal segment goes before a parameter and
    /// a parameter before a rest, from left to right.
    pub fn goes_before(&self, other: &Self) -> bool {
        let ranks = |template: &Self| template.segments.iter().map(Segment::rank).collect::<Vec<_>>();
        ranks(self) < ranks(other)
    }

    /// The segments in order, at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True if any segment is a parameter or a rest: then the template matches more paths than one.
    pub fn has_parameters(&self) -> bool {
        self.parameters > 0
    }

    /// True if the template matches every path but `/`, as `/{*all}` does.
    pub fn is_fallback(&self) -> bool {
        matches!(self.segments.as_slice(), [Segment::Rest(_)])
    }

    /// The names and values of the parameters in a path that the template matches; None if it does not match.
    ///
    /// The path starts with a slash and is percent-decoded; no segment of it holds a slash of its own.
    pub fn captures(&self, path: &str) -> Option<Vec<(String, String)>> {
        if !self.has_parameters() {
            return (path == self.text).then(Vec::new);
        }
        let mut captures = Vec::with_capacity(self.parameters);
        let mut remaining = Some(path.strip_prefix('/')?);
        for segment in &self.segments {
            let rest = remaining?;
            let (part, after) = split_segment(rest);
            remaining = after;
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Parameter(name) if !part.is_empty() => captures.push((name.clone(), part.to_owned())),
                Segment::Rest(name) if !rest.is_empty() => {
                    captures.push((name.clone(), rest.to_owned()));
                    remaining = None;
                }
                Segment::Literal(_) | Segment::Parameter(_) | Segment::Rest(_) => return None,
            }
        }
        remaining.is_none().then_some(captures)
    }

    /// True if both templates match the same paths: they differ in the names of parameters at most.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(one, other)| one.is_alike(other))
    }

    /// True if some path matches both templates.
    pub fn overlaps(&self, other: &Self) -> bool {
        // Neither a parameter nor a rest matches the one empty segment of `/`.
        if self.text == "/" || other.text == "/" {
            return self.text == other.text;
        }
        for pair in self.segments.iter().zip(&other.segments) {
            match pair {
                (Segment::Literal(one), Segment::Literal(other)) if one != other => return false,
                // Whatever follows in the other template is a part of the rest.
                (Segment::Rest(_), _) | (_, Segment::Rest(_)) => return true,
                (Segment::Literal(_) | Segment::Parameter(_), Segment::Literal(_) | Segment::Parameter(_)) => {}
            }
        }
        self.segments.len() == other.segments.len()
    }
}

/// Splits a path without a slash at its start into its first segment and what follows the slash behind it; None behind
/// the last segment.
#[inline]
pub fn split_segment(path: &str) -> (&str, Option<&str>) {
    // Segments are short: a search for one byte is twice as fast as one for a `char`.
    match path.bytes().position(|byte| byte == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

impl Segment {
    /// Parses what stands between two slashes.
    fn parse(part: &str) -> Result<Self, TemplateError> {
        if !part.contains(['{', '}']) {
            return Self::literal(part);
        }
        let inner = part.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        let inner = inner.filter(|inner| !inner.contains(['{', '}']));
        let inner = inner.ok_or_else(|| TemplateError::PartialParameter(part.to_owned()))?;
        let name = inner.strip_prefix('*').unwrap_or(inner);
        let is_identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_identifier {
            return Err(TemplateError::ParameterName(part.to_owned()));
        }
        Ok(if inner == name { Self::Parameter(name.to_owned()) } else { Self::Rest(name.to_owned()) })
    }

    /// A literal of the characters that clients send as they are: `pchar` of RFC 3986, section 3.3, without
    /// percent-encoding, and without `*`, which a reader could take for a wildcard.
    fn literal(part: &str) -> Result<Self, TemplateError> {
        if part == "." || part == ".." {
            return Err(TemplateError::DotSegment);
        }
        let odd = part.chars().find(|c| !c.is_ascii_alphanumeric() && !"-._~!$&'()+,;=:@".contains(*c));
        match odd {
            Some(found) => Err(TemplateError::Character { segment: part.to_owned(), found }),
            None => Ok(Self::Literal(part.to_owned())),
        }
    }

    /// The name of a parameter or a rest.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Rest(name) => Some(name),
        }
    }

    /// The place of this kind of segment in the order in which templates are tried.
    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Parameter(_) => 1,
            Self::Rest(_) => 2,
        }
    }

    fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one == other,
            (Self::Parameter(_), Self::Parameter(_)) | (Self::Rest(_), Self::Rest(_)) => true,
            (Self::Literal(_) | Self::Parameter(_) | Self::Rest(_), _) => false,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Segment, Template, TemplateError};

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The word of the table of cases.
    fn reason(error: &TemplateError) -> &'static str {
        match error {
            TemplateError::NoLeadingSlash => "no-leading-slash",
            TemplateError::TooLong => "too-long",
            TemplateError::TrailingSlash => "trailing-slash",
            TemplateError::EmptySegment => "empty-segment",
            TemplateError::DotSegment => "dot-segment",
            TemplateError::PartialParameter(_) => "partial-parameter",
            TemplateError::ParameterName(_) => "parameter-name",
            TemplateError::DuplicateParameter(_) => "duplicate-parameter",
            TemplateError::RestNotLast(_) => "rest-not-last",
            TemplateError::Character { found: '%', .. } => "percent",
            TemplateError::Character { found: '?', .. } => "query",
            TemplateError::Character { .. } => "character",
        }
    }

    /// Undoes the percent-encoding of a path in the table of cases, whose encoded bytes are ASCII.
    fn decoded(path: &str) -> String {
        let mut parts = path.split('%');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text.push(char::from(u8::from_str_radix(&part[..2], 16).expect("two hex digits")));
            text.push_str(&part[2..]);
        }
        text
    }

    #[test]
    fn templates_parse_and_match_as_the_table_of_cases_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/fixtures/path-templates.txt");
        let table = std::fs::read_to_string(file).expect("the table of cases");
        let mut checked = 0;
        for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(' ').expect("a kind of case");
            let words: Vec<&str> = rest.split(' ').collect();
            match kind {
                "valid" => {
                    let template = template(words[0]);
                    let names: Vec<&str> = template.segments().iter().filter_map(Segment::name).collect();
                    assert_eq!((template.as_str(), names.as_slice()), (words[0], &words[1..]), "{line}");
                    assert_eq!(template.has_parameters(), !names.is_empty(), "{line}");
                }
                "invalid" => {
                    let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
                    let error = Template::parse(text).expect_err(line);
                    assert_eq!(reason(&error), word, "{line}: {error}");
                }
                "same" | "different" => {
                    let (one, other) = (template(words[0]), template(words[1]));
                    assert_eq!(one.is_alike(&other), kind == "same", "{line}");
                    assert_eq!(other.is_alike(&one), kind == "same", "{line}");
                }
                "match" => {
                    let captures = template(words[0]).captures(&decoded(words[1])).expect(line);
                    let captures: Vec<String> = captures.into_iter().map(|(name, value)| name + "=" + &value).collect();
                    assert_eq!(captures, words[2..], "{line}");
                }
                "mismatch" => assert_eq!(template(words[0]).captures(&decoded(words[1])), None, "{line}"),
                // The router's tests.
                "routes" | "request" => continue,
                other => panic!("{other}: no such kind of case"),
            }
            checked += 1;
        }
        assert!(checked > 80, "{checked} cases");
    }

    #[test]
    fn templates_overlap_where_a_path_matches_both() {
        for (one, other, expected) in [
            ("/items/{id}", "/items/special", true),
            ("/items/{id}", "/items/{name}", true),
            ("/items", "/items", true),
            ("/items/{id}", "/items/{id}/parts", false),
            ("/items/{id}", "/items", false),
            ("/{kind}/7", "/items/{id}", true),
            ("/{kind}/7", "/items/8", false),
            ("/files/{*rest}", "/files/a/b", true),
            ("/files/{*rest}", "/files/{name}", true),
            ("/files/{*rest}", "/files", false),
            ("/files/{*rest}", "/filed/a", false),
            ("/files/{*rest}", "/{any}/x/{*rest}", true),
            ("/a/b", "/a/c", false),
            ("/{*all}", "/items/{id}", true),
            ("/{*all}", "/", false),
            ("/{id}", "/", false),
            ("/", "/", true),
        ] {
            let (one, other) = (template(one), template(other));
            assert_eq!(one.overlaps(&other), expected, "{one} {other}");
            assert_eq!(other.overlaps(&one), expected, "{other} {one}");
        }
    }
}
