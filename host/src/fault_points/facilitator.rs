//! Kills the process before or after a facilitator verifies or settles.

use std::sync::Arc;

use async_trait::async_trait;
use coinslot_facilitator::{
    AccountSignature, Facilitator, FacilitatorStatus, Readiness, Settlement, SignatureVerdict, Unavailable,
    Verification,
};
use coinslot_x402::facilitator::{PaymentRequest, Supported};

use super::point;

/// Wraps a facilitator with the fault points `verification` and `settlement`.
#[derive(Debug)]
pub(crate) struct CrashingFacilitator(pub(crate) Arc<dyn Facilitator>);

#[async_trait]
impl Facilitator for CrashingFacilitator {
    async fn verify(&self, request: &PaymentRequest) -> Verification {
        point("before", "verification");
        let verification = self.0.verify(request).await;
        point("after", "verification");
        verification
    }

    async fn settle(&self, request: &PaymentRequest) -> Settlement {
        point("before", "settlement");
        let settlement = self.0.settle(request).await;
        point("after", "settlement");
        settlement
    }

    fn readiness(&self) -> Readiness {
        self.0.readiness()
    }

    fn statuses(&self) -> Vec<FacilitatorStatus> {
        self.0.statuses()
    }

    async fn check_contract_signature(&self, request: &PaymentRequest) -> SignatureVerdict {
        self.0.check_contract_signature(request).await
    }

    async fn check_account_signature(&self, signed: &AccountSignature) -> SignatureVerdict {
        self.0.check_account_signature(signed).await
    }

    async fn watch(&self) {
        self.0.watch().await;
    }

    async fn supported(&self) -> Result<Supported, Unavailable> {
        self.0.supported().await
    }
}
