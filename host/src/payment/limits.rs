//! Limits payers and addresses: their rates, and their parts of the byte budget.
//!
//! A payer whose money has moved here has more room than one who has only shown a signature, and one whose settlement
//! failed is settled first for a day.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use alloy::primitives::Address;
use coinslot_base::client::is_of_one_client;
use coinslot_ledger::PaymentId;
use coinslot_x402::UnixTime;

use super::budget::{BudgetPart, HeldBytes};
use super::client::prefix_of;
use super::rate_limiter::RateLimiter;
use super::{Payments, Problem};

/// The rate limits of payers and addresses. Zero disables a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimits {
    /// Payments of one payer.
    pub payments_per_second: f64,
    /// Payments from one address that cannot be read, do not match or do not verify. None: 5 per second, from addresses
    /// that tell one client from another.
    pub failures_per_second: Option<f64>,
}

/// The bad payments per second of one address, where none are configured and the address is known.
pub(super) const FAILURES: f64 = 5.0;

/// The burst of a rate limit, in seconds of its rate.
pub(super) const BURST: f64 = 10.0;

impl Payments {
    /// Counts a payment of this payer. Fails above its rate.
    pub(super) fn count_payment(&self, payer: Address) -> Result<(), Problem> {
        let counted = self.payer_rate.as_ref().map_or(Ok(()), |rate| rate.take(payer, Instant::now()));
        counted.map_err(|wait| Problem::TooMany { wait })
    }

    /// Takes back a counted payment of this payer that was not new: every reader of the chain can send a settled
    /// payment again, which must not use up its payer's rate.
    pub(super) fn uncount_payment(&self, payer: Address) {
        if let Some(rate) = &self.payer_rate {
            rate.give_back(&payer);
        }
    }

    /// Warns the operator, once, that a client without a secret came from an address that may be a proxy's.
    pub(super) fn warn_of_unnamed_proxy(&self, client: IpAddr) {
        if !self.warned_of_proxy.swap(true, Relaxed) {
            tracing::warn!(
                %client,
                "a payment of version 1, or without its secret, came from an address that may be a proxy's: its answer \
                 cannot be fetched again; name the proxies in trusted_proxies of [server], or write [] for none"
            );
        }
    }

    /// Warns the operator, once, that the ledger counts as many clients as it keeps counts for.
    pub(super) fn warn_of_full_counts(&self) {
        if !self.warned_of_full_counts.swap(true, Relaxed) {
            tracing::warn!(
                "free requests are counted for as many clients as the ledger keeps counts for: other clients get their \
                 challenge until windows end; shorter windows (`every`) or a smaller `total` help"
            );
        }
    }

    /// Counts a payment from this address that was malformed or invalid.
    pub(super) fn count_bad_payment(&self, client: IpAddr) {
        if let Some(rate) = self.bad_payment_rate_of(client) {
            let _ = rate.take(prefix_of(client), Instant::now());
        }
    }

    /// Fails while this address has sent more bad payments than its rate.
    pub(super) fn check_address(&self, client: IpAddr) -> Result<(), Problem> {
        let rate = self.bad_payment_rate_of(client);
        let checked = rate.map_or(Ok(()), |rate| rate.look(&prefix_of(client), Instant::now()));
        checked.map_err(|wait| Problem::TooMany { wait })
    }

    fn bad_payment_rate_of(&self, client: IpAddr) -> Option<&RateLimiter<IpAddr>> {
        let counts = self.config.rate_limits.failures_per_second.is_some() || is_of_one_client(client);
        self.bad_payment_rate.as_ref().filter(|_| counts)
    }

    /// Remembers that a payment of this payer moved money.
    pub(super) fn remember_settlement(&self, payer: &str) {
        self.known_payers.add(payer);
    }

    /// A holder of nothing, for the body of a new payment whose signer is proven.
    pub(super) fn body_of_new_payment(&self, client: IpAddr, payer: &str) -> HeldBytes {
        let known = self.known_payers.has(payer);
        self.budget.payer(client, payer, if known { BudgetPart::Whole } else { BudgetPart::Newcomers })
    }

    /// A holder of nothing, for what belongs to a payment that is at work, or whose money has moved.
    pub(super) fn bytes_at_work(&self, client: IpAddr, id: &PaymentId) -> HeldBytes {
        self.budget.payer(client, id.payer(), BudgetPart::Whole)
    }

    /// Remembers that a settlement of this payer, which had been verified, was refused at this time.
    pub(super) fn remember_failed_settlement(&self, payer: &str, at: UnixTime) {
        self.failed_settlements.add(payer, at, self.now());
    }
}
