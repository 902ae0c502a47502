//! Writes the values of settings as the file takes them.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::U256;
use alloy::primitives::utils::format_units;
use coinslot_base::units::{shown_duration, shown_size};
use coinslot_evm::Ether;
use coinslot_x402::price::Decimal;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::Value;

/// A value of the configuration. None: it is not set.
pub(super) trait Written {
    fn written(&self) -> Option<Value>;
}

/// A size in bytes.
pub(super) struct Size(pub(super) u64);

/// An amount of the chain's own currency, in wei.
pub(super) struct Wei(pub(super) U256);

/// A price of a unit of gas, in wei.
pub(super) struct GasPrice(pub(super) u128);

/// A list of things.
pub(super) struct Entries<T>(pub(super) Vec<T>);

impl Size {
    pub(super) fn of(bytes: usize) -> Self {
        Self(bytes as u64)
    }
}

fn one(text: impl Display) -> Option<Value> {
    Some(Value::One(text.to_string()))
}

macro_rules! written_as_displayed {
    ($($type:ty),*) => { $(impl Written for $type { fn written(&self) -> Option<Value> { one(self) } })* };
}

written_as_displayed!(bool, u8, u32, u64, usize, f64, str, String, SocketAddr);

impl<T: Written + ?Sized> Written for &T {
    fn written(&self) -> Option<Value> {
        (*self).written()
    }
}

impl<T: Written> Written for Option<T> {
    fn written(&self) -> Option<Value> {
        self.as_ref().and_then(Written::written)
    }
}

impl Written for Duration {
    fn written(&self) -> Option<Value> {
        one(shown_duration(*self))
    }
}

impl Written for PathBuf {
    fn written(&self) -> Option<Value> {
        one(self.display())
    }
}

impl Written for Size {
    fn written(&self) -> Option<Value> {
        one(shown_size(self.0))
    }
}

impl Written for Wei {
    fn written(&self) -> Option<Value> {
        one(Ether(self.0))
    }
}

impl Written for GasPrice {
    fn written(&self) -> Option<Value> {
        let digits = format_units(self.0, "gwei").unwrap_or_else(|_| self.0.to_string());
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
        one(format_args!("{digits} gwei"))
    }
}

impl Written for Decimal {
    fn written(&self) -> Option<Value> {
        one(decimal(self))
    }
}

impl Written for Url {
    fn written(&self) -> Option<Value> {
        one(public_part(self))
    }
}

impl<T: Display> Written for Entries<T> {
    fn written(&self) -> Option<Value> {
        Some(Value::List(self.0.iter().map(ToString::to_string).collect()))
    }
}

/// A price of the configuration: a dollar, or so much of a symbol.
pub(super) fn decimal(price: &Decimal) -> String {
    match &price.symbol {
        Some(symbol) => format!("{} {symbol}", price.digits),
        None => price.digits.clone(),
    }
}

/// The part of a URL that everybody may see: its origin, and the beginning of its digest. User, path and query may be
/// what admits a client to the server.
pub(in crate::config) fn public_part(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    if url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none() {
        return format!("{origin}/");
    }
    let digest = hex::encode(&Sha256::digest(url.as_str())[..4]);
    format!("{origin}/..{digest}")
}
