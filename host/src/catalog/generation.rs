//! One generation of the catalogue: the routes and their endpoints, and the former offers that are still honoured.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use coinslot_plugin::Template;
use coinslot_x402::price::Offer;
use http::Method;

use super::conflict::{ConflictError, conflict};
use super::install::{Installed, is_reserved};
use super::loading::{Loading, LoadingRoute};
use crate::endpoint::{Access, Endpoint};
use crate::route::{FoundRoute, RequestPath, RouteTaken, Routes};

/// One generation.
#[derive(Debug)]
pub struct Catalog {
    /// Counts up by one with each change.
    pub generation: u64,
    installed: Vec<Arc<Installed>>,
    routes: Routes<Arc<Endpoint>>,
    /// The routes that are switched off, by the name of their plugin, with their templates.
    off: HashMap<String, Routes<Template>>,
    /// The offers that earlier generations made and this one does not, by the label of their endpoint, newest first. A
    /// route may have passed from one plugin to another.
    former_offers: HashMap<String, Vec<FormerOffer>>,
    public_url: String,
    /// The plugins that a start has not brought back yet. All generations share them.
    loading: Arc<ArcSwap<Loading>>,
}

/// An offer that is honoured for as long as its challenges said.
#[derive(Clone, Debug)]
struct FormerOffer {
    /// The name of the plugin that made it.
    plugin: String,
    offer: Offer,
    until: Instant,
}

/// The most former offers of one endpoint that are honoured. A price that changes more often loses the oldest.
const MAX_FORMER_OFFERS: usize = 16;

impl Catalog {
    /// The generation before the first, which serves nothing.
    pub fn empty(public_url: &str) -> Self {
        Self {
            generation: 0,
            installed: Vec::new(),
            routes: Routes::new(),
            off: HashMap::new(),
            former_offers: HashMap::new(),
            public_url: public_url.to_owned(),
            loading: Arc::default(),
        }
    }

    /// The next generation, of these plugins alone. Fails with the first plugin that conflicts with one before it.
    pub(super) fn next(&self, installed: Vec<Arc<Installed>>) -> Result<Self, ConflictError> {
        let mut routes = Routes::new();
        for (index, plugin) in installed.iter().enumerate() {
            conflict(&installed[..index], plugin)?;
            for endpoint in &plugin.endpoints {
                let inserted = routes.insert(endpoint.method.clone(), &endpoint.path, Arc::clone(endpoint));
                inserted.map_err(|RouteTaken| ConflictError::SameRoute {
                    endpoint: endpoint.label.clone(),
                    file: plugin.file.clone(),
                })?;
            }
        }
        Ok(Self {
            generation: self.generation + 1,
            former_offers: self.former_offers(&installed),
            off: installed.iter().filter_map(|plugin| routes_off(plugin)).collect(),
            installed,
            routes,
            public_url: self.public_url.clone(),
            loading: Arc::clone(&self.loading),
        })
    }

    /// The offers of this generation and of earlier ones that the next generation, of these plugins, does not make.
    fn former_offers(&self, next: &[Arc<Installed>]) -> HashMap<String, Vec<FormerOffer>> {
        let now = Instant::now();
        let mut former = self.former_offers.clone();
        let next = next.iter().flat_map(|installed| &installed.endpoints);
        let next: HashMap<&str, &Endpoint> = next.map(|endpoint| (&*endpoint.label, &**endpoint)).collect();
        for endpoint in self.installed.iter().flat_map(|installed| &installed.endpoints) {
            let Some(offer) = declared_offer(endpoint) else { continue };
            // Labels are unique in a generation, because routes are.
            let plugin = &endpoint.plugin.info().name;
            let is_made =
                |other: &&Endpoint| other.plugin.info().name == *plugin && declared_offer(other) == Some(offer);
            let goes_on = next.get(&*endpoint.label).is_some_and(is_made);
            if !goes_on {
                let longest = offer.prices().iter().map(|price| price.max_timeout_seconds).max().unwrap_or(0);
                let until = now + Duration::from_secs(longest);
                let offers = former.entry(endpoint.label.clone()).or_default();
                // A price that comes back and goes again is kept once, with its newest end.
                offers.retain(|other| other.offer != *offer || other.plugin != *plugin);
                offers.insert(0, FormerOffer { plugin: plugin.clone(), offer: offer.clone(), until });
                offers.truncate(MAX_FORMER_OFFERS);
            }
        }
        former.retain(|_, offers| {
            offers.retain(|former| former.until > now);
            !offers.is_empty()
        });
        former
    }

    /// The offers for this endpoint that its plugin made in earlier generations and that are still in their time, the
    /// newest first.
    pub fn honoured(&self, endpoint: &Endpoint) -> Vec<Offer> {
        let (now, plugin) = (Instant::now(), &endpoint.plugin.info().name);
        let offers = self.former_offers.get(&endpoint.label).into_iter().flatten();
        let is_honoured = |former: &&FormerOffer| former.until > now && former.plugin == *plugin;
        offers.filter(is_honoured).map(|former| former.offer.clone()).collect()
    }

