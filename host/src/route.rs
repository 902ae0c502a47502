//! Method and path to endpoint: the only path parser in the program.
//!
//! One table decides price and handler, so no spelling of a path can be priced by one rule and
//! served by another. A path is first made canonical: each segment percent-decoded once and encoded
//! again in one way; what would be ambiguous (`//`, `%2F`, `\`, `.`, `..`, a broken `%`) is refused.
//! The guest is given the canonical path. An unknown path is not found; nothing is free by omission.

mod path;

use http::Method;

pub use path::{MAX_PATH, PathError, RequestPath};

/// An immutable table of what is served where.
#[derive(Debug)]
pub struct Routes<T> {
    router: matchit::Router<Vec<Route<T>>>,
    templates: Vec<String>,
}

#[derive(Debug)]
struct Route<T> {
    method: Method,
    params: Vec<String>,
    target: T,
}

/// What a request's method and path mean.
#[derive(Debug)]
pub enum Found<'r, T> {
    /// This endpoint, with the values of its template's parameters, decoded.
    Endpoint { target: &'r T, params: Vec<(String, String)> },
    /// The path exists, with these methods.
    OtherMethods(Vec<Method>),
    /// Nothing is here.
    Nothing,
}

/// Why an endpoint cannot join the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("{method} {path} is already served")]
    Taken { method: Method, path: String },
    #[error("the path template `{path}` is not usable: {reason}")]
    Template { path: String, reason: String },
    #[error("the path template `{path}` cannot be told apart from `{other}`")]
    Conflict { path: String, other: String },
}

impl<T> Routes<T> {
    /// An empty table: everything is not found.
    pub fn new() -> Self {
        Self { router: matchit::Router::new(), templates: Vec::new() }
    }

    /// Adds an endpoint. On an error the table is as before.
    pub fn insert(&mut self, method: Method, template: &str, target: T) -> Result<(), RouteError> {
        let (normal, params) = normalise(template)?;
        let route = Route { method, params, target };
        if self.templates.contains(&normal) {
            let at = self.router.at_mut(&normal).map(|matched| matched.value);
            let routes = at.map_err(|error| template_error(template, &error))?;
            if routes.iter().any(|other| other.method == route.method) {
                return Err(RouteError::Taken { method: route.method, path: template.to_owned() });
            }
            routes.push(route);
            return Ok(());
        }
        self.router.insert(normal.clone(), vec![route]).map_err(|error| match error {
            matchit::InsertError::Conflict { with } => RouteError::Conflict { path: template.to_owned(), other: with },
            other => template_error(template, &other),
        })?;
        self.templates.push(normal);
        Ok(())
    }

    /// Looks a request up.
    pub fn find(&self, method: &Method, path: &RequestPath) -> Found<'_, T> {
        let Ok(matched) = self.router.at(path.decoded()) else {
            return Found::Nothing;
        };
        let Some(route) = matched.value.iter().find(|route| route.method == *method) else {
            return Found::OtherMethods(matched.value.iter().map(|route| route.method.clone()).collect());
        };
        let values = matched.params.iter().map(|(_, value)| value.to_owned());
        Found::Endpoint { target: &route.target, params: route.params.iter().cloned().zip(values).collect() }
    }

    /// The methods of a path, in no order; empty if there is no such path.
    pub fn methods(&self, path: &RequestPath) -> Vec<Method> {
        self.router
            .at(path.decoded())
            .map(|matched| matched.value.iter().map(|route| route.method.clone()).collect())
            .unwrap_or_default()
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn template_error(template: &str, reason: &dyn std::fmt::Display) -> RouteError {
    RouteError::Template { path: template.to_owned(), reason: reason.to_string() }
}

/// The template with its parameters renamed by position, so that `/a/{x}` and `/a/{y}` are one, and
/// the names in order.
fn normalise(template: &str) -> Result<(String, Vec<String>), RouteError> {
    let refused = |reason: &str| template_error(template, &reason);
    let rest = template.strip_prefix('/').ok_or_else(|| refused("it must start with a slash"))?;
    let (mut normal, mut params) = (String::new(), Vec::new());
    let segments: Vec<&str> = rest.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        normal.push('/');
        if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            let (name, star) = name.strip_prefix('*').map_or((name, ""), |name| (name, "*"));
            if !star.is_empty() && !last {
                return Err(refused("`{*name}` is allowed in the last segment only"));
            }
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty();
            if !plain || params.iter().any(|other| other == name) {
                return Err(refused("a parameter is `{name}` of letters, digits and `_`, each name once"));
            }
            normal.push_str(&format!("{{{star}p{index}}}"));
            params.push(name.to_owned());
        } else {
            if segment.is_empty() && !last {
                return Err(refused("it holds an empty segment"));
            }
            let literal = RequestPath::parse(&format!("/{segment}")).map_err(|error| refused(&error.to_string()))?;
            if segment.contains(['{', '}', '%', '?', '#']) || literal.decoded()[1..] != **segment {
                return Err(refused("a literal segment holds no braces, `%`, `?` or `#`"));
            }
            normal.push_str(segment);
        }
    }
    Ok((normal, params))
}

/// Whether a path could match both templates, which are not one and the same: then the table gives it to one of them,
/// whatever its method is. A template for every path, such as `/{*all}`, serves what nobody else does, and overlaps
/// with none.
pub fn overlap(one: &str, other: &str) -> bool {
    let is_fallback = |template: &str| template.strip_prefix('/').is_some_and(is_rest);
    if is_fallback(one) || is_fallback(other) || alike(one, other) {
        return false;
    }
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        let (a, b) = match (one.next(), other.next()) {
            (Some(a), Some(b)) => (a, b),
            (None, None) => return true,
            _ => return false,
        };
        // A parameter has at least one character, and so has a rest.
        let meet = a == b || (a.starts_with('{') && !b.is_empty()) || (b.starts_with('{') && !a.is_empty());
        if !meet || is_rest(a) || is_rest(b) {
            return meet;
        }
    }
}

/// Whether two templates are one, whatever they call their parameters.
pub fn alike(one: &str, other: &str) -> bool {
    let same = |(a, b): (&str, &str)| a == b || (a.starts_with('{') && b.starts_with('{') && is_rest(a) == is_rest(b));
    one.split('/').count() == other.split('/').count() && one.split('/').zip(other.split('/')).all(same)
}

fn is_rest(segment: &str) -> bool {
    segment.starts_with("{*")
}

#[cfg(test)]
mod tests;
