//! Calls a facilitator in this process or over HTTP, and gives its answers one shape.

use std::sync::Arc;

use coinslot_x402::facilitator::PaymentRequest;

use crate::facilitator::{Facilitator, Settlement, Unavailable, Verification};
use crate::local::Local;
use crate::remote::{Remote, SettleEnd, VerifyEnd};

/// The way to a facilitator.
#[derive(Debug)]
pub(super) enum Via {
    Local(Arc<Local>),
    Remote(Arc<Remote>),
}

impl Via {
    pub(super) fn facilitator(&self) -> &dyn Facilitator {
        match self {
            Self::Local(local) => local.as_ref(),
            Self::Remote(remote) => remote.as_ref(),
        }
    }

    /// Verifies a payment once. A local facilitator without a verdict has failed: it knows no answer that may be about
    /// the payment alone.
    pub(super) async fn judge(&self, request: &PaymentRequest) -> VerifyEnd {
        match self {
            Self::Local(local) => match local.verify(request).await {
                Verification::Unavailable(error) => VerifyEnd::Failed(error),
                verdict => VerifyEnd::Answered(verdict),
            },
            Self::Remote(remote) => remote.judge(request).await,
        }
    }

    /// Tries to settle once. A local facilitator looks up the end of its transaction itself, so each end but a
    /// settlement that was not sent is an answer.
    pub(super) async fn attempt(&self, request: &PaymentRequest) -> SettleEnd {
        match self {
            Self::Local(local) => match local.settle(request).await {
                Settlement::NotSent { message } => SettleEnd::NotSent(message),
                settlement => SettleEnd::Answered(settlement),
            },
            Self::Remote(remote) => remote.attempt(request).await,
        }
    }

    /// Asks for what no payment has an influence on.
    pub(super) async fn look(&self) -> Result<(), Unavailable> {
        match self {
            Self::Local(local) => local.look().await,
            Self::Remote(remote) => remote.look().await,
        }
    }
}
