//! Which plugins and endpoints are in force: immutable generations, swapped whole.
//!
//! A request takes the generation of its arrival and keeps it to the end. A new generation is built
//! beside the running one and put in place in one step; whatever fails leaves the running one as it is.

mod folder;
mod history;
mod staging;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Method;

use crate::endpoint::{Access, Endpoint, PaidAccess};
use crate::route::{RequestPath, RouteMatch, RouteTaken, Routes};
use coinslot_plugin::{DeclaredPrice, Plugin};
use coinslot_x402::Flow;
use coinslot_x402::price::{Accept, Amount, AmountError, Challenge, Decimal, Offer, Price, Resource};

pub use folder::{Folder, Report};
pub use history::{Component, Entry, History, HistoryFile};
pub use watch::{Order, watch};

/// One generation.
#[derive(Debug)]
pub struct Catalog {
    /// Counts up by one with each change.
    pub generation: u64,
    installed: Vec<Arc<Installed>>,
    routes: Routes<Arc<Endpoint>>,
    /// Offers that were made by earlier generations, by the label of their endpoint.
    earlier: HashMap<String, Vec<Earlier>>,
    public_url: String,
}

/// An offer that is no longer made, and honoured for as long as clients were told that it would be.
#[derive(Clone, Debug)]
struct Earlier {
    offer: Offer,
    until: Instant,
}

/// So many earlier offers of one route are honoured; a price that changes more often loses the oldest.
const EARLIER: usize = 16;

/// A plugin in force.
#[derive(Debug)]
pub struct Installed {
    /// The file's name in the plugin folder.
    pub file: String,
    /// The component.
    pub plugin: Arc<Plugin>,
    /// What it serves.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// What the operator takes, from whom and for whom.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The preferred first: clients take the first they support.
    pub accepts: Vec<Accept>,
    /// `https://api.example.com`, without a slash at the end: what challenges say.
    pub public_url: String,
    /// The flows that plugins may choose from; the first is for those that do not choose.
    pub flows: Vec<Flow>,
}

/// Why a plugin's declaration cannot be put in force here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    #[error("{endpoint}: {source}")]
    Price { endpoint: String, source: AmountError },
    #[error(
        "{endpoint}: none of the operator's assets is {symbol}: declare it in US dollars, or accept {symbol} in an [[accept]] table"
    )]
    NoAsset { endpoint: String, symbol: String },
    #[error("{endpoint}: its price is quoted per request, and the plugin does not export `coinslot:plugin/quote`")]
    NoQuote { endpoint: String },
    #[error("{endpoint}: metered prices (`up-to`) are not supported by this version; declare `exact` or `quoted`")]
    Metered { endpoint: String },
    #[error("{endpoint}: `payment-flow` is {flow:?}; there are `authorization` and `upfront`")]
    UnknownFlow { endpoint: String, flow: String },
    #[error("{endpoint}: it asks for the {} flow, which `flows` does not allow", flow.as_str())]
    Flow { endpoint: String, flow: Flow },
    #[error("{0}: {1}")]
    Challenge(String, coinslot_x402::price::TooLarge),
    #[error("{endpoint} is already served; {file} serves it")]
    SameRoute { endpoint: String, file: String },
    #[error("{endpoint}: requests for it could be for `{with}`, which {file} serves: declare a path apart from it")]
    Overlap { endpoint: String, with: String, file: String },
    #[error("another file, {0}, is a plugin of the same name")]
    Name(String),
    #[error("{0}: paths under `/.well-known/` belong to the host: declare another path")]
    ReservedPath(String),
}

impl Catalog {
    /// The generation before the first: nothing is served.
    pub fn empty(public_url: &str) -> Self {
        Self {
            generation: 0,
            installed: Vec::new(),
            routes: Routes::new(),
            earlier: HashMap::new(),
            public_url: public_url.to_owned(),
        }
    }

    /// The next generation, of these plugins. Fails on the first that collides with an earlier one.
    fn next(&self, installed: Vec<Arc<Installed>>) -> Result<Self, InstallError> {
        let mut routes = Routes::new();
        for (index, plugin) in installed.iter().enumerate() {
            let name = &plugin.plugin.info().name;
            if let Some(other) = installed[..index].iter().find(|other| other.plugin.info().name == *name) {
                return Err(InstallError::Name(other.file.clone()));
            }
            for endpoint in &plugin.endpoints {
                check_apart(&installed[..index], endpoint)?;
                let inserted = routes.insert(endpoint.method.clone(), &endpoint.path, Arc::clone(endpoint));
                inserted.map_err(|RouteTaken| InstallError::SameRoute {
                    endpoint: endpoint.label.clone(),
                    file: plugin.file.clone(),
                })?;
            }
        }
        let earlier = self.earlier(&installed);
        Ok(Self { generation: self.generation + 1, installed, routes, earlier, public_url: self.public_url.clone() })
    }

