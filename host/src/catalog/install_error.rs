//! The reasons why a plugin cannot be sold, and those that its declaration alone shows.

use coinslot_ledger::PassTermsError;
use coinslot_plugin::{DeclaredPrice, EndpointInfo};
use coinslot_x402::price::{Amount, AmountError, Asset, Decimal, TooLarge};
use coinslot_x402::{Flow, Network};

use super::overrides::OverrideError;
use super::pins::PinError;

/// The chain ID of Base. The tokens that hosts know by their symbols have the decimals of its USDC.
const BASE: u64 = 8453;

/// The most header fields that a price may depend on.
pub(super) const MAX_QUOTE_HEADERS: usize = 16;

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
    #[error("{endpoint}: `pass` is {written:?}: {source}")]
    Pass { endpoint: String, written: String, source: PassTermsError },
    #[error("{endpoint}: {source}")]
    Challenge { endpoint: String, source: TooLarge },
    #[error("{endpoint}: paths under `/.well-known/` belong to the host: declare another path")]
    ReservedPath { endpoint: String },
    #[error("{endpoint}: the host serves {what} at this path: {advice}")]
    HostServes { endpoint: String, what: &'static str, advice: String },
    #[error("no thread could be started to compile its schemas: {reason}")]
    SchemaThread { reason: String },
    #[error("plugin.{plugin}: {source}")]
    Pinned { plugin: String, source: PinError },
    #[error("plugin.{plugin}.{source}")]
    Override { plugin: String, source: OverrideError },
    #[error("{endpoint}: none of the assets that `accept` names for it in its [plugin.NAME] is taken")]
    NotTaken { endpoint: String },
    /// A line for each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Self>),
}

impl InstallError {
    /// One error for all of them, so that an author reads every endpoint that has one. None if there are none.
    pub(super) fn joined(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() < 2 { errors.pop() } else { Some(Self::Several(errors)) }
    }

    /// The errors of the endpoints at a metered price. None if there is no such endpoint.
    pub fn of_metered(endpoints: &[EndpointInfo]) -> Option<Self> {
        let metered = endpoints.iter().filter(|declared| matches!(declared.price, DeclaredPrice::UpTo(_)));
        let error = |metered: &EndpointInfo| Self::Metered { endpoint: metered.label() };
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
            let endpoint = declared.label();
            amount.err().map(|source| Self::Price { endpoint, source })
        });
        Self::joined(errors.collect())
    }
}
