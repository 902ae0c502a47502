//! Reports to the plugin's circuits how the guest of one request ended.

use std::sync::Arc;

use crate::breaker::CircuitPermit;
use crate::fault::Fault;
use crate::instance::exchange::RequestProgress;

/// A report that is not made yet. Dropped, it counts as neither a success nor a failure.
pub(super) struct CircuitReport {
    pub(super) permit: CircuitPermit,
    pub(super) plugin: Arc<str>,
    pub(super) request: Arc<RequestProgress>,
}

impl CircuitReport {
    /// Reports that a response has begun and may go on for a long time.
    pub(super) fn responds(&mut self) {
        self.permit.responds(&self.plugin);
    }

    /// Reports that the guest ended without a fault.
    pub(super) fn succeeded(self) {
        self.permit.succeeded(&self.plugin);
    }

    /// Reports a fault, and returns it: as that of the client, if its request was not whole.
    pub(super) fn failed(self, fault: Fault) -> Fault {
        let fault = self.request.excuse(fault);
        self.permit.failed(&self.plugin, &fault);
        fault
    }
}
