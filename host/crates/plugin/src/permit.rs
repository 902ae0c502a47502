//! The permission to answer one request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::OutgoingObserver;
use crate::breaker::CircuitPermit;
use crate::contract::PaymentReceipt;

/// The client of a request: the address of its network. All requests without an address are of one client.
pub type Client = Option<IpAddr>;

/// Follows one run of a guest.
pub trait RunObserver: OutgoingObserver {
    /// Called once: the request has waited this long for its instance, or in vain.
    fn waited(&self, time: Duration);
}

/// The permission to answer one request with a guest. It is not `Clone`, so one grant answers one request.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    pub(crate) receipt: Option<PaymentReceipt>,
    pub(crate) circuit: Option<CircuitPermit>,
    /// The longest wait for an instance. None: as for a request that can be sent again.
    pub(crate) wait: Option<Duration>,
    pub(crate) client: Client,
    pub(crate) is_metered: bool,
    pub(crate) observer: Option<Arc<dyn RunObserver>>,
}

impl Permit {
    /// Grants the permission, with the receipt that the guest may read. A test counts the call sites: one for free
    /// routes, and those of reserved payments.
    pub fn grant(receipt: Option<PaymentReceipt>) -> Self {
        Self { receipt, circuit: None, wait: None, client: None, is_metered: false, observer: None }
    }

    /// Uses a permit of the plugin's circuits that was taken earlier. Without such a permit, the circuits are asked
    /// when the request is answered: that of paid calls if there is a receipt, and otherwise that of unpaid calls.
    pub fn with_circuit_permit(self, circuit: Option<CircuitPermit>) -> Self {
        Self { circuit, ..self }
    }

    /// Names the client, whose requests wait behind those of clients that have fewer instances of the plugin in use.
    pub fn for_client(self, client: Client) -> Self {
        Self { client, ..self }
    }

    /// Lets the guest set what is charged, because the payer has authorised a maximum. Without it `usage.charge` fails:
    /// a charge that nobody collects would look like one to the plugin's author.
    pub fn metered(self) -> Self {
        Self { is_metered: true, ..self }
    }

    /// Tells an observer of the wait for an instance, and of every request that the guest sends meanwhile.
    pub fn observed_by(self, observer: Option<Arc<dyn RunObserver>>) -> Self {
        Self { observer, ..self }
    }

    /// Waits this long for an instance, because something would be lost if the request had to be sent again.
    pub fn wait_for_instance(self, at_most: Duration) -> Self {
        Self { wait: Some(at_most), ..self }
    }
}
