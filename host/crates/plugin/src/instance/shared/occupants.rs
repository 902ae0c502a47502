//! Lists the requests in a shared instance, any of which may be the cause of the instance's failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::fault::Fault;
use crate::instance::exchange::RequestProgress;

/// The requests that the guest of one instance works on. A request whose client has gone stays: its guest task cannot
/// be cancelled, and may still fail over it. The requests in an instance that fails stay, too.
#[derive(Debug, Default)]
pub(super) struct Occupants(Mutex<Vec<Occupant>>);

#[derive(Debug)]
struct Occupant {
    /// The progress of its body.
    progress: Arc<RequestProgress>,
    /// The name by which its payer is counted. None for an unpaid request.
    payer: Option<Arc<str>>,
}

impl Occupants {
    /// Notes that the guest works on a request.
    pub(super) fn entered(&self, progress: Arc<RequestProgress>, payer: Option<Arc<str>>) {
        self.0.lock().push(Occupant { progress, payer });
    }

    /// Notes that the guest has answered the request.
    pub(super) fn answered(&self, progress: &Arc<RequestProgress>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(&other.progress, progress));
    }

    /// True if the guest may have failed over a body that a client did not send whole.
    pub(super) fn excuse(&self, fault: &Fault) -> bool {
        self.0.lock().iter().any(|occupant| occupant.progress.excuses(fault))
    }

    /// The payers of the requests. None if one of the requests is unpaid.
    pub(super) fn payers(&self) -> Option<Vec<Arc<str>>> {
        let mut payers: Vec<_> = self.0.lock().iter().map(|occupant| occupant.payer.clone()).collect::<Option<_>>()?;
        payers.sort_unstable();
        payers.dedup();
        Some(payers)
    }
}

/// The requests with which one request shares its instance. A failure of the instance is judged by them: an unpaid
/// request has it counted if there is one, and otherwise one paid request for all payers.
#[derive(Debug, Default)]
pub(crate) struct Companions {
    /// Set when the failure of the instance counts as another request's.
    excused: AtomicBool,
    /// The requests in the instance to which the request was sent. None until then.
    occupants: Mutex<Option<Arc<Occupants>>>,
}

impl Companions {
    /// Notes that the request is sent to the instance with these requests.
    pub(super) fn join(&self, occupants: &Arc<Occupants>) {
        *self.occupants.lock() = Some(Arc::clone(occupants));
    }

    /// Notes whether the failure of the instance counts as another request's.
    pub(super) fn excuse(&self, by_another: bool) {
        self.excused.store(by_another, Relaxed);
    }

    /// True if the failure of the instance counts as another request's.
    pub(crate) fn is_excused(&self) -> bool {
        self.excused.load(Relaxed)
    }

    /// The payers of the requests in the instance. None if one of the requests is unpaid.
    pub(crate) fn payers(&self) -> Option<Vec<Arc<str>>> {
        let occupants = self.occupants.lock().clone();
        occupants.map_or(Some(Vec::new()), |occupants| occupants.payers())
    }
}
