//! Chooses what is paid, within a limit.

use alloy::primitives::U256;
use coinslot_x402::Network;
use coinslot_x402::price::{Amount, AmountError, Asset, Decimal};

use super::{PaymentOption, ReceivedChallenge};

/// The most ways to pay that a reason names.
const SHOWN: usize = 5;

/// The limits of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendingPolicy {
    /// The most for one payment: in dollars, which holds for every known dollar token, or in the token that it names.
    pub max: Decimal,
    /// Pay only on these networks; on every one if there are none.
    pub networks: Vec<Network>,
}

/// The reason why nothing is paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Every price that could be paid is above the limit. The fields describe the lowest.
    #[error("the price is {price} {symbol} on {network}, above the limit of {max}")]
    TooDear { price: String, symbol: String, network: Network, max: String },
    /// The challenge has no price that this wallet could pay.
    #[error("none of the ways to pay can be used: {0}")]
    NothingUsable(String),
}

impl SpendingPolicy {
    /// Chooses the first option within the limit, in the order of the server.
    pub fn choose<'c>(&self, challenge: &'c ReceivedChallenge) -> Result<&'c PaymentOption, Declined> {
        let mut lowest: Option<&PaymentOption> = None;
        for option in self.on_networks(challenge) {
            match self.limit(&option.asset) {
                Some(limit) if option.amount <= limit => return Ok(option),
                Some(_) if lowest.is_none_or(|other| option.amount < other.amount) => {
                    lowest = Some(option);
                }
                _ => {}
            }
        }
        if let Some(option) = lowest {
            return Err(Declined::TooDear {
                price: option.amount.decimal(option.asset.decimals),
                symbol: option.asset.symbol.clone(),
                network: option.asset.network.clone(),
                max: self.max.digits.clone(),
            });
        }
        let mut reasons: Vec<String> = challenge.unusable.iter().take(SHOWN).cloned().collect();
        if challenge.unusable.len() > SHOWN {
            reasons.push(format!("and {} more", challenge.unusable.len() - SHOWN));
        }
        if !self.networks.is_empty() && !challenge.options.is_empty() {
            let networks: Vec<String> = self.networks.iter().map(ToString::to_string).collect();
            reasons.push(format!("none of the others is on {}", networks.join(" or ")));
        }
        if reasons.is_empty() {
            reasons.push("there are none".to_owned());
        }
        Err(Declined::NothingUsable(reasons.join("; ")))
    }

    /// The option for which the account signs in: the one that would be paid, or one that is too dear to be paid, because a
    /// pass costs nothing. None: nothing is on a network of this wallet.
    pub fn to_sign_in<'c>(&self, challenge: &'c ReceivedChallenge) -> Option<&'c PaymentOption> {
        self.choose(challenge).ok().or_else(|| self.on_networks(challenge).next())
    }

    fn on_networks<'c>(&self, challenge: &'c ReceivedChallenge) -> impl Iterator<Item = &'c PaymentOption> {
        let is_on = |option: &&PaymentOption| self.networks.is_empty() || self.networks.contains(&option.asset.network);
        challenge.options.iter().filter(is_on)
    }

    /// The limit in the units of an asset; `None` if the limit names another asset.
    fn limit(&self, asset: &Asset) -> Option<Amount> {
        match Amount::of(&self.max, asset) {
            Ok(amount) => Some(amount),
            Err(AmountError::Zero(_)) => Some(Amount(U256::ZERO)),
            Err(AmountError::TooLarge(_)) => Some(Amount(U256::MAX)),
            Err(_) => None,
        }
    }
}
