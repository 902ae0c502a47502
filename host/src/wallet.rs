//! Paying other endpoints: reading what they ask for, choosing within a budget, signing once.
//!
//! A wallet pays tokens that it knows, with the EIP-712 domain that it knows, and nothing above its
//! limit. It does no I/O: whoever uses it carries the request and the signed payment, and must not
//! have a second payment signed while the outcome of the first is open.

mod challenge;
#[cfg(test)]
mod tests;

use alloy::primitives::{Address, B256, U256};
use serde_json::json;

use coinslot_evm::{Key, KeyError};
use coinslot_x402::exact::{Authorization, Domain};
use coinslot_x402::price::{Amount, AmountError, Asset, Decimal};
use coinslot_x402::{Network, Object, UnixTime, Version, header};

pub use challenge::{Challenge, ChallengeError, Entry};

/// An authorisation is never valid for longer than this, in seconds, whatever the seller asks for.
const MAX_VALIDITY: u64 = 3_600;

/// What may be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The most for one payment, in US dollars' worth of a known token, or in the token named.
    pub max: Decimal,
    /// Only on this network.
    pub network: Option<Network>,
}

/// Why nothing is paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Every price that could be paid is above the limit; this is the lowest.
    #[error("the price is {price} {symbol} on {network}, above the limit of {max}")]
    TooDear { price: String, symbol: String, network: Network, max: String },
    /// Nothing that could be paid.
    #[error("none of the ways to pay can be used: {0}")]
    NothingUsable(String),
}

/// A payment that is signed. Sending it again is the same payment.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPayment {
    /// `payment-signature` or `x-payment`.
    pub header: &'static str,
    /// What to send in it.
    pub value: String,
    pub payer: Address,
    pub nonce: B256,
    /// Until when the seller can take the money.
    pub expires: UnixTime,
}

impl std::fmt::Debug for SignedPayment {
    /// Without the signature, which is as good as the money.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedPayment").field("payer", &self.payer).field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

impl Policy {
    /// The first entry that is supported and within the limit.
    pub fn choose<'c>(&self, challenge: &'c Challenge) -> Result<&'c Entry, Declined> {
        let on_network = |entry: &&Entry| self.network.as_ref().is_none_or(|network| entry.asset.network == *network);
        let mut dear: Option<&Entry> = None;
        for entry in challenge.entries.iter().filter(on_network) {
            match self.limit(&entry.asset) {
                Some(limit) if entry.amount <= limit => return Ok(entry),
                Some(_) if dear.is_none_or(|other| entry.amount < other.amount) => {
                    dear = Some(entry);
                }
                _ => {}
            }
        }
        if let Some(entry) = dear {
            return Err(Declined::TooDear {
                price: entry.amount.decimal(entry.asset.decimals),
                symbol: entry.asset.symbol.clone(),
                network: entry.asset.network.clone(),
                max: self.max.digits.clone(),
            });
        }
        let mut reasons = challenge.unusable.clone();
        if let Some(network) = &self.network
            && !challenge.entries.is_empty()
        {
            reasons.push(format!("none of the others is on {network}"));
        }
        if reasons.is_empty() {
            reasons.push("there are none".to_owned());
        }
        Err(Declined::NothingUsable(reasons.join("; ")))
    }

    /// The limit in an asset's units; none if it is a limit of another asset.
    fn limit(&self, asset: &Asset) -> Option<Amount> {
        match Amount::of(&self.max, asset) {
            Ok(amount) => Some(amount),
            Err(AmountError::Zero(_)) => Some(Amount(U256::ZERO)),
            Err(AmountError::TooLarge(_)) => Some(Amount(U256::MAX)),
            Err(_) => None,
        }
    }
}

/// Signs the payment of one entry.
///
/// Version 1 sellers expect an authorisation that began ten minutes ago, version 2 sellers one
/// that began with time.
pub fn sign(key: &Key, challenge: &Challenge, entry: &Entry, now: UnixTime) -> Result<SignedPayment, KeyError> {
    let valid_after = match challenge.version {
        Version::V1 => now.0.saturating_sub(600),
        Version::V2 => 0,
    };
    let expires = now.plus(entry.max_timeout_seconds.min(MAX_VALIDITY));
    let authorization = Authorization {
        from: key.address(),
        to: entry.pay_to,
        value: entry.amount.0,
        valid_after: U256::from(valid_after),
        valid_before: U256::from(expires.0),
        nonce: B256::from(secp256k1::rand::random::<[u8; 32]>()),
    };
    let domain = Domain::new(&entry.domain.name, &entry.domain.version, entry.chain_id, entry.token);
    let signature = key.sign(domain.digest(&authorization))?;
    let payload = json!({
        "signature": format!("0x{}", hex::encode(signature.as_bytes())),
        "authorization": {
            "from": authorization.from.to_string(),
            "to": authorization.to.to_string(),
            "value": authorization.value.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce.to_string(),
        },
    });
    let mut document = Object::new();
    let header = match challenge.version {
        Version::V1 => {
            document.insert("x402Version".to_owned(), 1.into());
            for key in ["scheme", "network"] {
                let value = entry.raw.get(key).cloned().unwrap_or_default();
                document.insert(key.to_owned(), value);
            }
            document.insert("payload".to_owned(), payload);
            header::X_PAYMENT
        }
        Version::V2 => {
            document.insert("x402Version".to_owned(), 2.into());
            if let Some(resource) = &challenge.resource {
                document.insert("resource".to_owned(), resource.clone());
            }
            document.insert("accepted".to_owned(), entry.raw.clone().into());
            document.insert("payload".to_owned(), payload);
            if let Some(extensions) = &challenge.extensions {
                document.insert("extensions".to_owned(), extensions.clone());
            }
            header::PAYMENT_SIGNATURE
        }
    };
    Ok(SignedPayment {
        header,
        value: header::encode(&document),
        payer: authorization.from,
        nonce: authorization.nonce,
        expires,
    })
}
