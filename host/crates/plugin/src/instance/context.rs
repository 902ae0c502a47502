//! The context of each request in an instance, found by guest task: receipt, meter and outgoing requests.
//!
//! An instance may have several requests at once, each of another payer. wasmtime runs each in a guest task of its
//! own, and a host call names the task that it comes from ([`GuestTask`]). A call of an unknown task belongs to no
//! request: it sees no receipt, charges no request and sends nothing. Unknown are
//! - tasks that an earlier request left behind in an instance that is reused,
//! - tasks in a shared instance that were called by a task of another component: they may outlive their caller, whose
//!   number wasmtime may then give to another payer's task.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::GuestTaskId;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capabilities::egress::{CHUNK, CHUNKS, Egress, OutgoingResult};
use crate::contract::PaymentReceipt;
use crate::headers::is_withheld;
use crate::instance::guest_task::GuestTask;
use crate::instance::meter::GuestMeter;

/// One request, as the host knows it while a guest works on it.
pub(crate) struct RequestContext {
    pub(crate) receipt: Option<PaymentReceipt>,
    /// False for `describe` and `quote`, which cannot charge.
    pub(crate) handles_request: bool,
    /// Takes what is charged for the request.
    pub(crate) meter: Arc<GuestMeter>,
    pub(crate) egress: Egress,
}

/// The contexts of the requests that one instance has at the moment.
pub(crate) struct RequestContexts {
    active: ActiveRequests,
    /// The sender of the request that is handed to [`WasiHttpHooks::send_request`] next: the hook gets no task.
    sender: Option<GuestTask>,
}

enum ActiveRequests {
    /// The only request, and the task that answers it if the engine has tasks.
    One(RequestContext, Option<GuestTaskId>),
    /// Any number of requests at once. wasmtime reuses the number of a task that has ended, so an entry must not
    /// outlive its request.
    Many(HashMap<GuestTaskId, RequestContext>),
}

impl RequestContexts {
    /// For an instance that has one request at a time.
    pub(crate) fn one(context: RequestContext) -> Self {
        Self { active: ActiveRequests::One(context, None), sender: None }
    }

    /// For an instance that has several requests at once, and none yet.
    pub(crate) fn many() -> Self {
        Self { active: ActiveRequests::Many(HashMap::new()), sender: None }
    }

    /// Names the task that answers the only request.
    pub(crate) fn set_task(&mut self, answering: GuestTaskId) {
        if let ActiveRequests::One(_, task) = &mut self.active {
            *task = Some(answering);
        }
    }

    /// Adds a request, and returns how many there are then.
    pub(crate) fn insert(&mut self, task: GuestTaskId, context: RequestContext) -> usize {
        let ActiveRequests::Many(contexts) = &mut self.active else { return 1 };
        contexts.insert(task, context);
        contexts.len()
    }

    /// Removes the request that has this meter, and returns how many are left.
    pub(crate) fn remove(&mut self, task: GuestTaskId, meter: &Arc<GuestMeter>) -> usize {
        let ActiveRequests::Many(contexts) = &mut self.active else { return 0 };
        // wasmtime may have given the task's number to another request already; the meter belongs to one alone.
        if contexts.get(&task).is_some_and(|context| Arc::ptr_eq(&context.meter, meter)) {
            contexts.remove(&task);
        }
        contexts.len()
    }

    /// True if [`RequestContexts::of`] needs the task.
    pub(crate) fn are_by_task(&self) -> bool {
        !matches!(self.active, ActiveRequests::One(_, None))
    }

    /// The context of the request for which this task calls.
    pub(crate) fn of(&mut self, task: Option<GuestTask>) -> Option<&mut RequestContext> {
        match &mut self.active {
            ActiveRequests::One(context, None) => Some(context),
            ActiveRequests::One(context, Some(answering)) => {
                task.filter(|task| task.root == *answering).map(|_| context)
            }
            ActiveRequests::Many(contexts) => {
                task.filter(|task| !task.nested).and_then(|task| contexts.get_mut(&task.root))
            }
        }
    }

    /// Names the sender of the request that is sent next.
    pub(crate) fn set_sender(&mut self, task: Option<GuestTask>) {
        self.sender = task;
    }
}

impl WasiHttpHooks for RequestContexts {
    fn is_forbidden_header(&mut self, name: &http::HeaderName) -> bool {
        is_withheld(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_withheld)
    }

    /// False: the client writes `Host` from the target that it has checked.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_read: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = OutgoingResult> + Send> {
        // Taken, so that no later request is attributed to this sender.
        let sender = self.sender.take();
        match self.of(sender) {
            Some(context) => context.egress.send(request, options),
            None => Box::new(std::future::ready(Err(Error::HttpRequestDenied))),
        }
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}
