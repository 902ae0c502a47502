//! The permission to answer one request.

use coinslot_base::breaker::BreakerPermit;

use crate::contract::PaymentReceipt;

/// The permission to answer one request with a guest. It is not `Clone`, so one grant answers one request.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    pub(crate) receipt: Option<PaymentReceipt>,
    pub(crate) breaker: Option<BreakerPermit>,
    pub(crate) waits_for_instance: bool,
}

impl Permit {
    /// Grants the permission, with the receipt that the guest may read. A test counts the call sites: one for free
    /// routes, and those of reserved payments.
    pub fn grant(receipt: Option<PaymentReceipt>) -> Self {
        Self { receipt, breaker: None, waits_for_instance: false }
    }

    /// Uses a permit of the plugin's circuit breaker that was taken earlier. Without one, the breaker is asked when the
    /// request is answered.
    pub fn with_breaker_permit(self, breaker: Option<BreakerPermit>) -> Self {
        Self { breaker, ..self }
    }

    /// Waits for an instance for as long as a response may take to begin, because this request cannot be sent again.
    pub fn wait_for_instance(self) -> Self {
        Self { waits_for_instance: true, ..self }
    }
}