    /// Looks a request up. No template matches a path of the host.
    pub fn find(&self, method: &Method, path: &RequestPath) -> Option<FoundRoute<'_, Arc<Endpoint>>> {
        if is_reserved(path.as_str()) {
            return None;
        }
        let found = self.routes.find(method, path).filter(|found| !self.is_behind_one_off(found.target, path))?;
        // Another plugin may serve the path by other methods. Only a fallback gives way to it, so that most requests
        // need one search.
        let is_ceded = found.target.path.is_fallback() && {
            let (own, loading) = (Claimant::of(found.target), self.loading.load());
            self.targets(path).any(|other| own.cedes(Claimant::of(other)))
                || loading.targets(path).into_iter().any(|other| own.cedes(Claimant::of_loading(other)))
        };
        (!is_ceded).then_some(found)
    }

    /// True if a request that no endpoint answers had one before the start, whose plugin is being loaded.
    pub fn is_loading(&self, method: &Method, path: &RequestPath) -> bool {
        let loading = self.loading.load();
        let found = loading.find(method, path).filter(|_| !is_reserved(path.as_str()));
        let is_ceded = |route: &LoadingRoute| {
            let mut others = self.targets(path);
            others.any(|other| Claimant::of_loading(route).cedes(Claimant::of(other)))
        };
        found.is_some_and(|route| !is_ceded(route))
    }

    /// The methods that a path has, in no order, also by plugins that are being loaded; empty if there is no such path.
    pub fn methods(&self, path: &RequestPath) -> Vec<Method> {
        if is_reserved(path.as_str()) {
            return Vec::new();
        }
        let loading = self.loading.load();
        let loading = loading.targets(path);
        let mut claimants: Vec<_> = self.targets(path).map(Claimant::of).collect();
        claimants.extend(loading.into_iter().map(Claimant::of_loading));
        let served = claimants.iter().filter(|own| !claimants.iter().any(|other| own.cedes(*other)));
        let mut methods: Vec<Method> = Vec::new();
        for claimant in served {
            if !methods.contains(claimant.method) {
                methods.push(claimant.method.clone());
            }
        }
        methods
    }

    /// The endpoints that a path has, one for each method.
    fn targets(&self, path: &RequestPath) -> impl Iterator<Item = &Endpoint> {
        let targets = self.routes.targets(path).into_iter().map(|endpoint| &**endpoint);
        targets.filter(|endpoint| !self.is_behind_one_off(endpoint, path))
    }

    /// True if a request that matches this endpoint is one for a route of its plugin that is switched off, and reaches the
    /// endpoint only because of that. The guest would find the route by its path, and answer it at another price.
    fn is_behind_one_off(&self, endpoint: &Endpoint, path: &RequestPath) -> bool {
        if self.off.is_empty() {
            return false;
        }
        let off = self.off.get(&endpoint.plugin.info().name).and_then(|off| off.find(&endpoint.method, path));
        off.is_some_and(|off| off.target.goes_before(&endpoint.path))
    }

    /// The active plugins.
    pub fn installed(&self) -> &[Arc<Installed>] {
        &self.installed
    }

    /// True if a plugin of this name is active.
    pub fn has_plugin(&self, name: &str) -> bool {
        self.installed.iter().any(|active| active.plugin.info().name == name)
    }

    /// The public address in challenges, without a slash at its end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The files that the folder held at the start and that are neither active nor refused yet.
    pub fn loading(&self) -> Vec<String> {
        self.loading.load().files().to_vec()
    }

    /// Sets what a start has not brought back yet, for all generations.
    pub(super) fn set_loading(&self, loading: Loading) {
        self.loading.store(Arc::new(loading));
    }
}

/// A plugin that answers a path by a method, or will when it is loaded.
#[derive(Clone, Copy)]
struct Claimant<'c> {
    plugin: &'c str,
    method: &'c Method,
    is_fallback: bool,
}

impl<'c> Claimant<'c> {
    fn of(endpoint: &'c Endpoint) -> Self {
        let plugin = &endpoint.plugin.info().name;
        Self { plugin, method: &endpoint.method, is_fallback: endpoint.path.is_fallback() }
    }

    fn of_loading(route: &'c LoadingRoute) -> Self {
        Self { plugin: &route.plugin, method: &route.method, is_fallback: route.path.is_fallback() }
    }

    /// True if this plugin gives up a path that both match. A fallback is for what no other plugin serves, so it does not
    /// answer a path that another plugin has, by whatever method.
    fn cedes(self, other: Self) -> bool {
        self.is_fallback && !other.is_fallback && self.plugin != other.plugin
    }
}

/// The routes of a plugin that are switched off, with its name. None if none is.
fn routes_off(plugin: &Installed) -> Option<(String, Routes<Template>)> {
    let mut routes = Routes::new();
    for (method, path) in &plugin.off {
        // A plugin declares no route twice.
        let _ = routes.insert(method.clone(), path, path.clone());
    }
    (!plugin.off.is_empty()).then(|| (plugin.plugin.info().name.clone(), routes))
}

/// The offer of an endpoint whose price is the same for every request.
fn declared_offer(endpoint: &Endpoint) -> Option<&Offer> {
    match &endpoint.access {
        Access::Paid(paid) if !paid.quoted => Some(&paid.offer),
        Access::Paid(_) | Access::Free => None,
    }
}
