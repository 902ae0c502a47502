//! Names the files that a start has not brought back yet, and the routes that served before the start and whose plugins
//! are being loaded: at the start, and again when a new configuration may let them load.
//!
//! A request for such a route is for a plugin that is being compiled: it is answered with 503, and not with 404, by
//! which clients and crawlers forget an endpoint.

use coinslot_plugin::Template;
use http::Method;

use super::kept_routes::KeptRoutes;
use crate::route::{RequestPath, Routes};

/// The files that the folder held at the start and that are neither active nor refused yet.
#[derive(Debug, Default)]
pub(super) struct Loading {
    files: Vec<String>,
    /// The routes that files served before the start and whose plugins are being loaded.
    routes: Routes<LoadingRoute>,
}

/// A route of a plugin that is being loaded.
#[derive(Clone, Debug)]
pub(super) struct LoadingRoute {
    pub(super) plugin: String,
    pub(super) method: Method,
    pub(super) path: Template,
}

impl Loading {
    /// These files are missing since the start, and plugins are being loaded that served these routes before it.
    pub(super) fn new(files: Vec<String>, loaded: &[KeptRoutes]) -> Self {
        let mut routes = Routes::new();
        for route in loaded.iter().flat_map(KeptRoutes::loading) {
            // Plugins that were active together share no route; of a history that says otherwise the first one counts.
            let (method, path) = (route.method.clone(), route.path.clone());
            let _ = routes.insert(method, &path, route);
        }
        Self { files, routes }
    }

    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    /// The route that a request had before the start.
    pub(super) fn find(&self, method: &Method, path: &RequestPath) -> Option<&LoadingRoute> {
        self.routes.find(method, path).map(|found| found.target)
    }

    /// The routes that a path had before the start, one for each of its methods.
    pub(super) fn targets(&self, path: &RequestPath) -> Vec<&LoadingRoute> {
        self.routes.targets(path)
    }
}
