//! Prices the endpoints that a plugin declares by the operator's sales policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coinslot_base::text::printable;
use coinslot_plugin::{DeclaredPrice, EndpointInfo, Plugin};
use coinslot_x402::header::is_payment_header;
use coinslot_x402::price::{Accept, Amount, AmountError, Asset, Challenge, Decimal, Offer, Price, Resource, TooLarge};
use coinslot_x402::{Flow, Network};
use http::HeaderName;
use http::header::CONTENT_TYPE;

use super::pins::{PinError, PluginPins};
use super::schemas::{self, EndpointSchemas};
use crate::endpoint::{Access, Endpoint, ObserverSlot, PaidAccess};

/// The chain ID of Base. The tokens that hosts know by their symbols have the decimals of its USDC.
const BASE: u64 = 8453;

/// The most header fields that a price may depend on.
const MAX_QUOTE_HEADERS: usize = 16;

/// A plugin of one file with its priced endpoints: active, or ready to become active.
#[derive(Debug)]
pub struct Installed {
    /// The file's name in the plugin folder.
    pub file: String,
    /// The component.
    pub plugin: Arc<Plugin>,
    /// One endpoint for each that the plugin declares, in its order.
    pub endpoints: Vec<Arc<Endpoint>>,
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
    /// The names of plugins whose schemas are not enforced.
    pub unchecked: BTreeSet<String>,
    /// Answers are compared with the declared schemas, and the log tells which do not fit.
    pub checks_answers: bool,
}

/// A declaration of a plugin that cannot be sold under the operator's policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    #[error("{endpoint}: {source}")]
    Price { endpoint: String, source: AmountError },
    #[error(
        "{endpoint}: none of the operator's assets is {symbol}: declare it in US dollars, or accept {symbol} in an \
         [[accept]] table (a contract that is a dollar says `usd = true`)"
    )]
    NoAsset { endpoint: String, symbol: String },
    #[error("{endpoint}: its price is quoted per request, and the plugin does not export `coinslot:plugin/quote`")]
    NoQuote { endpoint: String },
    #[error(
        "{endpoint}: this version sells nothing at a metered price (`up-to`; `upTo` or `up_to` in an SDK): declare \
         `exact` or `quoted` instead"
    )]
    Metered { endpoint: String },
    #[error("{endpoint}: `quote-headers` names `{name}`, which is no header field that a plugin sees")]
    QuoteHeader { endpoint: String, name: String },
    #[error("{endpoint}: `quote-headers` names more than {MAX_QUOTE_HEADERS} header fields")]
    QuoteHeaders { endpoint: String },
    #[error("{endpoint}: `payment-flow` is {flow:?}; there are `authorization` and `upfront`")]
    UnknownFlow { endpoint: String, flow: String },
    #[error("{endpoint}: it asks for the {} flow, which `flows` does not allow", flow.as_str())]
    Flow { endpoint: String, flow: Flow },
    #[error("{endpoint}: {source}")]
    Challenge { endpoint: String, source: TooLarge },
    #[error("{endpoint}: paths under `/.well-known/` belong to the host: declare another path")]
    ReservedPath { endpoint: String },
    #[error("no thread could be started to compile its schemas: {reason}")]
    SchemaThread { reason: String },
    #[error("plugin.{plugin}: {source}")]
    Pinned { plugin: String, source: PinError },
    /// A line for each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Self>),
}

impl InstallError {
    /// One error for all of them, so that an author reads every endpoint that has one. None if there are none.
    fn joined(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() < 2 { errors.pop() } else { Some(Self::Several(errors)) }
    }

    /// The errors of the endpoints at a metered price. None if there is no such endpoint.
    pub fn of_metered(endpoints: &[EndpointInfo]) -> Option<Self> {
        let metered = endpoints.iter().filter(|declared| matches!(declared.price, DeclaredPrice::UpTo(_)));
        let error = |metered: &EndpointInfo| Self::Metered { endpoint: format!("{} {}", metered.method, metered.path) };
        Self::joined(metered.map(error).collect())
    }

