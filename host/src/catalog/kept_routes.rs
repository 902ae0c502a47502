//! Keeps name and routes for a file that served them before the start and does not serve yet.
//!
//! A kept build may not load any more, under the present configuration above all: its name and its routes are its own
//! all the same. Another plugin that took them would get the payments for them, and nobody would have decided so. They
//! are free again when a build of the file is active, or when the file is removed.

use coinslot_plugin::Template;
use http::Method;

use super::conflict::{ConflictError, clash};
use super::install::Installed;
use super::kept_build::{KeptBuild, KeptEndpoint};
use super::loading::LoadingRoute;

/// Name and routes of one file.
#[derive(Clone, Debug)]
pub(super) struct KeptRoutes {
    pub(super) file: String,
    plugin: String,
    routes: Vec<(Method, Template)>,
}

impl KeptRoutes {
    /// Those of the build that served.
    pub(super) fn of(file: &str, build: &KeptBuild) -> Self {
        let routes = build.endpoints.iter().filter_map(route);
        Self { file: file.to_owned(), plugin: build.plugin.clone(), routes: routes.collect() }
    }

    /// The routes, as those of a plugin that is being loaded.
    pub(super) fn loading(&self) -> impl Iterator<Item = LoadingRoute> {
        let route = |(method, path): &(Method, Template)| LoadingRoute {
            plugin: self.plugin.clone(),
            method: method.clone(),
            path: path.clone(),
        };
        self.routes.iter().map(route)
    }

    /// True if the plugin has the name and the routes that are kept.
    pub(super) fn is_as_before(&self, plugin: &Installed) -> bool {
        let routes = plugin.endpoints.iter().map(|endpoint| (&endpoint.method, endpoint.path.as_str()));
        let kept = self.routes.iter().map(|(method, path)| (method, path.as_str()));
        plugin.plugin.info().name == self.plugin && routes.eq(kept)
    }

    /// Fails if a plugin of another file would take name or routes.
    pub(super) fn check(&self, plugin: &Installed) -> Result<(), ConflictError> {
        if plugin.file == self.file {
            return Ok(());
        }
        let taken = |what: String| Err(ConflictError::Kept { what, file: self.file.clone() });
        if plugin.plugin.info().name == self.plugin {
            return taken(format!("the name {}", self.plugin));
        }
        for endpoint in &plugin.endpoints {
            if self.routes.iter().any(|(method, path)| clash(endpoint, method, path).is_some()) {
                return taken(endpoint.label.clone());
            }
        }
        Ok(())
    }
}

/// The route of an endpoint. None if this version knows no such method or template.
fn route(endpoint: &KeptEndpoint) -> Option<(Method, Template)> {
    Some((endpoint.method.parse().ok()?, Template::parse(&endpoint.path).ok()?))
}
