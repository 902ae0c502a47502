//! Holds a plugin's name to what its operator expects of it: a file, builds, a part of the paths, a range of prices.
//!
//! Grants, secrets and stored data belong to a name, and a component declares its name itself. With pins a component
//! that only has the name gets nothing of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use coinslot_plugin::PluginPolicies;
use coinslot_x402::price::{Amount, AmountError, Decimal, Price};

use crate::endpoint::{Access, Endpoint};

/// The conditions of the operator for the plugin of one name. An empty field is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginPins {
    /// The file of the plugin folder that it is in.
    pub file: Option<String>,
    /// The SHA-256 of the builds that may serve, in hex and lower case. Empty: any.
    pub sha256: Vec<String>,
    /// The beginning of all its paths, whole segments.
    pub prefix: Option<String>,
    pub min_price: Option<Decimal>,
    pub max_price: Option<Decimal>,
}

/// A plugin that is not what its operator expects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("`file` is {pinned}: a plugin of this name in another file is not served")]
    File { pinned: String },
    #[error("`sha256` does not have {sha256}, which is this build: add it to `sha256` if this build may serve")]
    Sha256 { sha256: String },
    #[error(
        "{endpoint} is neither `prefix`, which is {prefix}, nor below it: `mount = {prefix:?}` serves what the plugin \
         declares below that path"
    )]
    Prefix { prefix: String, endpoint: String },
    #[error("{endpoint} is free, and `min_price` is {least}")]
    Free { endpoint: String, least: String },
    #[error("{endpoint} costs {price}, and `min_price` is {least}")]
    TooCheap { endpoint: String, price: String, least: String },
    #[error("{endpoint} costs {price}, and `max_price` is {greatest}")]
    TooDear { endpoint: String, price: String, greatest: String },
    #[error("{endpoint} costs {price}, which cannot be compared with {bound}")]
    Incomparable { endpoint: String, price: String, bound: String },
    #[error("{endpoint}: {source}")]
    Bound { endpoint: String, source: AmountError },
}

/// The name that is expected of the plugin in a file, by which it finds its configuration when it is loaded: that of
/// the table which pins the file, or else the name that the file served before, or else the file's own.
pub fn expected_name<'n>(
    file: &'n str,
    former: Option<&'n str>,
    pins: impl IntoIterator<Item = (&'n String, &'n PluginPins)>,
) -> Option<&'n str> {
    let pinned = pins.into_iter().find(|(_, pins)| pins.file.as_deref() == Some(file));
    pinned.map(|(name, _)| name.as_str()).or(former).or(file.strip_suffix(".wasm"))
}

/// The policies under which a component may be loaded: those of the operator, without the configuration of each name
/// whose pins the component does not fit. A component declares its name itself, and could print what it is shown.
pub fn shown_policies<'p>(
    policies: &'p PluginPolicies,
    pins: &BTreeMap<String, PluginPins>,
    file: &str,
    sha256: &str,
) -> Cow<'p, PluginPolicies> {
    let mut shown = Cow::Borrowed(policies);
    for (name, pins) in pins {
        let has_configuration = policies.plugins.get(name).is_some_and(|own| !own.grants.config.is_empty());
        if has_configuration
            && pins.check_component(file, sha256).is_err()
            && let Some(own) = shown.to_mut().plugins.get_mut(name)
        {
            own.grants.config.clear();
        }
    }
    shown
}

impl PluginPins {
    /// Checks a build of the plugin: its file, the SHA-256 of its component, and its endpoints with their prices.
    ///
    /// The price of a quoted endpoint is the most that a request can cost. A free one is cheaper than any price.
    pub fn check(&self, file: &str, sha256: &str, endpoints: &[Arc<Endpoint>]) -> Result<(), PinError> {
        self.check_component(file, sha256)?;
        self.check_endpoints(endpoints)
    }

    /// Checks what is known of a build that is not loaded: its file, and the SHA-256 of its component.
    pub fn check_component(&self, file: &str, sha256: &str) -> Result<(), PinError> {
        if let Some(pinned) = &self.file
            && pinned != file
        {
            return Err(PinError::File { pinned: pinned.clone() });
        }
        if !self.sha256.is_empty() && self.sha256.iter().all(|pinned| pinned != sha256) {
            return Err(PinError::Sha256 { sha256: sha256.to_owned() });
        }
        Ok(())
    }