    /// The errors of the endpoints with a price that is none in the dollars which hosts know, such as one that is finer
    /// than their smallest unit. None if there is no such endpoint.
    pub fn of_price(endpoints: &[EndpointInfo]) -> Option<Self> {
        let usual = Asset::known(&Network::eip155(BASE), None)?;
        let errors = endpoints.iter().filter_map(|declared| {
            let (DeclaredPrice::Exact(amount) | DeclaredPrice::Quoted(amount) | DeclaredPrice::UpTo(amount)) =
                &declared.price
            else {
                return None;
            };
            let amount = Decimal::parse(amount).and_then(|decimal| match decimal.may_be_in(&usual) {
                true => Amount::of(&decimal, &usual).map(drop),
                false => Ok(()),
            });
            let endpoint = format!("{} {}", declared.method, declared.path);
            amount.err().map(|source| Self::Price { endpoint, source })
        });
        Self::joined(errors.collect())
    }
}

impl Installed {
    /// Prices every endpoint of a plugin. Fails with all that cannot be sold.
    pub fn new(file: String, plugin: Arc<Plugin>, policy: &SalesPolicy) -> Result<Self, InstallError> {
        let (name, declared) = (&plugin.info().name, &plugin.info().endpoints);
        let schemas = schemas::compile(name, declared, policy)?;
        let (mut endpoints, mut errors) = (Vec::with_capacity(declared.len()), Vec::new());
        for (declared, schemas) in declared.iter().zip(schemas) {
            match endpoint(&plugin, declared, schemas, policy) {
                Ok(endpoint) => endpoints.push(Arc::new(endpoint)),
                Err(error) => errors.push(error),
            }
        }
        if let Some(error) = InstallError::joined(errors) {
            return Err(error);
        }
        let installed = Self { endpoints, file, plugin };
        let name = &installed.plugin.info().name;
        if let Some(pins) = policy.pins.get(name) {
            let fits = pins.check(&installed.file, installed.plugin.sha256(), &installed.endpoints);
            fits.map_err(|source| InstallError::Pinned { plugin: name.clone(), source })?;
        }
        Ok(installed)
    }
}

/// True if a path is reserved for the host (RFC 8615): a certificate authority verifies there that the host owns its
/// name, and other clients read metadata of the host. Plugins neither declare such a path nor match it.
pub(super) fn is_reserved(path: &str) -> bool {
    path.starts_with("/.well-known/")
}

/// Prices one endpoint, and makes what does not depend on a request.
fn endpoint(
    plugin: &Arc<Plugin>,
    declared: &EndpointInfo,
    schemas: EndpointSchemas,
    policy: &SalesPolicy,
) -> Result<Endpoint, InstallError> {
    let label = format!("{} {}", declared.method, declared.path);
    if is_reserved(declared.path.as_str()) {
        return Err(InstallError::ReservedPath { endpoint: label });
    }
    let description = if declared.description.is_empty() { &declared.summary } else { &declared.description };
    let url = format!("{}{}", policy.public_url, declared.path);
    let resource = Resource {
        description: description.clone(),
        summary: declared.summary.clone(),
        mime_type: declared.mime_type.clone(),
    };
    let flow = flow(&label, declared, policy)?;
    let paid = |amount: &str, quoted: bool| {
        let offer = offer(&label, amount, flow, policy)?;
        let challenge = Challenge::new(&offer, &url, &resource, "Payment required")
            .map_err(|source| InstallError::Challenge { endpoint: label.clone(), source })?;
        // The challenge of a template names each request's own path, so this one is not kept: that it could be encoded
        // proves that the endpoint's URL fits.
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
    Ok(Endpoint {
        plugin: Arc::clone(plugin),
        method: declared.method.clone(),
        path: declared.path.clone(),
        url,
        resource,
        access,
        quote_headers: quote_headers(&label, declared)?,
        request_limit: plugin.limits().request_body,
        input: schemas.input,
        answer: schemas.answer,
        unenforced: schemas.unenforced,
        observed: ObserverSlot::default(),
        label,
    })
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
    let asked = match declared.extensions.iter().find(|(key, _)| key == "payment-flow") {
        Some((_, name)) => Some(Flow::parse(name).ok_or_else(|| InstallError::UnknownFlow {
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

/// The declared amount in each of the operator's assets that it can be paid in. An amount without a symbol is in US
/// dollars, and can be paid in every asset that is one.
fn offer(endpoint: &str, amount: &str, flow: Flow, policy: &SalesPolicy) -> Result<Offer, InstallError> {
    let price_error = |source| InstallError::Price { endpoint: endpoint.to_owned(), source };
    let decimal = Decimal::parse(amount).map_err(price_error)?;
    let mut prices = Vec::new();
    for accept in &policy.accepts {
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