    /// What this generation and those before it offered and the next one does not.
    fn earlier(&self, next: &[Arc<Installed>]) -> HashMap<String, Vec<Earlier>> {
        let now = Instant::now();
        let mut earlier = self.earlier.clone();
        for endpoint in self.installed.iter().flat_map(|installed| &installed.endpoints) {
            let Some(offer) = fixed_offer(endpoint) else { continue };
            let goes_on = next
                .iter()
                .flat_map(|installed| &installed.endpoints)
                .any(|other| other.label == endpoint.label && fixed_offer(other) == Some(offer));
            if !goes_on {
                let longest = offer.prices().iter().map(|price| price.max_timeout_seconds).max().unwrap_or(0);
                let until = now + Duration::from_secs(longest);
                let of_route = earlier.entry(endpoint.label.clone()).or_default();
                of_route.retain(|other| other.offer != *offer);
                of_route.insert(0, Earlier { offer: offer.clone(), until });
                of_route.truncate(EARLIER);
            }
        }
        earlier.retain(|_, offers| {
            offers.retain(|offer| offer.until > now);
            !offers.is_empty()
        });
        earlier
    }

    /// Offers for this endpoint that earlier generations made and that are still in their time, the
    /// newest first.
    pub fn honoured(&self, endpoint: &Endpoint) -> Vec<Offer> {
        let now = Instant::now();
        let offers = self.earlier.get(&endpoint.label).into_iter().flatten().filter(|earlier| earlier.until > now);
        offers.map(|earlier| earlier.offer.clone()).collect()
    }

    /// Looks a request up. No template matches a path of the host.
    pub fn find(&self, method: &Method, path: &RequestPath) -> Option<RouteMatch<'_, Arc<Endpoint>>> {
        if is_reserved(path.as_str()) {
            return None;
        }
        let found = self.routes.find(method, path)?;
        // Another plugin may serve the path by other methods. Only a fallback has to be tested for that.
        let is_ceded = found.target.path.is_fallback()
            && self.routes.targets(path).into_iter().any(|other| cedes(found.target, other));
        (!is_ceded).then_some(found)
    }

    /// The methods that a path has, in no order; empty if there is no such path.
    pub fn methods(&self, path: &RequestPath) -> Vec<Method> {
        if is_reserved(path.as_str()) {
            return Vec::new();
        }
        let targets = self.routes.targets(path);
        let served = targets.iter().filter(|endpoint| !targets.iter().any(|other| cedes(endpoint, other)));
        served.map(|endpoint| endpoint.method.clone()).collect()
    }

    /// The plugins in force, by file name.
    pub fn installed(&self) -> &[Arc<Installed>] {
        &self.installed
    }

    /// The address that challenges name, without a slash at the end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }
}

/// The offer of an endpoint whose price does not depend on the request.
fn fixed_offer(endpoint: &Endpoint) -> Option<&Offer> {
    match &endpoint.access {
        Access::Paid(paid) if !paid.quoted => Some(&paid.offer),
        Access::Paid(_) | Access::Free => None,
    }
}

/// Paths where others look for what the host itself says: certificate authorities ask there who owns
/// the name. Plugins neither declare them nor match them.
fn is_reserved(path: &str) -> bool {
    path.starts_with("/.well-known/")
}

/// Whether an endpoint gives up a path that both endpoints match. A fallback is for what no other plugin serves, so it
/// does not answer a path that another plugin has, by whatever method.
fn cedes(endpoint: &Endpoint, other: &Endpoint) -> bool {
    endpoint.path.is_fallback() && !other.path.is_fallback() && !Arc::ptr_eq(&endpoint.plugin, &other.plugin)
}

/// Fails if an endpoint would take requests that another plugin answers, or hide such a path behind another method.
///
/// Two plugins may serve one path by different methods if their templates are alike. A fallback overlaps with
/// everything and takes nothing: see [`cedes`].
fn check_apart(others: &[Arc<Installed>], endpoint: &Endpoint) -> Result<(), InstallError> {
    for other in others {
        for theirs in &other.endpoints {
            if theirs.path.is_alike(&endpoint.path) {
                if theirs.method == endpoint.method {
                    return Err(InstallError::SameRoute { endpoint: endpoint.label.clone(), file: other.file.clone() });
                }
            } else if !theirs.path.is_fallback() && !endpoint.path.is_fallback() && theirs.path.overlaps(&endpoint.path)
            {
                return Err(InstallError::Overlap {
                    endpoint: endpoint.label.clone(),
                    with: theirs.path.to_string(),
                    file: other.file.clone(),
                });
            }
        }
    }
    Ok(())
}

