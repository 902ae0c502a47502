//! Drives a shared instance, in a task of its own.
//!
//! The guest is polled in this task and nowhere else, so that no request waits for the client of another one. The end
//! of a request is watched outside, by the future that waits for its response: its deadline, its client that goes
//! away, and the fault of the instance. Inside of `run_concurrent` none of this would be noticed in time, because a
//! guest that holds its store (it computes, or waits in a host call that blocks) holds up every future in there.
//! wasmtime's `Worker` in `wasi-http/src/handler.rs` polls its expiration outside of the guest for the same reason.
//!
//! A response's body is read outside, too, but its bytes come out of this store. So a request stays in here until its
//! body has been read, and then until the guest is *drained*: until a whole poll of the instance has left nothing to
//! do at once. A trap right after the last byte is therefore still a fault of this request.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use coinslot_base::offload::offload;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use wasmtime::Store;
use wasmtime_wasi_http::p3::bindings::Service;

use super::list::SharedPermits;
use super::mailbox::{FailOnDrop, Inbox, InstanceState, Mailbox, QueuedRequest, RequestEnd, mailbox};
use super::request_task::RequestTask;
use crate::capabilities::Capabilities;
use crate::capabilities::egress::Provenance;
use crate::fault::Fault;
use crate::instance::linked::{HandlerPre, LinkedComponent};
use crate::instance::meter::PollTurn;
use crate::instance::permits::InstanceMemory;
use crate::instance::spec::InstanceSpec;
use crate::instance::store::{self, Grant, GuestState, RequestGrant, StoreConfig};
use crate::instance::timed::poll_guest;
use crate::limits::Reuse;

/// The share of one request in a shared instance.
pub(super) struct RequestShare {
    pub(super) capabilities: Arc<Capabilities>,
    /// The most outgoing requests.
    pub(super) outgoing: u32,
    /// Linear memory above which the instance is retired, in bytes.
    pub(super) memory: usize,
}

/// Starts an instance. `close` is called when it fails, before any request learns of that: a request that is retried
/// does not find the same instance again.
pub(super) fn start(
    spec: &InstanceSpec,
    reuse: Reuse,
    permit: SharedPermits,
    memory: Arc<InstanceMemory>,
    close: impl FnOnce() + Send + 'static,
) -> (Mailbox, Arc<InstanceState>) {
    // The instance itself sends nothing: each request brings its own number of outgoing requests.
    let (capabilities, provenance) = (spec.capabilities.clone(), Provenance::default());
    let grant = RequestGrant { capabilities, outgoing: 0, provenance, is_metered: false };
    let config = spec.store_config(None, None, false, Provenance::default());
    let config = StoreConfig { grant: Grant::Requests(grant), counted: Some(memory), ..config };
    let (mut store, meter) = store::store(&spec.engine, config);
    store::share(&mut store, usize::try_from(reuse.concurrent).unwrap_or(usize::MAX));
    let state = InstanceState::new(meter);
    let share = RequestShare {
        capabilities: spec.capabilities.clone(),
        outgoing: spec.limits.outgoing_requests,
        memory: spec.limits.memory / 2,
    };
    let (mailbox, Inbox { requests, mut alive }) = mailbox();
    let mut work = Box::pin(work(store, Arc::clone(&spec.component), share, requests, Arc::clone(&state), close));
    let meter = Arc::clone(&state.meter);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            // Checked first: an instance without a mailbox has no request, and need not be polled again.
            _ = alive.recv() => {}
            () = &mut work => {}
        }
        // The permit is returned only after the store has been dropped: until then the store takes a slot of wasmtime's
        // pool.
        if meter.is_large() {
            offload(|| drop(work));
        } else {
            drop(work);
        }
        drop(permit);
    });
    (mailbox, state)
}

/// Answers requests until the guest fails, and then reports the fault.
async fn work(
    mut store: Store<GuestState>,
    component: Arc<LinkedComponent>,
    share: RequestShare,
    mut requests: mpsc::UnboundedReceiver<QueuedRequest>,
    state: Arc<InstanceState>,
    close: impl FnOnce(),
) {
    let fail_on_drop = FailOnDrop(Arc::clone(&state));
    let (fault, instantiated) = match instantiate(&mut store, component, &state).await {
        Ok(service) => (answer(&mut store, service, share, &mut requests, &state).await, true),
        Err(fault) => (fault, false),
    };
    // In this order: no new request chooses this instance, none enters the queue, the queued ones are returned, and
    // only then do the others learn of the fault.
    close();
    requests.close();
    while let Ok(QueuedRequest { request, end }) = requests.try_recv() {
        // If the guest cannot be instantiated, another instance would fail in the same way: the queued requests fail.
        if instantiated {
            let _ = end.send(RequestEnd::NotStarted(request));
        }
    }
    state.fail(fault);
    drop(fail_on_drop);
    if state.meter.is_large() {
        offload(|| drop(store));
    }
}

async fn instantiate(
    store: &mut Store<GuestState>,
    component: Arc<LinkedComponent>,
    state: &InstanceState,
) -> Result<Service, Fault> {
    let HandlerPre::P3(pre) = &component.handler else {
        return Err(Fault::NoResponse("it is no handler of WASI 0.3".into()));
    };
    let mut instance = pin!(pre.instantiate_async(&mut *store));
    let mut turn = PollTurn::default();
    std::future::poll_fn(|cx| poll_guest(instance.as_mut(), &state.meter, &mut turn, cx)).await
}

/// Answers requests until the guest fails, and returns the fault.
///
/// The poll loop ends requests that are drained. A request whose body has been read registers itself in `draining`
/// while the guest is polled; when that poll has left nothing to do at once, the registered requests end, and the
/// guest is polled again, because their ends have woken tasks in it. If the guest only waits for a processor it has
/// more to do, and none is drained.
async fn answer(
    store: &mut Store<GuestState>,
    service: Service,
    share: RequestShare,
    requests: &mut mpsc::UnboundedReceiver<QueuedRequest>,
    state: &Arc<InstanceState>,
) -> Fault {
    let meter = &state.meter;
    let running = RunningInstance { service, share, state: Arc::clone(state), draining: Mutex::default() };
    let running = Arc::new(running);
    let instance = Arc::clone(&running);
    let guest = store.run_concurrent(async move |accessor| {
        while let Some(queued) = requests.recv().await {
            accessor.spawn(RequestTask { queued, instance: Arc::clone(&instance) })?;
        }
        // The channel is closed, and requests in the instance are still answered: the outer task ends this future when
        // the last mailbox has been dropped.
        std::future::pending::<wasmtime::Result<Infallible>>().await
    });
    let mut guest = pin!(async { guest.await? });
    let mut turn = PollTurn::default();
    std::future::poll_fn(|cx| {
        loop {
            match poll_guest(guest.as_mut(), meter, &mut turn, cx) {
                Poll::Ready(Ok(never)) => match never {},
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending if meter.is_runnable() => return Poll::Pending,
                Poll::Pending => {}
            }
            let drained = std::mem::take(&mut *running.draining.lock());
            if drained.is_empty() {
                return Poll::Pending;
            }
            for request in drained {
                let _ = request.send(());
            }
        }
    })
    .await
}

/// An instance that answers requests.
pub(super) struct RunningInstance {
    pub(super) service: Service,
    pub(super) share: RequestShare,
    pub(super) state: Arc<InstanceState>,
    /// Requests whose bodies have been read: they end when the guest is drained.
    pub(super) draining: Mutex<Vec<oneshot::Sender<()>>>,
}
