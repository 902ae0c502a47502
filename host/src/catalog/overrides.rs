//! Applies what an operator changes of a plugin without a rebuild: its paths, and of single routes the price, the texts,
//! the pass, the assets and the receiver, or whether they are served at all.
//!
//! The result is a list of endpoints of the same kind as the declared one, and everything else reads that list: schemas,
//! routes, challenges, pins. What differs from the declaration is told by [`RouteChange`], for people.

use std::collections::BTreeMap;

use coinslot_ledger::PassTerms;
use coinslot_plugin::{DeclaredPrice, EndpointInfo, PluginInfo, Template, TemplateError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sale_terms::SaleTerms;

/// The changes of the plugin of one name. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginOverrides {
    /// The path below which all its routes are served.
    pub mount: Option<Template>,
    /// The assets and receivers of all its routes.
    pub terms: SaleTerms,
    /// Single routes, by method and declared path, as in `GET /now`.
    pub routes: BTreeMap<String, RouteOverrides>,
}

/// The changes of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOverrides {
    /// The route is not served: requests for it are not found.
    pub is_off: bool,
    pub price: Option<PriceOverride>,
    pub summary: Option<String>,
    pub description: Option<String>,
    pub pass: Option<PassOverride>,
    /// Its own assets and receivers, which stand before those of the plugin.
    pub terms: SaleTerms,
}

/// A price that stands in the place of the declared one, amounts as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceOverride {
    Free,
    /// The same for each request.
    Exact(String),
    /// The most that a quote of the plugin may ask.
    AtMost(String),
}

/// A pass that stands in the place of the declared one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOverride {
    /// A payment buys its answer alone.
    Off,
    Terms(PassTerms),
}

/// The key of the declared pass in the extensions of an endpoint.
pub(super) const PASS: &str = "pass";

/// Overrides that do not fit what the plugin declares. It displays as the rest of the path of a key, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    #[error("routes.{route:?}: the plugin declares no such route; there is {}", declared.join(", "))]
    NoSuchRoute { route: String, declared: Vec<String> },
    #[error(
        "routes.{route:?}.price: the plugin quotes the price of each request: write `max_price` for the most that a quote \
         may ask, or `price = \"free\"`"
    )]
    Quoted { route: String },
    #[error("routes.{route:?}.max_price: the plugin quotes no price there, and declares {declared}: write `price`")]
    NotQuoted { route: String, declared: String },
    #[error("routes.{route:?}.pass: the route is free, and nobody buys a pass: leave it out, or write a `price`")]
    FreePass { route: String },
    #[error("mount: {route} cannot be served below {mount}: {source}")]
    Mount { route: String, mount: String, source: TemplateError },
}

/// A fact about a route that is not as its plugin declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteChange {
    /// The method and the path that is served, as in `GET /v1/now`.
    pub route: String,
    /// The key that changes it: `mount`, `price`, `summary`, `description`, `pass`, `accept`, `pay_to` or `enabled`.
    pub key: String,
    /// The declared value. Empty if plugins do not declare it.
    pub declared: String,
    pub effective: String,
}

impl PluginOverrides {
    /// The endpoints as they are served, in the order of the declared ones, with those that are off. Fails if a route is
    /// changed that the plugin does not declare, or in a way that does not fit it.
    pub fn apply(&self, info: &PluginInfo) -> Result<Vec<EndpointInfo>, OverrideError> {
        let labels = || info.endpoints.iter().map(EndpointInfo::label);
        if let Some(route) = self.routes.keys().find(|route| labels().all(|label| label != **route)) {
            return Err(OverrideError::NoSuchRoute { route: route.clone(), declared: labels().collect() });
        }
        info.endpoints.iter().map(|declared| self.served(declared)).collect()
    }

    /// The changes of one of the plugin's endpoints, if it has its own.
    pub fn of_route(&self, declared: &EndpointInfo) -> Option<&RouteOverrides> {
        self.routes.get(&declared.label())
    }

    /// True if an endpoint is not served.
    pub fn is_off(&self, declared: &EndpointInfo) -> bool {
        self.of_route(declared).is_some_and(|route| route.is_off)
    }

    /// The assets and receivers of an endpoint: its own, and behind them those of the plugin.
    pub(super) fn terms(&self, declared: &EndpointInfo) -> [Option<&SaleTerms>; 2] {
        [self.of_route(declared).map(|route| &route.terms), Some(&self.terms)]
    }

