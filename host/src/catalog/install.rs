//! Prices the endpoints of a plugin by the operator's sales policy: those that it declares, with the operator's changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_base::text::printable;
use coinslot_ledger::PassTerms;
use coinslot_plugin::{DeclaredPrice, EndpointInfo, Plugin, Template};
use coinslot_x402::Flow;
use coinslot_x402::header::is_payment_header;
use coinslot_x402::price::{Accept, Amount, Challenge, Decimal, Offer, Price, Resource};
use http::header::CONTENT_TYPE;
use http::{HeaderName, Method};

use super::install_error::{InstallError, MAX_QUOTE_HEADERS};
use super::overrides::{PASS, PluginOverrides, RouteChange, extension};
use super::pins::PluginPins;
use super::reserved::ReservedPath;
use super::sale_terms::SaleTerms;
use super::schemas::{self, EndpointSchemas};
use crate::bazaar;
use crate::endpoint::{Access, Endpoint, ObserverSlot, PaidAccess, PluginPages};
use crate::example::ExampleRequest;
use crate::recent::RecentDurations;

/// The time for which requests are made as examples for the endpoints of one plugin: a schema can be expensive to meet.
/// The endpoints after it have none.
const LONGEST_EXAMPLES: Duration = Duration::from_secs(1);

/// A plugin of one file with its priced endpoints: active, or ready to become active.
#[derive(Debug)]
pub struct Installed {
    /// The file's name in the plugin folder.
    pub file: String,
    /// The component.
    pub plugin: Arc<Plugin>,
    /// The endpoints that the plugin declares and the operator has not switched off, in their order.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The routes that the operator has switched off.
    pub off: Vec<(Method, Template)>,
    /// The facts that are not as the plugin declares them.
    pub changes: Vec<RouteChange>,
}

/// The operator's rules for selling: the assets that are taken, their receivers, and the URL that is sold under.
#[derive(Clone, Debug)]
pub struct SalesPolicy {
    /// The assets that are taken. The preferred one is first, because clients pay the first that they support.
    pub accepts: Vec<Accept>,
    /// The public address in challenges, as in `https://api.example.com`, without a slash at its end.
    pub public_url: String,
    /// The flows that plugins may choose from. A plugin that does not choose gets the first.
    pub flows: Vec<Flow>,
    /// The conditions of the operator for single plugins, by the names in their manifests.
    pub pins: BTreeMap<String, PluginPins>,
    /// The operator's changes of what single plugins declare, by the names in their manifests.
    pub overrides: BTreeMap<String, PluginOverrides>,
    /// The names of plugins whose schemas are not enforced.
    pub unchecked: BTreeSet<String>,
    /// The names of plugins whose pages have the origin of the host.
    pub same_origin: BTreeSet<String>,
    /// The paths that the host serves itself.
    pub reserved: Vec<ReservedPath>,
    /// Challenges declare what is sold to facilitators that list it.
    pub bazaar: bool,
    /// Answers are compared with the declared schemas, and the log tells which do not fit.
    pub checks_answers: bool,
}

impl Installed {
    /// Prices every endpoint of a plugin. Fails with all that cannot be sold.
    pub fn new(file: String, plugin: Arc<Plugin>, policy: &SalesPolicy) -> Result<Self, InstallError> {
        let info = plugin.info();
        let unchanged = PluginOverrides::default();
        let overrides = policy.overrides.get(&info.name).unwrap_or(&unchanged);
        let served =
            overrides.apply(info).map_err(|source| InstallError::Override { plugin: info.name.clone(), source })?;
        let changes = overrides.changes(info, &served);
        let schemas = schemas::compile(&info.name, &served, policy)?;
        let (mut endpoints, mut off, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let pages = match policy.same_origin.contains(&info.name) {
            true => PluginPages::SameOrigin,
            false => PluginPages::Sandboxed,
        };
        let examples_until = Instant::now() + LONGEST_EXAMPLES;
        for (index, (served, schemas)) in served.into_iter().zip(schemas).enumerate() {
            let declared = &info.endpoints[index];
            if overrides.is_off(declared) {
                off.push((served.method, served.path));
                continue;
            }
            let accepts = SaleTerms::choose(&policy.accepts, overrides.terms(declared));
            let priced = PricedBy { policy, accepts, mount: overrides.mount.as_ref(), pages, examples_until };
            match endpoint(&plugin, index, &served, schemas, &priced) {
                Ok(endpoint) => endpoints.push(Arc::new(endpoint)),
                Err(error) => errors.push(error),
            }
        }
        if let Some(error) = InstallError::joined(errors) {
            return Err(error);
        }
        if let Some(pins) = policy.pins.get(&info.name) {
            let fits = pins.check(&file, plugin.sha256(), &endpoints);
            fits.map_err(|source| InstallError::Pinned { plugin: info.name.clone(), source })?;
        }
        Ok(Self { file, plugin, endpoints, off, changes })
    }
}

/// The rules by which one endpoint is priced.
struct PricedBy<'p> {
    policy: &'p SalesPolicy,
    /// The assets that it is paid in, and their receivers.
    accepts: Vec<Accept>,
    /// The path that the operator has put before the declared one.
    mount: Option<&'p Template>,
    /// The origin of the plugin's pages.
    pages: PluginPages,
    /// No example is made after this time.
    examples_until: Instant,
}

