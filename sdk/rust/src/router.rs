//! Finds the endpoint of a request among the endpoints of this plugin.
//!
//! The host has routed a request before it reaches the plugin. Routing it again costs less than trusting that two
//! tables agree, and it also serves unit tests and other `wasi:http` servers. Both sides are tested with
//! `tests/fixtures/path-templates.txt`.

/// An endpoint that may serve the request.
pub(crate) struct EndpointCandidate<'t, E> {
    pub(crate) method: &'t str,
    /// A path template that the attribute has checked.
    pub(crate) template: &'t str,
    pub(crate) endpoint: E,
}

/// The result of [`find`].
#[derive(Debug)]
pub(crate) enum RouteMatch<'t, 'p, E> {
    /// This endpoint serves the request. Its parameters are still percent-encoded.
    Endpoint { endpoint: E, params: Vec<(&'t str, &'p str)> },
    /// The path is served with these methods only: at least one, sorted, each once.
    OtherMethods(Vec<&'t str>),
    /// No template matches the path.
    NoPath,
}

/// Finds the most specific endpoint for a method and a percent-encoded path.
///
/// The method is part of the match: a literal path of one method never hides a template of another method. Among
/// templates of the same method, literal segments win over parameters, and parameters over the rest, from left to
/// right.
pub(crate) fn find<'t, 'p, E>(
    candidates: impl Iterator<Item = EndpointCandidate<'t, E>>,
    method: &str,
    path: &'p str,
) -> RouteMatch<'t, 'p, E> {
    let (mut matches, mut other_methods) = (Vec::new(), Vec::new());
    for candidate in candidates {
        match capture(candidate.template, path) {
            Some(params) if candidate.method == method => matches.push((candidate, params)),
            Some(_) => other_methods.push(candidate.method),
            None => {}
        }
    }
    let best = matches.into_iter().min_by_key(|(candidate, _)| specificity(candidate.template));
    if let Some((candidate, params)) = best {
        return RouteMatch::Endpoint { endpoint: candidate.endpoint, params };
    }
    other_methods.sort_unstable();
    other_methods.dedup();
    match other_methods.is_empty() {
        true => RouteMatch::NoPath,
        false => RouteMatch::OtherMethods(other_methods),
    }
}

/// The names of a template's parameters, in order.
pub(crate) fn parameters(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(parameter).map(|(name, _)| name)
}

/// A sort key: the smallest one belongs to the most specific template.
fn specificity(template: &str) -> Vec<u8> {
    template.split('/').map(|segment| parameter(segment).map_or(0, |(_, rest)| 1 + u8::from(rest))).collect()
}

/// The parameters' values if the path fits the template. A parameter is never empty.
fn capture<'t, 'p>(template: &'t str, path: &'p str) -> Option<Vec<(&'t str, &'p str)>> {
    let mut params = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    let mut segments = template.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        if let Some((name, true)) = parameter(segment) {
            params.push((name, rest));
            return (!rest.is_empty()).then_some(params);
        }
        let (value, after) = match rest.split_once('/') {
            Some((value, after)) => (value, Some(after)),
            None => (rest, None),
        };
        match parameter(segment) {
            Some((name, _)) if !value.is_empty() => params.push((name, value)),
            None if segment == value => {}
            _ => return None,
        }
        match (after, segments.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(params),
            _ => return None,
        }
    }
    None
}

/// Splits `{name}` or `{*name}` into the name and whether the parameter takes the rest of the path.
fn parameter(segment: &str) -> Option<(&str, bool)> {
    let inner = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    })
}

#[cfg(test)]
mod tests {
    use super::{EndpointCandidate, RouteMatch, find};
    use crate::form;

    const TABLE: &str = include_str!("../../../tests/fixtures/path-templates.txt");

    /// The decision in the words of the table's `request` lines.
    fn decision(routes: &[&str], method: &str, path: &str) -> String {
        let candidates =
            routes.chunks(2).map(|pair| EndpointCandidate { method: pair[0], template: pair[1], endpoint: pair[1] });
        match find(candidates, method, path) {
            RouteMatch::Endpoint { endpoint, params } => {
                let mut words = vec!["serve".to_owned(), endpoint.to_owned()];
                for (name, value) in params {
                    words.push(format!("{name}={}", form::decode(value).expect("an encoded value")));
                }
                words.join(" ")
            }
            RouteMatch::OtherMethods(methods) => format!("allow {}", methods.join(" ")),
            RouteMatch::NoPath => "none".to_owned(),
        }
    }

    #[test]
    fn routing_is_that_of_the_shared_table() {
        let (mut routes, mut cases) = (Vec::new(), 0);
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "match" => {
                    let expected = format!("serve {} {}", words[1], words[3..].join(" "));
                    assert_eq!(decision(&["GET", words[1]], "GET", words[2]), expected.trim_end(), "{line}");
                }
                "mismatch" => assert_eq!(decision(&["GET", words[1]], "GET", words[2]), "none", "{line}"),
                "routes" => routes = words[1..].to_vec(),
                "request" => assert_eq!(decision(&routes, words[1], words[2]), words[3..].join(" "), "{line}"),
                _ => continue,
            }
            cases += 1;
        }
        assert!(cases > 45, "{cases} cases");
    }
}
