//! Finds what a request means: an endpoint, a document or the path of MCP, or a response of the host itself.

use std::sync::atomic::Ordering;

use http::header::HeaderValue;
use http::{Method, Request};

use super::RequestHandler;
use crate::catalog::Catalog;
use crate::discover::DocumentName;
use crate::respond::{self, Reply, Unroutable};
use crate::route::{FoundRoute, RequestPath};
use crate::server::endpoint_call::{ArrivedBody, MatchedEndpoint, guest_method};
use crate::server::mcp;

/// The path that reports whether the host is ready, whatever the `Host` of the request is.
const READY: &str = "/.well-known/coinslot/ready";

/// The most plugins that the readiness path names.
const MAX_NAMED: usize = 20;

/// The methods of a document.
static OF_DOCUMENTS: [Method; 1] = [Method::GET];

/// The result of routing: most responses of the host itself need no endpoint.
pub(super) enum Routed<'c> {
    Endpoint(MatchedEndpoint<'c>),
    Document(DocumentName),
    /// The path of MCP, and the host that the request names.
    Mcp(HeaderValue),
    Response(Reply),
}

impl RequestHandler {
    /// Finds the endpoint of a request, or answers it where no endpoint is meant.
    pub(super) fn route<'c>(
        &self,
        catalog: &'c Catalog,
        request: &Request<ArrivedBody>,
    ) -> Result<Routed<'c>, Unroutable> {
        // A load balancer asks by address, not by name, so the host is not checked. It is answered while the host shuts
        // down, too.
        if request.uri().path() == READY && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(Routed::Response(self.readiness(request.method())));
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(Unroutable::Closing);
        }
        let authority = self.hosts.authority(request)?;
        if *request.method() == Method::OPTIONS && request.uri().path() == "*" {
            return Ok(Routed::Response(respond::options(&[], request.headers(), self.private_network_access)));
        }
        let path = RequestPath::parse(request.uri().path()).map_err(Unroutable::Path)?;
        // A page under a name that its owner has pointed at this machine would read what the test wallet signs.
        let is_for_page = |name: &DocumentName| !name.signs() || mcp::is_own_name(&self.hosts, &authority);
        let document = self.publisher.find(path.as_str()).filter(is_for_page);
        let is_mcp = self.publisher.is_mcp(path.as_str());
        // No plugin declares such a path, and a template that happens to match it takes nothing from the host.
        let is_of_host = is_mcp || document.is_some_and(DocumentName::is_reserved);
        let of_plugins = || if is_of_host { Vec::new() } else { catalog.methods(&path) };
        // The methods that the host itself serves there.
        let own_methods = match (is_mcp, document) {
            (true, _) => &mcp::METHODS[..],
            (false, Some(_)) => &OF_DOCUMENTS[..],
            (false, None) => &[],
        };
        if *request.method() == Method::OPTIONS {
            let methods = with_own(of_plugins(), own_methods);
            let served = (!methods.is_empty())
                .then(|| Routed::Response(respond::options(&methods, request.headers(), self.private_network_access)));
            return served.ok_or(Unroutable::NotFound);
        }
        let method = guest_method(request.method());
        if is_mcp && mcp::METHODS.contains(method) {
            return Ok(Routed::Mcp(authority));
        }
        let found = if is_of_host { None } else { catalog.find(method, &path) };
        if let Some(name) = document
            && *method == Method::GET
            && found.is_none()
        {
            return Ok(Routed::Document(name));
        }
        let Some(FoundRoute { target: endpoint, params }) = found else {
            if !is_of_host && catalog.is_loading(method, &path) {
                return Err(Unroutable::Loading);
            }
            let methods = with_own(of_plugins(), own_methods);
            return Err(if methods.is_empty() { Unroutable::NotFound } else { Unroutable::Method(methods) });
        };
        Ok(Routed::Endpoint(MatchedEndpoint { endpoint, params, path, authority }))
    }

    /// The answer of the readiness path: whether a load balancer should send more requests here.
    fn readiness(&self, method: &Method) -> Reply {
        let mut obstacles = Vec::new();
        if self.leaving.load(Ordering::Acquire) || self.closing.load(Ordering::Acquire) {
            obstacles.push("this host is shutting down");
        }
        obstacles.extend(self.payments.obstacles());
        let loading = self.catalog.load().loading();
        let plugins = loading.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let are = if loading.len() == 1 { "plugin is" } else { "plugins are" };
        let plugins = format!("{} {are} still being loaded: {plugins}", loading.len());
        if !loading.is_empty() {
            obstacles.push(&plugins);
        }
        let reply = respond::ready(&obstacles);
        if *method == Method::HEAD { respond::head_only(reply) } else { reply }
    }
}

fn with_own(mut methods: Vec<Method>, own: &[Method]) -> Vec<Method> {
    for method in own {
        if !methods.contains(method) {
            methods.push(method.clone());
        }
    }
    methods
}