/// True if a path is reserved for the host (RFC 8615): a certificate authority verifies there that the host owns its
/// name, and other clients read metadata of the host. Plugins neither declare such a path nor match it.
pub(super) fn is_reserved(path: &str) -> bool {
    path.starts_with("/.well-known/")
}

/// Prices one endpoint, and makes what does not depend on a request. `served` is the declaration at `index`, with the
/// operator's changes.
fn endpoint(
    plugin: &Arc<Plugin>,
    index: usize,
    served: &EndpointInfo,
    schemas: EndpointSchemas,
    priced: &PricedBy<'_>,
) -> Result<Endpoint, InstallError> {
    let label = served.label();
    check_path(&label, &plugin.info().name, served, priced.policy)?;
    let url = format!("{}{}", priced.policy.public_url, served.path);
    let example = (Instant::now() < priced.examples_until)
        .then(|| ExampleRequest::quick(served, schemas.input.as_ref()).ok())
        .flatten();
    let resource = resource(served, example.as_ref(), priced.policy);
    let flow = flow(&label, served, priced.policy)?;
    let pass = pass(&label, served)?;
    let declared = &plugin.info().endpoints[index].price;
    let replaces = (*declared != served.price).then(|| declared.clone());
    let origin = if replaces.is_some() { changed_label(&label, plugin, index) } else { label.clone() };
    let paid = |amount: &str, quoted: bool| {
        let offer = offer(&origin, amount, flow, &priced.accepts)?;
        let challenge = Challenge::new(&offer, &url, &resource, "Payment required")
            .map_err(|source| InstallError::Challenge { endpoint: label.clone(), source })?;
        // The challenge of a template names each request's own path, so this one is not kept: that it could be encoded
        // proves that the endpoint's URL fits.
        let challenge = (!served.path.has_parameters()).then_some(challenge);
        Ok(Access::Paid(Arc::new(PaidAccess { offer, quoted, replaces: replaces.clone(), flow, pass, challenge })))
    };
    let access = match &served.price {
        DeclaredPrice::Free => Access::Free,
        DeclaredPrice::Exact(amount) => paid(amount, false)?,
        DeclaredPrice::Quoted(_) if !plugin.quotes() => return Err(InstallError::NoQuote { endpoint: label }),
        DeclaredPrice::Quoted(amount) => paid(amount, true)?,
        DeclaredPrice::UpTo(_) => return Err(InstallError::Metered { endpoint: label }),
    };
    Ok(Endpoint {
        plugin: Arc::clone(plugin),
        index,
        method: served.method.clone(),
        path: served.path.clone(),
        mount: priced.mount.cloned(),
        url,
        resource,
        access,
        pages: priced.pages,
        quote_headers: quote_headers(&label, served)?,
        request_limit: plugin.limits().request_body,
        input: schemas.input,
        answer: schemas.answer,
        unenforced: schemas.unenforced,
        example,
        recent: RecentDurations::default(),
        observed: ObserverSlot::default(),
        label,
    })
}

