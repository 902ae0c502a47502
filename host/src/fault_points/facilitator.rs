//! A facilitator whose caller dies before or after a settlement.

use std::sync::Arc;

use super::point;
use coinslot_facilitator::{Answer, Facilitator, Readiness, Settlement, Unavailable, Verification};
use coinslot_x402::facilitator::{PaymentRequest, Supported};

/// Wraps a facilitator with the fault points `verification` and `settlement`.
#[derive(Debug)]
pub(crate) struct CrashingFacilitator(pub(crate) Arc<dyn Facilitator>);

impl Facilitator for CrashingFacilitator {
    fn verify<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Verification> {
        Box::pin(async move {
            point("before", "verification");
            let verification = self.0.verify(request).await;
            point("after", "verification");
            verification
        })
    }

    fn settle<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Settlement> {
        Box::pin(async move {
            point("before", "settlement");
            let settlement = self.0.settle(request).await;
            point("after", "settlement");
            settlement
        })
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }

    fn supported(&self) -> Answer<'_, Result<Supported, Unavailable>> {
        self.0.supported()
    }
}
