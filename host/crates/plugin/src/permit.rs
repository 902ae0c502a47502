//! The permission to answer one request, and the instance that is kept for it.

use std::fmt;

use coinslot_base::breaker::BreakerPermit;

use crate::contract::PaymentReceipt;
use crate::instance::permits::InstancePermits;
use crate::instance::shared::RequestSlot;

/// The permission to answer one request with a guest. It is not `Clone`, so one grant answers one request.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    pub(crate) receipt: Option<PaymentReceipt>,
    pub(crate) breaker: Option<BreakerPermit>,
    pub(crate) reservation: Option<InstanceReservation>,
    pub(crate) waits_for_instance: bool,
}

/// An instance that is kept for one request of the plugin, given up when this is dropped.
#[must_use]
pub struct InstanceReservation(pub(crate) ReservedInstance);

pub(crate) enum ReservedInstance {
    /// The permits of an instance of its own.
    Alone(InstancePermits),
    /// A place in a shared instance.
    Shared(RequestSlot),
}

impl fmt::Debug for InstanceReservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceReservation").finish_non_exhaustive()
    }
}

impl Permit {
    /// Grants the permission, with the receipt that the guest may read. A test counts the call sites: one for free
    /// routes, and those of reserved payments.
    pub fn grant(receipt: Option<PaymentReceipt>) -> Self {
        Self { receipt, breaker: None, reservation: None, waits_for_instance: false }
    }

    /// Uses a permit of the plugin's circuit breaker that was taken earlier. Without one, the breaker is asked when the
    /// request is answered.
    pub fn with_breaker_permit(self, breaker: Option<BreakerPermit>) -> Self {
        Self { breaker, ..self }
    }

    /// Uses an instance that was reserved earlier. Without one, the request waits for an instance.
    pub fn with_reservation(self, reservation: Option<InstanceReservation>) -> Self {
        Self { reservation, ..self }
    }

    /// Waits for an instance for as long as a response may take to begin, because this request cannot be sent again.
    pub fn wait_for_instance(self) -> Self {
        Self { waits_for_instance: true, ..self }
    }
}
