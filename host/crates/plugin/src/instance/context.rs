//! For whom an instance works: what each request is told, and what it may still do.
//!
//! Everything that belongs to one payer is found here by the task that calls the host: the receipt, the bill,
//! and the requests that may still be sent. A call whose task is not known is nobody's: it is told of no payment,
//! charges nobody and reaches nothing.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::GuestTaskId;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::PaymentReceipt;
use crate::capabilities::egress::{self, Egress, OutgoingResult};
use crate::instance::guest_task::GuestTask;
use crate::instance::meter::GuestMeter;

/// One request, as the host's side of its guest knows it.
pub(crate) struct RequestContext {
    pub(crate) receipt: Option<PaymentReceipt>,
    /// A request is being handled, as opposed to a question asked.
    pub(crate) serving: bool,
    /// Hears what is charged for it.
    pub(crate) meter: Arc<GuestMeter>,
    pub(crate) egress: Egress,
}

/// Those for whom one instance works.
pub(crate) struct RequestContexts {
    who: ActiveRequests,
    /// Who sends the request that is handed to [`WasiHttpHooks::send_request`] next, which is not told.
    sends: Option<GuestTask>,
}

enum ActiveRequests {
    /// The only one, and the task that answers it, in an engine that has tasks. Other tasks were left behind by
    /// an earlier one.
    Sole(RequestContext, Option<GuestTaskId>),
    /// Any number at once. A number that a task had is given to another when it has ended, so an entry does not
    /// outlive its request.
    Many(HashMap<GuestTaskId, RequestContext>),
}

impl RequestContexts {
    /// One at a time.
    pub(crate) fn sole(visit: RequestContext) -> Self {
        Self { who: ActiveRequests::Sole(visit, None), sends: None }
    }

    /// Several at once, and none yet.
    pub(crate) fn many() -> Self {
        Self { who: ActiveRequests::Many(HashMap::new()), sends: None }
    }

    /// This task answers the only one.
    pub(crate) fn answered_by(&mut self, answering: GuestTaskId) {
        if let ActiveRequests::Sole(_, task) = &mut self.who {
            *task = Some(answering);
        }
    }

    /// One more, answered by this task. How many there are then.
    pub(crate) fn enter(&mut self, task: GuestTaskId, visit: RequestContext) -> usize {
        let ActiveRequests::Many(visits) = &mut self.who else { return 1 };
        visits.insert(task, visit);
        visits.len()
    }

    /// The request that this meter is of has ended. How many are left.
    pub(crate) fn leave(&mut self, task: GuestTaskId, meter: &Arc<GuestMeter>) -> usize {
        let ActiveRequests::Many(visits) = &mut self.who else { return 0 };
        // Another request may be answered under the same number by now.
        if visits.get(&task).is_some_and(|visit| Arc::ptr_eq(&visit.meter, meter)) {
            visits.remove(&task);
        }
        visits.len()
    }

    /// Whether it must be known who calls.
    pub(crate) fn are_by_task(&self) -> bool {
        !matches!(self.who, ActiveRequests::Sole(_, None))
    }

    /// The request for which somebody calls.
    pub(crate) fn of(&mut self, caller: Option<GuestTask>) -> Option<&mut RequestContext> {
        match &mut self.who {
            ActiveRequests::Sole(visit, None) => Some(visit),
            ActiveRequests::Sole(visit, Some(task)) => caller.filter(|caller| caller.root == *task).map(|_| visit),
            // A task that was called by another may outlive it. Its caller's number may then be another payer's.
            ActiveRequests::Many(visits) => {
                caller.filter(|caller| !caller.nested).and_then(|caller| visits.get_mut(&caller.root))
            }
        }
    }

    /// What is sent next is sent by this one.
    pub(crate) fn sends(&mut self, caller: Option<GuestTask>) {
        self.sends = caller;
    }
}

impl WasiHttpHooks for RequestContexts {
    fn is_forbidden_header(&mut self, name: &http::HeaderName) -> bool {
        egress::is_withheld(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(egress::is_withheld)
    }

    /// The client writes it from the checked target.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_read: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = OutgoingResult> + Send> {
        let caller = self.sends.take();
        match self.of(caller) {
            Some(visit) => visit.egress.send(request, options),
            None => Box::new(std::future::ready(Err(Error::HttpRequestDenied))),
        }
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        egress::CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        egress::CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        egress::CHUNK
    }
}
