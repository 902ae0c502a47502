//! Decides who is served without a payment, and who may not pay: the operator's allowances, keys of customers, lists of
//! payers, and the proof of an account by sign-in-with-x, which is that of the holder of a pass, too.
//!
//! Rules alone: nothing here runs a guest, asks a chain or writes to the ledger, which counts. `payment::allowed` goes by
//! these rules for a request, and a reload puts others in their place.

mod key;
mod payers;
mod policy;
mod sign_in;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

use crate::endpoint::{Access, Endpoint};

pub use key::{KEY_PREFIX, NewKey, PresentedKey};
pub use payers::{PayerList, PayerRefusal, PayerRules};
pub use policy::{Allowance, AllowancePer, AllowancePolicy, FreeRequester, SignedIn};
pub use sign_in::{SIGN_IN_WITH_X, SignIns};

/// The rules of a host. A request keeps those of its arrival.
#[derive(Debug)]
pub struct Allowances {
    policy: ArcSwap<AllowancePolicy>,
    sign_ins: SignIns,
    /// Makes the hashes of counters, so that the ledger's file does not tell which clients were counted.
    key: [u8; 32],
}

impl Allowances {
    /// The rules with a secret, the same on every replica of a host.
    pub fn new(policy: AllowancePolicy, key: [u8; 32]) -> Self {
        Self { policy: ArcSwap::from_pointee(policy), sign_ins: SignIns::new(key), key }
    }

    /// Puts other rules in the place of these. What was counted counts on.
    pub fn replace(&self, policy: AllowancePolicy) {
        self.policy.store(Arc::new(policy));
    }

    /// The rules of now.
    pub fn policy(&self) -> Arc<AllowancePolicy> {
        self.policy.load_full()
    }

    pub fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// True if a request without a payment may be served all the same, or be told how to sign in. Without rules and keys
    /// it costs two looks at its header fields.
    pub fn concern(&self, endpoint: &Endpoint, headers: &HeaderMap) -> bool {
        let Access::Paid(_) = &endpoint.access else { return false };
        let policy = self.policy.load();
        endpoint.pass().is_some()
            || (policy.has_rules() && policy.of(endpoint).next().is_some())
            || key::is_present(headers)
    }

    /// The key of the hashes of counters.
    pub fn counter_key(&self) -> &[u8; 32] {
        &self.key
    }
}