impl Installed {
    /// Prices what a plugin declares by the operator's policy.
    pub fn new(file: String, plugin: Arc<Plugin>, policy: &Policy) -> Result<Self, InstallError> {
        let mut endpoints = Vec::new();
        let request_limit = plugin.limits().request_body;
        for declared in &plugin.info().endpoints {
            let label = format!("{} {}", declared.method, declared.path);
            if is_reserved(declared.path.as_str()) {
                return Err(InstallError::ReservedPath(label));
            }
            let about = if declared.description.is_empty() { &declared.summary } else { &declared.description };
            let url = format!("{}{}", policy.public_url, declared.path);
            let resource = Resource {
                description: about.clone(),
                summary: declared.summary.clone(),
                mime_type: declared.mime_type.clone(),
            };
            let flow = flow(&label, &declared.extensions, &declared.mime_type, policy)?;
            let paid = |amount: &str, quoted: bool| {
                let offer = offer(&label, amount, flow, policy)?;
                let challenge = Challenge::new(&offer, &url, &resource, "Payment required")
                    .map_err(|error| InstallError::Challenge(label.clone(), error))?;
                // A template's challenge names each request's own path, so none is kept; encoding it proves that it fits.
                let challenge = (!declared.path.has_parameters()).then_some(challenge);
                Ok(Access::Paid(Arc::new(PaidAccess { offer, quoted, flow, challenge })))
            };
            let access = match &declared.price {
                DeclaredPrice::Free => Access::Free,
                DeclaredPrice::Exact(amount) => paid(amount, false)?,
                DeclaredPrice::Quoted(_) if !plugin.quotes() => return Err(InstallError::NoQuote { endpoint: label }),
                DeclaredPrice::Quoted(amount) => paid(amount, true)?,
                DeclaredPrice::UpTo(_) => return Err(InstallError::Metered { endpoint: label }),
            };
            endpoints.push(Arc::new(Endpoint {
                plugin: Arc::clone(&plugin),
                method: declared.method.clone(),
                path: declared.path.clone(),
                label,
                url,
                resource,
                access,
                request_limit,
            }));
        }
        Ok(Self { file, plugin, endpoints })
    }
}

/// The flow that the plugin asks for, within the policy. An answer that streams events is never held back.
fn flow(
    endpoint: &str,
    extensions: &[(String, String)],
    mime_type: &str,
    policy: &Policy,
) -> Result<Flow, InstallError> {
    let asked = match extensions.iter().find(|(key, _)| key == "payment-flow") {
        Some((_, name)) => Some(Flow::parse(name).ok_or_else(|| InstallError::UnknownFlow {
            endpoint: endpoint.to_owned(),
            flow: name.chars().take(32).collect(),
        })?),
        None => mime_type.starts_with("text/event-stream").then_some(Flow::Upfront),
    };
    match asked {
        Some(flow) if !policy.flows.contains(&flow) => Err(InstallError::Flow { endpoint: endpoint.to_owned(), flow }),
        Some(flow) => Ok(flow),
        None => Ok(policy.flows.first().copied().unwrap_or_default()),
    }
}

/// The declared amount in each of the operator's assets that it can be paid in.
fn offer(endpoint: &str, amount: &str, flow: Flow, policy: &Policy) -> Result<Offer, InstallError> {
    let price_error = |source| InstallError::Price { endpoint: endpoint.to_owned(), source };
    let decimal = Decimal::parse(amount).map_err(price_error)?;
    let mut prices = Vec::new();
    for accept in &policy.accepts {
        if decimal.symbol.as_ref().is_some_and(|symbol| *symbol != accept.asset.symbol) {
            continue;
        }
        prices.push(Price {
            amount: Amount::of(&decimal, &accept.asset).map_err(price_error)?,
            asset: Arc::clone(&accept.asset),
            pay_to: Arc::clone(&accept.pay_to),
            max_timeout_seconds: accept.max_timeout_seconds,
            flow,
            quote: None,
            versions: accept.versions,
        });
    }
    Offer::new(prices).ok_or_else(|| InstallError::NoAsset {
        endpoint: endpoint.to_owned(),
        symbol: decimal.symbol.unwrap_or_else(|| "a US dollar".to_owned()),
    })
}

impl Installed {
    /// As it is written down.
    fn component(&self) -> Component {
        let info = self.plugin.info();
        let endpoints = self.endpoints.iter().map(|e| format!("{} {}", e.label, e.access));
        Component {
            plugin: info.name.clone(),
            version: info.version.clone(),
            sha256: self.plugin.sha256().to_owned(),
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            endpoints: endpoints.collect(),
        }
    }
}
