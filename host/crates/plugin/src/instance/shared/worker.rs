//! The task in which an instance answers those who sit on its bench.
//!
//! The guest is polled here and nowhere else, so that no request waits for another one's client. What ends a
//! request is watched outside, by those who wait for it: inside, a guest that holds its store (it computes, or
//! waits in a call that blocks) holds up everything.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;

use tokio::sync::{SetOnce, mpsc, oneshot};
use wasmtime::Store;
use wasmtime::component::{Accessor, AccessorTask};
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiHttpView, p3};

use super::slot::{GuestRequest, QueuedRequest, RequestEnd};
use super::{InstancePermit, InstanceState, Mailbox, SharedInstances, lock};
use crate::capabilities::config::Capabilities;
use crate::capabilities::egress::LoopGuard;
use crate::instance::offload::aside;
use crate::instance::pool::HANDLES;
use crate::instance::store::{self, GuestState, RequestGrant, StoreConfig};
use crate::instance::timed::advance;
use crate::invoke::BodyTransfer;
use crate::load::link::{Handler, LinkedComponent};
use crate::{Fault, Inner};

/// Requests of one bench whose answers have been read: they end when the guest has come to rest.
type Drained = Arc<Mutex<Vec<oneshot::Sender<()>>>>;

/// What an instance grants to each that sits down.
struct InstanceGrant {
    plugin: Arc<str>,
    granted: Arc<Capabilities>,
    outgoing: u32,
    /// Linear memory above which the instance is given up.
    memory: usize,
}

/// Makes an instance, and the way to it.
pub(crate) fn start(
    plugin: &Inner,
    benches: &Arc<SharedInstances>,
    number: u64,
    place: InstancePermit,
) -> (Mailbox, Arc<InstanceState>) {
    let limits = &plugin.limits;
    let serving = RequestGrant { granted: plugin.granted.clone(), outgoing: 0, trail: LoopGuard::default() };
    let grant = StoreConfig {
        plugin: plugin.name.clone(),
        memory: limits.memory,
        cpu: limits.cpu,
        turns: plugin.runtime.turns.clone(),
        log: limits.log,
        receipt: None,
        serving: Some(serving),
    };
    let (mut store, meter) = store::store(plugin.engine(), grant);
    store::share(&mut store, usize::try_from(benches.reuse.concurrent).unwrap_or(usize::MAX));
    let fate = Arc::new(InstanceState { meter, fault: SetOnce::new(), blamed: false.into(), worn: false.into() });
    let (orders, jobs) = mpsc::unbounded_channel();
    let (held, mut holders) = mpsc::channel(1);
    let terms = InstanceGrant {
        plugin: plugin.name.clone(),
        granted: plugin.granted.clone(),
        outgoing: limits.outgoing_requests,
        memory: limits.memory / 2,
    };
    let work = work(store, Arc::clone(&plugin.linked), terms, jobs, Arc::clone(&fate), Arc::downgrade(benches), number);
    let (mut work, in_fate) = (Box::pin(work), Arc::clone(&fate));
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = holders.recv() => {}
            () = &mut work => {}
        }
        // The end of the guest; only then is its place another's.
        if in_fate.meter.is_heavy() {
            aside(|| drop(work));
        } else {
            drop(work);
        }
        drop(place);
    });
    (Mailbox { orders, _held: held }, fate)
}

/// Answers until the guest fails, and then says why.
async fn work(
    mut store: Store<GuestState>,
    linked: Arc<LinkedComponent>,
    terms: InstanceGrant,
    mut jobs: mpsc::UnboundedReceiver<QueuedRequest>,
    fate: Arc<InstanceState>,
    benches: Weak<SharedInstances>,
    number: u64,
) {
    let told = FailOnDrop(Arc::clone(&fate));
    let (fault, begun) = match serve(&mut store, linked, terms, &mut jobs, &fate).await {
        Ok(fault) => (fault, true),
        Err(fault) => (fault, false),
    };
    // Whoever hears of it finds this bench closed.
    if let Some(benches) = benches.upgrade() {
        benches.close(number);
    }
    jobs.close();
    while let Ok(QueuedRequest { order, end }) = jobs.try_recv() {
        // Where the guest does not even begin, it would not for them elsewhere.
        if begun {
            let _ = end.send(RequestEnd::NotBegun(order));
        }
    }
    let _ = fate.fault.set(fault);
    drop(told);
    if fate.meter.is_heavy() {
        aside(|| drop(store));
    }
}

/// Nobody waits for an instance that is gone without a word, as by a panic.
struct FailOnDrop(Arc<InstanceState>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        let _ = self.0.fault.set(Fault::Trap("its instance is gone".into()));
    }
}

