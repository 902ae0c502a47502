//! Lists what a generation of the catalogue sells, for every document and page.

use std::collections::HashSet;
use std::sync::Arc;

use coinslot_plugin::EndpointInfo;

use super::logo::Logo;
use crate::allowance::AllowancePolicy;
use crate::catalog::{Catalog, Installed};
use crate::config::DiscoverConfig;
use crate::endpoint::{Access, Endpoint};
use crate::example::ExampleRequest;

/// The endpoints that are sold at one time, and their seller.
#[derive(Debug)]
pub struct Listing {
    /// The name of the service: the operator's, or the host of the public address.
    pub name: String,
    /// The public address, without a slash at its end.
    pub public_url: String,
    /// The operator's settings.
    pub config: Arc<DiscoverConfig>,
    pub logo: Logo,
    /// The active endpoints, in the order of plugins' files and of their declarations.
    pub endpoints: Vec<ListedEndpoint>,
}

/// An endpoint, and a request for it.
#[derive(Debug)]
pub struct ListedEndpoint {
    pub endpoint: Arc<Endpoint>,
    /// Its name in documents, of letters, digits and `_`: the plugin, the method and the path.
    pub id: String,
    /// The declaration with the operator's changes of path and texts.
    pub info: EndpointInfo,
    /// A request that fits the input schema. None: none could be made, or none was asked for.
    pub example: Option<ExampleRequest>,
    /// An account that signs in may have free requests.
    pub takes_sign_in: bool,
}

impl Listing {
    /// Lists a generation.
    pub fn new(catalog: &Catalog, config: Arc<DiscoverConfig>, logo: Logo, allowances: &AllowancePolicy) -> Self {
        let public_url = catalog.public_url().to_owned();
        let host = public_url.split_once("://").map_or(public_url.as_str(), |(_, host)| host);
        let name = config.name.clone().unwrap_or_else(|| host.to_owned());
        let mut ids = HashSet::new();
        // In the order of files, whichever was loaded first: documents stay as they are over a restart.
        let mut installed: Vec<&Installed> = catalog.installed().iter().map(|installed| &**installed).collect();
        installed.sort_by(|one, other| one.file.cmp(&other.file));
        let endpoints = installed.into_iter().flat_map(|installed| &installed.endpoints);
        let listed = |endpoint: &Arc<Endpoint>| ListedEndpoint::new(Arc::clone(endpoint), &mut ids, allowances);
        let endpoints = endpoints.map(listed).collect();
        Self { name, public_url, config, logo, endpoints }
    }

    /// The names of the plugins that have endpoints, in their order.
    pub fn plugins(&self) -> Vec<String> {
        let mut names: Vec<String> = self.endpoints.iter().map(|listed| listed.plugin().to_owned()).collect();
        names.dedup();
        names
    }

    /// One sentence about what is sold.
    pub fn summary(&self) -> String {
        if let Some(description) = &self.config.description {
            return description.clone();
        }
        let paid = self.endpoints.iter().filter(|listed| matches!(listed.endpoint.access, Access::Paid(_))).count();
        let endpoints = if self.endpoints.len() == 1 { "endpoint" } else { "endpoints" };
        format!("{} HTTP {endpoints}, of which {paid} are paid by x402.", self.endpoints.len())
    }

    /// An address that answers requests to an endpoint, without a query: that of the example where a path has parameters.
    pub fn url_of(&self, listed: &ListedEndpoint) -> String {
        let example = listed.example.as_ref().filter(|_| listed.endpoint.path.has_parameters());
        let path = example.map(|example| example.target.split('?').next().unwrap_or_default());
        path.map_or_else(|| listed.endpoint.url.clone(), |path| format!("{}{path}", self.public_url))
    }
}

impl ListedEndpoint {
    fn new(endpoint: Arc<Endpoint>, ids: &mut HashSet<String>, allowances: &AllowancePolicy) -> Self {
        let info = endpoint.info();
        let takes_sign_in = matches!(endpoint.access, Access::Paid(_)) && allowances.takes_sign_in(&endpoint);
        let (id, example) = (id(&endpoint, ids), endpoint.example.clone());
        Self { endpoint, id, info, example, takes_sign_in }
    }

    /// The name of the plugin that answers.
    pub fn plugin(&self) -> &str {
        &self.endpoint.plugin.info().name
    }
}

/// A name that no other endpoint has.
fn id(endpoint: &Endpoint, known: &mut HashSet<String>) -> String {
    let text = format!("{} {} {}", endpoint.plugin.info().name, endpoint.method, endpoint.path);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_").to_ascii_lowercase();
    let numbered = (2_usize..).map(|number| format!("{name}_{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| known.insert(name.clone()));
    free.unwrap_or(name)
}
