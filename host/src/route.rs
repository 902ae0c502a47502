//! Finds the endpoint of a request by its method and path.
//!
//! One table decides price and handler, so no spelling of a path is priced by one rule and served by another. The path
//! is canonical before it is looked up, and the guest is given the canonical path. An unknown path is not found:
//! nothing is free by omission.

mod path;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use coinslot_plugin::{Segment, Template, split_segment};
use http::Method;

pub use path::{MAX_PATH, PathError, RequestPath};

/// A table of routes. A route is found by its method and its path template together.
#[derive(Debug)]
pub struct Routes<T> {
    root: RouteNode<T>,
}

/// The target of a request, with the values of its template's parameters, percent-decoded.
#[derive(Debug)]
pub struct FoundRoute<'r, T> {
    pub target: &'r T,
    pub params: Vec<(String, String)>,
}

/// A route of the same method already has a template that matches the same paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTaken;

/// The routes whose templates begin with the same segments.
#[derive(Debug)]
struct RouteNode<T> {
    /// The routes that go on with a literal segment, sorted by it.
    literals: Vec<(String, RouteNode<T>)>,
    /// The routes that go on with a parameter.
    parameter: Option<Box<RouteNode<T>>>,
    /// The routes that go on with a rest, and so end with it.
    rests: Vec<Route<T>>,
    /// The routes that end here.
    ends: Vec<Route<T>>,
}

#[derive(Debug)]
struct Route<T> {
    method: Method,
    template: Template,
    target: T,
}

impl<T> Routes<T> {
    /// An empty table: no path is found.
    pub fn new() -> Self {
        Self { root: RouteNode::new() }
    }

    /// Adds a route. On an error the table is as before.
    pub fn insert(&mut self, method: Method, template: &Template, target: T) -> Result<(), RouteTaken> {
        let routes = self.root.routes_of(template.segments());
        if routes.iter().any(|other| other.method == method) {
            return Err(RouteTaken);
        }
        routes.push(Route { method, template: template.clone(), target });
        Ok(())
    }

    /// Looks a request up. Where several templates match, a literal segment goes before a parameter and a parameter
    /// before a rest, from left to right. Templates of other methods do not count.
    pub fn find(&self, method: &Method, path: &RequestPath) -> Option<FoundRoute<'_, T>> {
        let found = self.root.visit(path.decoded().strip_prefix('/'), &mut |routes| {
            let route = routes.iter().find(|route| route.method == *method);
            // The tree finds the template and keeps no names; the template reads the parameters out of the path.
            match route.and_then(|route| Some((route, route.template.captures(path.decoded())?))) {
                Some((route, params)) => ControlFlow::Break(FoundRoute { target: &route.target, params }),
                None => ControlFlow::Continue(()),
            }
        });
        found.break_value()
    }

    /// The targets that a path has, one for each of its methods: the one that [`Routes::find`] finds.
    pub fn targets(&self, path: &RequestPath) -> Vec<&T> {
        let mut found: Vec<&Route<T>> = Vec::new();
        let _ = self.root.visit(path.decoded().strip_prefix('/'), &mut |routes| {
            for route in routes {
                if found.iter().all(|better| better.method != route.method) {
                    found.push(route);
                }
            }
            ControlFlow::<()>::Continue(())
        });
        found.into_iter().map(|route| &route.target).collect()
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> RouteNode<T> {
    const fn new() -> Self {
        Self { literals: Vec::new(), parameter: None, rests: Vec::new(), ends: Vec::new() }
    }

    /// The routes with these segments below this node. Missing nodes are made.
    fn routes_of(&mut self, segments: &[Segment]) -> &mut Vec<Route<T>> {
        let Some((first, others)) = segments.split_first() else { return &mut self.ends };
        match first {
            Segment::Literal(literal) => {
                let at = self.literals.binary_search_by(|(known, _)| known.cmp(literal)).unwrap_or_else(|at| {
                    self.literals.insert(at, (literal.clone(), Self::new()));
                    at
                });
                self.literals[at].1.routes_of(others)
            }
            Segment::Parameter(_) => self.parameter.get_or_insert_with(|| Box::new(Self::new())).routes_of(others),
            // Nothing follows a rest.
            Segment::Rest(_) => &mut self.rests,
        }
    }

    /// Calls `visit` with the routes of each template that matches, the best template first, until it breaks.
    /// `remaining` is the path from this node's segments on, without a slash at its start; None behind the last
    /// segment.
    ///
    /// The search has to turn back: of `/items/7` and `/{kind}/8` the second matches `/items/8`, which is not found
    /// below the literal `items`. It visits no node twice and allocates nothing, and it is no deeper than the longest
    /// template.
    fn visit<'r, B>(
        &'r self,
        remaining: Option<&str>,
        visit: &mut impl FnMut(&'r [Route<T>]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(remaining) = remaining else { return visit(&self.ends) };
        let (segment, after) = split_segment(remaining);
        if let Ok(at) = self.literals.binary_search_by(|(literal, _)| literal.as_str().cmp(segment)) {
            self.literals[at].1.visit(after, visit)?;
        }
        // Neither a parameter nor a rest is empty.
        if let Some(node) = &self.parameter
            && !segment.is_empty()
        {
            node.visit(after, visit)?;
        }
        if !remaining.is_empty() {
            visit(&self.rests)?;
        }
        ControlFlow::Continue(())
    }
}
