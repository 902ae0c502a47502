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

use http_body::Body as _;
use wasmtime::component::GuestTaskId;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capabilities::egress::{Egress, OutgoingResult};
use crate::contract::PaymentReceipt;
use crate::headers::is_withheld;
use crate::instance::guest_task::GuestTask;
use crate::instance::meter::GuestMeter;

/// Bytes of one write to a body.
const CHUNK: usize = 64 << 10;
/// Writes to a body of WASI 0.2 that are buffered before the guest waits. Together with [`CHUNK`] they let a guest
/// write a small body without being suspended.
const CHUNKS: usize = 4;
/// Bodies of WASI 0.2 that a guest may hold with such buffers: its response, and requests that it makes and does not
/// send at once. The buffers are filled without a reader, so they are memory that a guest can take.
const BUFFERED_BODIES: usize = 4;
/// Bytes of one write to any further body. Two writes are buffered.
const SMALL_CHUNK: usize = 1 << 10;

/// One request, as the host knows it while a guest works on it.
pub(crate) struct RequestContext {
    pub(crate) receipt: Option<PaymentReceipt>,
    pub(crate) charging: Charging,
    /// Takes what is charged for the request.
    pub(crate) meter: Arc<GuestMeter>,
    pub(crate) egress: Egress,
}

/// The right of a guest to set what is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charging {
    /// It answers `describe` or `quote`.
    NoRequest,
    /// It handles a request whose price is not its own to set.
    Fixed,
    /// It handles a request whose payer has authorised a maximum.
    Metered,
}

impl Charging {
    pub(crate) fn of_request(is_metered: bool) -> Self {
        if is_metered { Self::Metered } else { Self::Fixed }
    }
}

/// The contexts of the requests that one instance has at the moment.
pub(crate) struct RequestContexts {
    active: ActiveRequests,
    /// The sender of the request that is handed to [`WasiHttpHooks::send_request`] next: the hook gets no task.
    sender: Option<GuestTask>,
    /// Bodies of WASI 0.2 that were made and not sent.
    held_bodies: usize,
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
        Self { active: ActiveRequests::One(context, None), sender: None, held_bodies: 0 }
    }

    /// For an instance that has several requests at once, and none yet.
    pub(crate) fn many() -> Self {
        Self { active: ActiveRequests::Many(HashMap::new()), sender: None, held_bodies: 0 }
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

    /// Notes in the meter of each request what this instance of several requests was refused. Which request asked for
    /// the memory is not known; the requests that fail over the refusal are among those in the instance.
    pub(crate) fn note_refusal(&self, instance: &GuestMeter) {
        let ActiveRequests::Many(contexts) = &self.active else { return };
        contexts.values().for_each(|context| context.meter.note_refusal_of(instance));
    }

    /// The number of requests, at least one: an instance between two requests keeps the share of one.
    pub(crate) fn count(&self) -> usize {
        match &self.active {
            ActiveRequests::One(..) => 1,
            ActiveRequests::Many(contexts) => contexts.len().max(1),
        }
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
        // A request without a body has one that has ended.
        if !request.body().is_end_stream() {
            self.held_bodies = self.held_bodies.saturating_sub(1);
        }
        // Taken, so that no later request is attributed to this sender.
        let sender = self.sender.take();
        match self.of(sender) {
            Some(context) => context.egress.send(request, options),
            None => Box::new(std::future::ready(Err(Error::HttpRequestDenied))),
        }
    }

    /// Called once for each body that is made, before its size of chunks is asked for.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        self.held_bodies = self.held_bodies.saturating_add(1);
        if self.held_bodies <= BUFFERED_BODIES { CHUNKS } else { 1 }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        if self.held_bodies <= BUFFERED_BODIES { CHUNK } else { SMALL_CHUNK }
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}