/// Fails if the host serves the path of an endpoint itself.
fn check_path(label: &str, plugin: &str, served: &EndpointInfo, policy: &SalesPolicy) -> Result<(), InstallError> {
    if is_reserved(served.path.as_str()) {
        return Err(InstallError::ReservedPath { endpoint: label.to_owned() });
    }
    match ReservedPath::named(&policy.reserved, &served.path) {
        Some(reserved) => Err(InstallError::HostServes {
            endpoint: label.to_owned(),
            what: reserved.what,
            advice: reserved.advice(plugin),
        }),
        None => Ok(()),
    }
}

/// The description of an endpoint in challenges.
fn resource(served: &EndpointInfo, example: Option<&ExampleRequest>, policy: &SalesPolicy) -> Resource {
    let description = if served.description.is_empty() { &served.summary } else { &served.description };
    let is_paid = served.price != DeclaredPrice::Free;
    let bazaar = (is_paid && policy.bazaar).then(|| Arc::new(bazaar::declare(served, example)));
    Resource {
        description: description.clone(),
        summary: served.summary.clone(),
        mime_type: served.mime_type.clone(),
        bazaar,
    }
}

/// The label of an endpoint whose price the operator has written, with the key by which its mistakes are found.
fn changed_label(label: &str, plugin: &Plugin, index: usize) -> String {
    let info = plugin.info();
    format!("{label}, by plugin.{}.routes.{:?}", info.name, info.endpoints[index].label())
}

/// The header fields that an endpoint's `quote` sees: the media type of the body, and those that `quote-headers` names.
/// Fields that proxies and clients write anew for each request would make every quote worthless, so the plugin names
/// what its price depends on.
fn quote_headers(endpoint: &str, declared: &EndpointInfo) -> Result<Vec<HeaderName>, InstallError> {
    let mut names = vec![CONTENT_TYPE];
    for word in &declared.quote_headers {
        let name = HeaderName::try_from(word.as_str()).ok().filter(|name| !is_payment_header(name.as_str()));
        let name = name.ok_or_else(|| InstallError::QuoteHeader {
            endpoint: endpoint.to_owned(),
            name: printable(&word.chars().take(64).collect::<String>()),
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MAX_QUOTE_HEADERS {
        Err(InstallError::QuoteHeaders { endpoint: endpoint.to_owned() })
    } else {
        Ok(names)
    }
}

/// The flow that an endpoint asks for, if the policy allows it. An endpoint that answers with a stream of events and
/// asks for nothing is paid upfront, because its answer cannot be held back until it is settled.
fn flow(endpoint: &str, declared: &EndpointInfo, policy: &SalesPolicy) -> Result<Flow, InstallError> {
    let asked = match extension(declared, "payment-flow") {
        Some(name) => Some(Flow::parse(name).ok_or_else(|| InstallError::UnknownFlow {
            endpoint: endpoint.to_owned(),
            flow: name.chars().take(32).collect(),
        })?),
        None => declared.mime_type.to_ascii_lowercase().starts_with("text/event-stream").then_some(Flow::Upfront),
    };
    match asked {
        Some(flow) if !policy.flows.contains(&flow) => Err(InstallError::Flow { endpoint: endpoint.to_owned(), flow }),
        Some(flow) => Ok(flow),
        None => Ok(policy.flows.first().copied().unwrap_or_default()),
    }
}

/// The pass of an endpoint, as it is served.
fn pass(endpoint: &str, served: &EndpointInfo) -> Result<Option<PassTerms>, InstallError> {
    let Some(text) = extension(served, PASS) else { return Ok(None) };
    let failed = |source| {
        let written = printable(&text.chars().take(64).collect::<String>());
        InstallError::Pass { endpoint: endpoint.to_owned(), written, source }
    };
    PassTerms::parse(text).map(Some).map_err(failed)
}

/// The amount in each of these assets that it can be paid in. An amount without a symbol is in US dollars, and can be
/// paid in every asset that is one.
fn offer(endpoint: &str, amount: &str, flow: Flow, accepts: &[Accept]) -> Result<Offer, InstallError> {
    if accepts.is_empty() {
        return Err(InstallError::NotTaken { endpoint: endpoint.to_owned() });
    }
    let price_error = |source| InstallError::Price { endpoint: endpoint.to_owned(), source };
    let decimal = Decimal::parse(amount).map_err(price_error)?;
    let mut prices = Vec::new();
    for accept in accepts {
        if !decimal.may_be_in(&accept.asset) {
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
