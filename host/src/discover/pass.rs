//! Says what a payment buys beside its answer, and how its payer returns: in one form for every document and page.

use std::time::Duration;

use coinslot_base::units::shown_duration;
use coinslot_ledger::PassTerms;

use crate::endpoint::{Access, Endpoint};

/// The way back of programs.
pub(super) const BY_ACCOUNT: &str = "To return, the account that paid signs in (x402 extension sign-in-with-x) in place \
    of paying; no money moves.";

/// The way back of a person on a page of the host.
pub(super) const BY_BROWSER: &str = "This browser returns by itself, and any other client by a signature of the wallet that \
    paid; no money moves.";

/// The pass that a payment buys.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassText {
    terms: PassTerms,
    /// The price of each request is its own.
    quoted: bool,
}

impl PassText {
    /// None: a payment for the endpoint buys its answer alone.
    pub(super) fn of(endpoint: &Endpoint) -> Option<Self> {
        let quoted = matches!(&endpoint.access, Access::Paid(paid) if paid.quoted);
        endpoint.pass().map(|terms| Self { terms, quoted })
    }

    /// The extent: `100 more requests within 1h`.
    pub(super) fn extent(self) -> String {
        let requests = self.terms.requests();
        let noun = if requests == 1 { "request" } else { "requests" };
        let time = shown_duration(Duration::from_secs(self.terms.seconds()));
        format!("{requests} more {noun} within {time}")
    }

    /// The offer, as a sentence.
    pub(super) fn offer(self) -> String {
        let bound = if self.quoted { ", each of at most the price that was paid" } else { "" };
        format!("A payment also buys a pass: {}{bound}.", self.extent())
    }
}
