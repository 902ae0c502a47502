//! Lists what a generation of the catalogue sells, for every document and page.

use std::sync::Arc;

use coinslot_plugin::EndpointInfo;

use crate::catalog::Catalog;
use crate::config::DiscoverConfig;
use crate::endpoint::Endpoint;
use crate::example::ExampleRequest;

/// What is sold at one time, and by whom.
#[derive(Debug)]
pub struct Listing {
    /// The name of the service: the operator's, or the host of the public address.
    pub name: String,
    /// The public address, without a slash at its end.
    pub public_url: String,
    /// The operator's settings.
    pub config: Arc<DiscoverConfig>,
    /// The active endpoints, in the order of plugins' files and of their declarations.
    pub endpoints: Vec<ListedEndpoint>,
}

/// An endpoint, and a request for it.
#[derive(Debug)]
pub struct ListedEndpoint {
    pub endpoint: Arc<Endpoint>,
    /// The declaration with the operator's changes of path and texts.
    pub info: EndpointInfo,
    /// A request that fits the input schema. None: none could be made, or none was asked for.
    pub example: Option<ExampleRequest>,
}

impl Listing {
    /// Lists a generation. It makes a request for each endpoint, so call it where threads may work.
    pub fn new(catalog: &Catalog, config: Arc<DiscoverConfig>) -> Self {
        let public_url = catalog.public_url().to_owned();
        let host = public_url.split_once("://").map_or(public_url.as_str(), |(_, host)| host);
        let name = config.name.clone().unwrap_or_else(|| host.to_owned());
        let endpoints = catalog.installed().iter().flat_map(|installed| &installed.endpoints);
        let endpoints = endpoints.map(|endpoint| ListedEndpoint::new(Arc::clone(endpoint))).collect();
        Self { name, public_url, config, endpoints }
    }
}

impl ListedEndpoint {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        let listed = Self::without_example(endpoint);
        let example = ExampleRequest::of(&listed.info, listed.endpoint.input.as_ref()).ok();
        Self { example, ..listed }
    }

    /// The endpoint alone, which takes no time.
    pub fn without_example(endpoint: Arc<Endpoint>) -> Self {
        let info = EndpointInfo {
            path: endpoint.path.clone(),
            summary: endpoint.resource.summary.clone(),
            description: endpoint.resource.description.clone(),
            ..endpoint.declared().clone()
        };
        Self { endpoint, info, example: None }
    }
}
