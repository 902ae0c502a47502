//! Notes on a response why its request failed, for an observer of requests. The client is told less.

use coinslot_plugin::Fault;

use super::Reply;
use super::exceeded::exceeded;
use crate::endpoint::Endpoint;
use crate::payment::{OwedFailure, Problem};

/// The reason of a failure, as the operator may know it: an extension of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureNote(pub String);

impl FailureNote {
    /// The note about a request that is not served, if the operator may know more than its client is told.
    pub(super) fn of(problem: &Problem, endpoint: &Endpoint) -> Option<Self> {
        if let Some(fault) = problem.fault() {
            return Some(Self::of_fault(fault, endpoint));
        }
        if let Problem::Misbehaved(what)
        | Problem::Owed { failure: OwedFailure::Misbehaved(what), .. }
        | Problem::CannotVerify(what)
        | Problem::Ledger(what)
        | Problem::NotSent { message: what }
        | Problem::NotSettled { message: Some(what), .. } = problem
        {
            return Some(Self(what.clone()));
        }
        None
    }

    /// The fault of a guest, with the limit that it exceeded: `the plugin used more CPU time than its limit
    /// (limits.cpu_time = 1s)`.
    pub fn of_fault(fault: &Fault, endpoint: &Endpoint) -> Self {
        let limit = exceeded(fault, endpoint.plugin.limits()).map(|limit| format!(" ({limit})"));
        Self(format!("{fault}{}", limit.unwrap_or_default()))
    }

    pub(super) fn attach(self, mut reply: Reply) -> Reply {
        reply.extensions_mut().insert(self);
        reply
    }
}