    fn check_endpoints(&self, endpoints: &[Arc<Endpoint>]) -> Result<(), PinError> {
        for endpoint in endpoints {
            if let Some(prefix) = &self.prefix
                && !is_below(endpoint.path.as_str(), prefix)
            {
                return Err(PinError::Prefix { prefix: prefix.clone(), endpoint: endpoint.label.clone() });
            }
            match (&endpoint.access, &self.min_price) {
                (Access::Free, Some(least)) => {
                    return Err(PinError::Free { endpoint: endpoint.label.clone(), least: shown(least) });
                }
                (Access::Free, None) => {}
                (Access::Paid(paid), _) => {
                    paid.offer.prices().iter().try_for_each(|price| self.check_price(&endpoint.label, price))?;
                }
            }
        }
        Ok(())
    }

    fn check_price(&self, endpoint: &str, price: &Price) -> Result<(), PinError> {
        let (endpoint, asset) = (endpoint.to_owned(), &price.asset);
        let text = || format!("{} {}", price.amount.decimal(asset.decimals), asset.symbol);
        let bound = |bound: &Decimal| {
            if !bound.may_be_in(asset) {
                let (endpoint, price, bound) = (endpoint.clone(), text(), shown(bound));
                return Err(PinError::Incomparable { endpoint, price, bound });
            }
            Amount::of(bound, asset).map_err(|source| PinError::Bound { endpoint: endpoint.clone(), source })
        };
        if let Some(least) = &self.min_price
            && price.amount < bound(least)?
        {
            return Err(PinError::TooCheap { endpoint, price: text(), least: shown(least) });
        }
        if let Some(greatest) = &self.max_price
            && price.amount > bound(greatest)?
        {
            return Err(PinError::TooDear { endpoint, price: text(), greatest: shown(greatest) });
        }
        Ok(())
    }
}

/// True if a path is the prefix, or lies below it.
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn shown(bound: &Decimal) -> String {
    format!("{} {}", bound.digits, bound.symbol.as_deref().unwrap_or("US dollars"))
}

#[cfg(test)]
mod tests {
    use coinslot_x402::price::Asset;

    use super::*;

    #[test]
    fn a_prefix_ends_at_the_end_of_a_segment() {
        for (path, prefix, is_inside) in [
            ("/rates", "/rates", true),
            ("/rates", "/rates/", true),
            ("/rates/{pair}", "/rates/", true),
            ("/rates2", "/rates", false),
            ("/", "/rates", false),
            ("/{any}", "/rates", false),
            ("/anything", "/", true),
        ] {
            assert_eq!(is_below(path, prefix), is_inside, "{path} {prefix}");
        }
    }

    #[test]
    fn a_name_belongs_to_its_file_and_its_builds() {
        let pins = PluginPins {
            file: Some("rates.wasm".to_owned()),
            sha256: vec!["aa".to_owned(), "bb".to_owned()],
            ..PluginPins::default()
        };
        assert_eq!(pins.check("rates.wasm", "bb", &[]), Ok(()));
        assert_eq!(pins.check("aaa.wasm", "bb", &[]), Err(PinError::File { pinned: "rates.wasm".to_owned() }));
        assert_eq!(pins.check("rates.wasm", "cc", &[]), Err(PinError::Sha256 { sha256: "cc".to_owned() }));
    }

    #[test]
    fn prices_outside_of_the_bounds_are_refused_and_so_is_what_cannot_be_compared() {
        let usdc = Arc::new(Asset::known(&coinslot_x402::Network::eip155(84532), None).expect("USDC"));
        let price = |units: u64| Price {
            amount: Amount(alloy::primitives::U256::from(units)),
            asset: Arc::clone(&usdc),
            pay_to: "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42".into(),
            max_timeout_seconds: 60,
            flow: coinslot_x402::Flow::Authorization,
            quote: None,
            versions: coinslot_x402::Versions::Both,
        };
        let decimal = |text: &str| Decimal::parse(text).expect("an amount");
        let pins =
            PluginPins { min_price: Some(decimal("0.01")), max_price: Some(decimal("0.05")), ..PluginPins::default() };
        for (units, fits) in [(9_999, false), (10_000, true), (50_000, true), (50_001, false)] {
            assert_eq!(pins.check_price("GET /x", &price(units)).is_ok(), fits, "{units}");
        }
        let pins = PluginPins { max_price: Some(decimal("1 EURC")), ..PluginPins::default() };
        let refused = pins.check_price("GET /x", &price(1)).expect_err("other money");
        assert!(matches!(refused, PinError::Incomparable { .. }), "{refused}");
    }
}
