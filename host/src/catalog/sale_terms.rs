//! Chooses the assets in which a plugin or a route is paid, and their receivers, among those of the operator.

use std::fmt;
use std::sync::Arc;

use coinslot_x402::price::{Accept, Asset};
use coinslot_x402::{Network, NetworkNameError};

/// The assets and receivers of a plugin or of one route. The default leaves both as they are for all plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaleTerms {
    /// The assets, the preferred first.
    pub accept: Option<Vec<AcceptName>>,
    /// The receivers.
    pub pay_to: Vec<Receiver>,
}

/// The receiver of payments in some assets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// None: in all assets.
    pub of: Option<AcceptName>,
    /// The checksummed address.
    pub pay_to: Arc<str>,
}

/// The name of the `[[accept]]` entries of a network, `base`, or of one of them, `base/USDC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptName {
    network: Network,
    /// The symbol or the contract.
    asset: Option<String>,
}

impl AcceptName {
    /// Parses a network, or a network and behind a slash a symbol or a contract.
    pub fn parse(text: &str) -> Result<Self, NetworkNameError> {
        let (network, asset) = match text.split_once('/') {
            Some((network, asset)) => (network, Some(asset.to_owned())),
            None => (text, None),
        };
        Ok(Self { network: Network::parse_name(network)?, asset })
    }

    /// The name of one asset.
    pub fn of(asset: &Asset) -> Self {
        Self { network: asset.network.clone(), asset: Some(asset.symbol.clone()) }
    }

    /// True if it names this asset.
    pub fn names(&self, asset: &Asset) -> bool {
        let is_it =
            |name: &String| name.eq_ignore_ascii_case(&asset.symbol) || name.eq_ignore_ascii_case(&asset.address);
        self.network == asset.network && self.asset.as_ref().is_none_or(is_it)
    }
}

impl fmt::Display for AcceptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)?;
        self.asset.iter().try_for_each(|asset| write!(f, "/{asset}"))
    }
}

impl SaleTerms {
    /// The receiver of payments in this asset: the one that is named for it, or for its network, or for all.
    pub fn receiver(&self, asset: &Asset) -> Option<&Arc<str>> {
        let names = |receiver: &&Receiver| receiver.of.as_ref().is_none_or(|name| name.names(asset));
        let found = self.pay_to.iter().filter(names);
        let exactness = |receiver: &&Receiver| match &receiver.of {
            None => 0,
            Some(AcceptName { asset: None, .. }) => 1,
            Some(AcceptName { asset: Some(_), .. }) => 2,
        };
        found.max_by_key(exactness).map(|receiver| &receiver.pay_to)
    }

    /// The assets of the operator that remain under these terms, of which the first that says something counts, in the
    /// order in which they are named.
    pub(super) fn choose(accepts: &[Accept], terms: [Option<&Self>; 2]) -> Vec<Accept> {
        let named = terms.into_iter().flatten().find_map(|terms| terms.accept.as_ref());
        let mut chosen: Vec<Accept> = Vec::new();
        match named {
            None => chosen.extend(accepts.iter().cloned()),
            Some(names) => {
                for accept in names.iter().flat_map(|name| accepts.iter().filter(|accept| name.names(&accept.asset))) {
                    // A network and one of its assets may both be named.
                    if !chosen.iter().any(|other| other.asset == accept.asset) {
                        chosen.push(accept.clone());
                    }
                }
            }
        }
        for accept in &mut chosen {
            let receiver = terms.into_iter().flatten().find_map(|terms| terms.receiver(&accept.asset));
            if let Some(pay_to) = receiver {
                accept.pay_to = Arc::clone(pay_to);
            }
        }
        chosen
    }

    /// The keys `accept` and `pay_to` of the terms that count, with their values for people.
    pub(super) fn shown(terms: [Option<&Self>; 2]) -> Vec<(&'static str, String)> {
        let accept = terms.into_iter().flatten().find_map(|terms| terms.accept.as_ref());
        let accept = accept.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        // A receiver of the route hides only those of the plugin for the same assets, and for all if it is for all.
        let mut receivers: Vec<&Receiver> = Vec::new();
        for terms in terms.into_iter().flatten() {
            if receivers.iter().any(|known| known.of.is_none()) {
                break;
            }
            let is_new = |receiver: &&Receiver| receivers.iter().all(|known| known.of != receiver.of);
            let new: Vec<_> = terms.pay_to.iter().filter(is_new).collect();
            receivers.extend(new);
        }
        let receivers: Vec<String> = receivers.into_iter().map(ToString::to_string).collect();
        let pay_to = (!receivers.is_empty()).then(|| receivers.join(", "));
        accept.map(|text| ("accept", text)).into_iter().chain(pay_to.map(|text| ("pay_to", text))).collect()
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Some(name) => write!(f, "{name}: {}", self.pay_to),
            None => f.write_str(&self.pay_to),
        }
    }
}