    /// All assets and receivers that any of its routes may have.
    pub fn all_terms(&self) -> impl Iterator<Item = &SaleTerms> {
        std::iter::once(&self.terms).chain(self.routes.values().map(|route| &route.terms))
    }

    /// Leaves assets and receivers as they are for other plugins: those of a development chain are none that an operator
    /// has named.
    #[cfg(feature = "dev")]
    pub fn without_terms(mut self) -> Self {
        self.terms = SaleTerms::default();
        self.routes.values_mut().for_each(|route| route.terms = SaleTerms::default());
        self
    }

    /// The routes that are sold or not sold by a decision of the operator, see
    /// [`PluginPolicy::sold`](coinslot_plugin::PluginPolicy::sold).
    pub(crate) fn sold(&self) -> BTreeMap<String, bool> {
        let decided = |(label, route): (&String, &RouteOverrides)| {
            let is_sold = match &route.price {
                _ if route.is_off => false,
                None => return None,
                Some(price) => *price != PriceOverride::Free,
            };
            Some((label.clone(), is_sold))
        };
        self.routes.iter().filter_map(decided).collect()
    }

    /// The facts that are not as the plugin declares them, of its endpoints in their order. `served` is the result of
    /// [`PluginOverrides::apply`].
    pub fn changes(&self, info: &PluginInfo, served: &[EndpointInfo]) -> Vec<RouteChange> {
        info.endpoints.iter().zip(served).flat_map(|(declared, served)| self.changes_of(declared, served)).collect()
    }

    fn changes_of(&self, declared: &EndpointInfo, served: &EndpointInfo) -> Vec<RouteChange> {
        let change = |key: &str, declared: String, effective: String| RouteChange {
            route: served.label(),
            key: key.to_owned(),
            declared,
            effective,
        };
        if self.is_off(declared) {
            return vec![change("enabled", "true".to_owned(), "false".to_owned())];
        }
        let texts = [
            ("mount", declared.path.to_string(), served.path.to_string()),
            ("price", declared.price.to_string(), served.price.to_string()),
            ("summary", declared.summary.clone(), served.summary.clone()),
            ("description", declared.description.clone(), served.description.clone()),
        ];
        // A declared pass that its price rules out is left out by the host, and not by the configuration.
        let decides_pass = self.of_route(declared).is_some_and(|route| route.pass.is_some());
        let pass = decides_pass.then(|| (PASS, shown_pass(declared), shown_pass(served)));
        let texts = texts.into_iter().chain(pass).filter(|(_, declared, effective)| declared != effective);
        let mut changes: Vec<_> = texts.map(|(key, declared, effective)| change(key, declared, effective)).collect();
        // Nobody pays for a free endpoint, whoever would get the money.
        if served.price != DeclaredPrice::Free {
            let terms = SaleTerms::shown(self.terms(declared)).into_iter();
            changes.extend(terms.map(|(key, effective)| change(key, String::new(), effective)));
        }
        changes
    }

    fn served(&self, declared: &EndpointInfo) -> Result<EndpointInfo, OverrideError> {
        let mut served = declared.clone();
        if let Some(mount) = &self.mount {
            let failed = |source| OverrideError::Mount { route: declared.label(), mount: mount.to_string(), source };
            served.path = declared.path.below(mount).map_err(failed)?;
        }
        let Some(RouteOverrides { is_off: _, price, summary, description, pass, terms: _ }) = self.of_route(declared)
        else {
            leave_pass_out(&mut served);
            return Ok(served);
        };
        if let Some(price) = price {
            served.price = price.in_place_of(declared)?;
        }
        served.summary = summary.clone().unwrap_or(served.summary);
        served.description = description.clone().unwrap_or(served.description);
        match pass {
            None => leave_pass_out(&mut served),
            Some(PassOverride::Off) => remove_pass(&mut served),
            Some(PassOverride::Terms(_)) if served.price == DeclaredPrice::Free => {
                return Err(OverrideError::FreePass { route: declared.label() });
            }
            Some(PassOverride::Terms(terms)) => {
                remove_pass(&mut served);
                served.extensions.push((PASS.to_owned(), terms.written()));
            }
        }
        Ok(served)
    }
}

/// The value of one of an endpoint's extensions.
pub(super) fn extension<'i>(endpoint: &'i EndpointInfo, key: &str) -> Option<&'i str> {
    endpoint.extensions.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
}

fn remove_pass(endpoint: &mut EndpointInfo) {
    endpoint.extensions.retain(|(key, _)| key != PASS);
}