/// How an instance failed: once it was there, or before.
async fn serve(
    store: &mut Store<GuestState>,
    linked: Arc<LinkedComponent>,
    terms: InstanceGrant,
    jobs: &mut mpsc::UnboundedReceiver<QueuedRequest>,
    fate: &Arc<InstanceState>,
) -> Result<Fault, Fault> {
    let meter = &fate.meter;
    let service = {
        let Handler::P3(pre) = &linked.handler else {
            return Err(Fault::NoResponse("it is no handler of WASI 0.3".into()));
        };
        let mut instance = pin!(pre.instantiate_async(&mut *store));
        std::future::poll_fn(|cx| advance(instance.as_mut(), meter, cx)).await?
    };
    drop(linked);
    let (service, terms, resting) = (Arc::new(service), Arc::new(terms), Drained::default());
    let (in_fate, in_resting) = (Arc::clone(fate), Arc::clone(&resting));
    let guest = store.run_concurrent(async move |accessor| {
        while let Some(QueuedRequest { order, end }) = jobs.recv().await {
            let (service, terms) = (Arc::clone(&service), Arc::clone(&terms));
            let (fate, resting) = (Arc::clone(&in_fate), Arc::clone(&in_resting));
            accessor.spawn(RequestTask { job: QueuedRequest { order, end }, service, terms, fate, resting })?;
        }
        // Whoever sits here is answered; the task ends when they have left.
        std::future::pending::<wasmtime::Result<Infallible>>().await
    });
    let mut guest = pin!(async { guest.await? });
    let failed = std::future::poll_fn(|cx| {
        loop {
            match advance(guest.as_mut(), meter, cx) {
                Poll::Ready(Ok(never)) => match never {},
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending if meter.is_computing() => return Poll::Pending,
                Poll::Pending => {}
            }
            let ended = std::mem::take(&mut *lock(&resting));
            if ended.is_empty() {
                return Poll::Pending;
            }
            for ended in ended {
                let _ = ended.send(());
            }
        }
    });
    Ok(failed.await)
}

/// A request in the instance.
struct RequestTask {
    job: QueuedRequest,
    service: Arc<Service>,
    terms: Arc<InstanceGrant>,
    fate: Arc<InstanceState>,
    resting: Drained,
}

impl AccessorTask<GuestState> for RequestTask {
    async fn run(self, accessor: &Accessor<GuestState>) -> wasmtime::Result<()> {
        let Self { job: QueuedRequest { order, mut end }, service, terms, fate, resting } = self;
        if end.is_closed() {
            return Ok(());
        }
        let GuestRequest { request, receipt, trail, meter, answer, read } = *order;
        let handle = service.wasi_http_handler().func_handle();
        let (call, transfer) = accessor.with(|mut store| {
            let (request, transfer) = p3::Request::from_http(store.get().http().hooks, request);
            let request = store.get().table().push(request)?;
            let call = handle.start_call_concurrent(&mut store, (request,))?;
            // From the first instruction on it is known for whom it works.
            let serving = RequestGrant { granted: terms.granted.clone(), outgoing: terms.outgoing, trail };
            let (_, visit) = store::visit(receipt, Some(serving), terms.plugin.clone(), meter.clone());
            let inside = store.get().visits.enter(call.task(), visit);
            fate.meter.enter_one(inside);
            let transfer: BodyTransfer = Box::pin(transfer);
            wasmtime::Result::<_>::Ok((call, transfer))
        })?;
        let task = call.task();
        let answered = tokio::select! {
            biased;
            answered = handle.finish_call_concurrent(accessor, call) => Some(answered?.0),
            () = end.closed() => None,
        };
        match answered {
            Some(Ok(response)) => {
                let response = accessor.with(|mut store| {
                    let response = store.get().table().delete(response)?;
                    wasmtime::Result::<_>::Ok(response.into_http(&mut store, transfer))
                })?;
                // An answer that HTTP forbids is nobody else's matter, but leaves its body behind.
                let response = response.map_err(|error| {
                    read.tell();
                    fate.worn.store(true, Relaxed);
                    format!("{error:#}")
                });
                let _ = answer.send(response);
                tokio::select! {
                    biased;
                    () = read.over() => {
                        // What it does right after its last byte is still of this request, a trap above all.
                        let (rests, rested) = oneshot::channel();
                        lock(&resting).push(rests);
                        let _ = rested.await;
                    }
                    () = end.closed() => {}
                }
            }
            Some(Err(code)) => {
                // There is no body to be read.
                read.tell();
                let _ = answer.send(Err(format!("{code:?}")));
            }
            None => {}
        }
        accessor.with(|mut store| {
            let state = store.get();
            let inside = state.visits.leave(task, &meter);
            fate.meter.leave_one(inside);
            let handles = state.table().iter_mut().count();
            if state.used_memory() > terms.memory || handles > HANDLES.saturating_mul(inside + 1) {
                fate.worn.store(true, Relaxed);
            }
        });
        let _ = end.send(RequestEnd::Well);
        Ok(())
    }
}
