//! One route of an active plugin, with its price and every text about it that can be made at load.
//!
//! Plain data: the router finds an [`Endpoint`], the catalogue makes it, and a purchase holds on to it. It imports
//! none of them.

#[cfg(test)]
pub(crate) mod testing;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use coinslot_ledger::PassTerms;
use coinslot_plugin::{DeclaredPrice, EndpointInfo, Plugin, Template};
use coinslot_x402::Flow;
use coinslot_x402::price::{Challenge, Offer, Resource};
use http::{HeaderName, Method};

use crate::example::ExampleRequest;
use crate::recent::RecentDurations;
use crate::schema::{AnswerSchema, InputSchema, Unenforced};

/// A route of a plugin, priced by the operator's policy.
#[derive(Debug)]
pub struct Endpoint {
    /// The plugin that answers.
    pub plugin: Arc<Plugin>,
    /// Its place among the endpoints that the plugin declares.
    pub index: usize,
    /// The declared method; `HEAD` finds the endpoint of `GET`.
    pub method: Method,
    /// The path template that requests are matched with: the declared one, below the mount.
    pub path: Template,
    /// The path that the operator has put before the declared one.
    pub mount: Option<Template>,
    /// The method and the path template, as in `GET /api/gitignore`: the endpoint's name in the ledger and in messages.
    pub label: String,
    /// The public URL with the path template and without a query. A challenge with this URL fits into its header, which
    /// the catalogue proves at load; a challenge with a request's own URL may not.
    pub url: String,
    /// The texts about it in challenges and listings, apart from its URL.
    pub resource: Resource,
    /// Free, or its price.
    pub access: Access,
    /// The origin of the pages that it answers with.
    pub pages: PluginPages,
    /// The header fields that `quote` sees, and that the seal of a quote binds.
    pub quote_headers: Vec<HeaderName>,
    /// Largest request body, in bytes.
    pub request_limit: u64,
    /// The declared schema of its input. None: nothing is declared, the host cannot enforce it, or the operator has
    /// disabled it.
    pub input: Option<InputSchema>,
    /// The declared schema of its answers, where answers are checked.
    pub answer: Option<Arc<AnswerSchema>>,
    /// The declared schemas, and the patterns of them, that the host does not enforce.
    pub unenforced: Vec<Unenforced>,
    /// A request that fits the input schema. None: none could be made in time.
    pub example: Option<ExampleRequest>,
    /// The durations of its last answers.
    pub recent: RecentDurations,
    /// Room for a value of an observer of requests.
    pub observed: ObserverSlot,
}

/// The origin that browsers give to the pages of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PluginPages {
    /// One of their own for each document: no storage of the host's pages, no visitor's pass, no wallet that the host's
    /// pages were connected to.
    #[default]
    Sandboxed,
    /// The host's, which the operator trusts the plugin with.
    SameOrigin,
}

/// Room for one value of an observer, whose type only the observer knows.
#[derive(Debug, Default)]
pub struct ObserverSlot(OnceLock<Box<dyn Any + Send + Sync>>);

impl ObserverSlot {
    /// The value, which is made when it is first asked for. None if another observer has put one of another type here.
    pub fn get_or_init<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.0.get_or_init(|| Box::new(make())).downcast_ref()
    }
}

/// The price of an endpoint. An endpoint is free only if its plugin declares so.
#[derive(Debug)]
pub enum Access {
    /// No payment is asked for, and none is looked at.
    Free,
    /// Answered only for a payment. Shared, so that a purchase can hold on to it.
    Paid(Arc<PaidAccess>),
}

/// The price of a paid endpoint.
#[derive(Debug)]
pub struct PaidAccess {
    /// The price of each request, or the most that one can cost if the price is quoted.
    pub offer: Offer,
    /// Set if the plugin quotes the price of each request.
    pub quoted: bool,
    /// The declared price, if the operator has put another in its place: the plugin goes on quoting by it.
    pub replaces: Option<DeclaredPrice>,
    /// The payment flow that the plugin declares, within the operator's policy.
    pub flow: Flow,
    /// The pass that a payment buys beside its answer.
    pub pass: Option<PassTerms>,
    /// The encoded challenge for a request without a payment and without a query. None where the path template has
    /// parameters: then each request's challenge names its own path.
    pub challenge: Option<Challenge>,
}

impl Endpoint {
    /// The plugin's own declaration of it. The operator may serve it elsewhere, for another price and with other texts.
    pub fn declared(&self) -> &EndpointInfo {
        &self.plugin.info().endpoints[self.index]
    }

    /// The pass that a payment for it buys beside its answer, as every listing shows it.
    pub fn pass(&self) -> Option<PassTerms> {
        match &self.access {
            Access::Paid(paid) => paid.pass,
            Access::Free => None,
        }
    }

    /// The declaration with the operator's changes of path and texts.
    pub fn info(&self) -> EndpointInfo {
        EndpointInfo {
            path: self.path.clone(),
            summary: self.resource.summary.clone(),
            description: self.resource.description.clone(),
            ..self.declared().clone()
        }
    }

    /// The path of a request as its guest sees it: without the mount, and so one of the declared template. `path` is
    /// canonical, and one that the endpoint's template matches.
    pub fn guest_path<'p>(&self, path: &'p str) -> &'p str {
        let mount = self.mount.as_ref().map_or("", Template::as_str);
        match path.strip_prefix(mount).unwrap_or(path) {
            "" => "/",
            rest => rest,
        }
    }
}

impl Access {
    /// The prices in all assets, with their networks and receivers.
    pub fn terms(&self) -> String {
        let Self::Paid(paid) = self else { return self.to_string() };
        let quoted = if paid.quoted { "quoted, at most " } else { "" };
        let prices = paid.offer.prices().iter().map(|price| {
            let amount = price.amount.decimal(price.asset.decimals);
            format!("{quoted}{amount} {} on {} to {}", price.asset.symbol, price.asset.network, price.pay_to)
        });
        prices.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Access {
    /// `0.01 USDC`, `free`, `quoted, at most 0.50 USDC`: in the preferred asset.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Paid(paid) = self else { return f.write_str("free") };
        let price = &paid.offer.prices()[0];
        let quoted = if paid.quoted { "quoted, at most " } else { "" };
        write!(f, "{quoted}{} {}", price.amount.decimal(price.asset.decimals), price.asset.symbol)
    }
}