/// Leaves the declared pass of an endpoint out where it has none by the plugin's word alone: nobody buys one where nothing
/// is paid, and where each request has its own price a plugin's author could not tell which of them a pass is worth.
fn leave_pass_out(endpoint: &mut EndpointInfo) {
    if matches!(endpoint.price, DeclaredPrice::Free | DeclaredPrice::Quoted(_)) {
        remove_pass(endpoint);
    }
}

/// The pass of an endpoint for people. Empty: there is none.
fn shown_pass(endpoint: &EndpointInfo) -> String {
    let text = extension(endpoint, PASS).unwrap_or_default();
    PassTerms::parse(text).map_or_else(|_| text.to_owned(), |terms| terms.to_string())
}

impl PriceOverride {
    /// The price of an endpoint that declares another one. A quote and a price for each request do not take the place of
    /// each other: the operator would sell by a rule that the plugin does not have. A metered price stays what it is,
    /// which is refused later.
    fn in_place_of(&self, declared: &EndpointInfo) -> Result<DeclaredPrice, OverrideError> {
        let route = || declared.label();
        match (&declared.price, self) {
            (DeclaredPrice::UpTo(amount), _) => Ok(DeclaredPrice::UpTo(amount.clone())),
            (_, Self::Free) => Ok(DeclaredPrice::Free),
            (DeclaredPrice::Free | DeclaredPrice::Exact(_), Self::Exact(price)) => {
                Ok(DeclaredPrice::Exact(price.clone()))
            }
            (DeclaredPrice::Quoted(_), Self::AtMost(price)) => Ok(DeclaredPrice::Quoted(price.clone())),
            (DeclaredPrice::Quoted(_), Self::Exact(_)) => Err(OverrideError::Quoted { route: route() }),
            (DeclaredPrice::Free | DeclaredPrice::Exact(_), Self::AtMost(_)) => {
                Err(OverrideError::NotQuoted { route: route(), declared: declared.price.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &str = "seconds=60; requests=5";

    /// A plugin with one endpoint at this price, which declares a pass.
    fn plugin(price: DeclaredPrice) -> PluginInfo {
        let endpoint = EndpointInfo {
            method: http::Method::GET,
            path: Template::parse("/a").expect("a path"),
            price,
            summary: String::new(),
            description: String::new(),
            mime_type: "text/plain".to_owned(),
            input_schema: None,
            output_schema: None,
            quote_headers: Vec::new(),
            extensions: vec![("other".to_owned(), "1".to_owned()), (PASS.to_owned(), DECLARED.to_owned())],
        };
        PluginInfo { name: "a".to_owned(), version: "1.0.0".to_owned(), endpoints: vec![endpoint] }
    }

    #[test]
    fn the_pass_of_the_operator_stands_before_the_declared_one_which_quoted_and_free_routes_do_not_have() {
        let (exact, quoted) = (DeclaredPrice::Exact("0.01".to_owned()), DeclaredPrice::Quoted("1".to_owned()));
        let terms = PassOverride::Terms(PassTerms::new(60, 7).expect("terms"));
        for (price, operator, pass) in [
            (&exact, None, Some(DECLARED)),
            (&exact, Some(terms), Some("seconds=60; requests=7")),
            (&exact, Some(PassOverride::Off), None),
            (&quoted, None, None),
            (&quoted, Some(terms), Some("seconds=60; requests=7")),
            (&quoted, Some(PassOverride::Off), None),
            (&DeclaredPrice::Free, None, None),
            (&DeclaredPrice::Free, Some(PassOverride::Off), None),
        ] {
            let route = RouteOverrides { pass: operator, ..RouteOverrides::default() };
            let routes = operator.map(|_| ("GET /a".to_owned(), route)).into_iter().collect();
            let overrides = PluginOverrides { routes, ..PluginOverrides::default() };
            let info = plugin(price.clone());
            let served = overrides.apply(&info).expect("overrides that fit");
            assert_eq!(extension(&served[0], PASS), pass, "{price:?}, {operator:?}");
            assert_eq!(extension(&served[0], "other"), Some("1"));
            let changes = overrides.changes(&info, &served);
            assert_eq!(changes.iter().filter(|change| change.key == "pass").count(), usize::from(operator.is_some()));
        }
        let route = RouteOverrides { pass: Some(terms), ..RouteOverrides::default() };
        let free = PluginOverrides { routes: [("GET /a".to_owned(), route)].into(), ..PluginOverrides::default() };
        let refused = free.apply(&plugin(DeclaredPrice::Free));
        assert_eq!(refused, Err(OverrideError::FreePass { route: "GET /a".to_owned() }));
    }
}
