//! One request, answered by an instance: a fresh one, unless the operator lets it be used again.
//!
//! The instance lives in a future that the caller polls: first until the head of the answer exists,
//! then, inside the body, until the guest has ended. The answer counts as whole only when the guest
//! has ended without a fault. Nothing is spawned, so dropping the future or the body is the end of
//! the guest. (An instance with several requests at once is the exception: it is driven by a task, and the future
//! waits for that. See `bench`.)

pub(crate) mod body;
pub(crate) mod quote;
mod request;
mod streaming;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView, p3};

use crate::breaker::BreakerPermit;
use crate::capabilities::egress::LoopGuard;
use crate::instance::meter::{GuestMeter, bounded};
use crate::instance::pool::{GuestHandler, PooledInstance};
use crate::instance::shared::{GuestRequest, SharedInstances};
use crate::instance::store::{GuestState, RequestGrant, StoreConfig, renew, store};
use crate::instance::timed::TimedGuest;
use crate::invoke::body::{BodyRead, GuestBody};
use crate::invoke::request::prepare;
use crate::invoke::streaming::StreamingGuest;
use crate::load::link::Handler;
use crate::{Fault, Inner, MeteredAmount, PaymentReceipt, Permit, RequestBody, ResponseBody};

/// A guest that was interrupted between the head of its answer and its end gets so many more turns to end, so that a
/// short answer is whole at once however busy the machine is.
const TURNS: u32 = 4;

/// The head of an answer and its body, or why the guest says that there is none.
pub(crate) type GuestResponse = Result<Response<WasiBody>, String>;
/// What answers a request.
enum Instance {
    Fresh(Store<GuestState>),
    Used(PooledInstance),
}
/// Tells the guest how the transfer of its request's body ended.
pub(crate) type BodyTransfer = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
type Driver = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>;

/// The places a running guest takes, given back when it is dropped.
pub(crate) type InstancePermits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

pub(crate) async fn invoke(
    plugin: &Arc<Inner>,
    permit: Permit,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Fault> {
    let Permit { receipt, admission, patient } = permit;
    let wait = if patient { plugin.limits.first_byte } else { plugin.runtime.wait };
    let mut admission = match admission {
        Some(admission) => admission,
        None => plugin.health.admit()?,
    };
    match run(plugin, wait, receipt, request, &mut admission).await {
        Ok((parts, body, None)) => {
            admission.succeeded();
            Ok(Response::from_parts(parts, body.boxed_unsync()))
        }
        Ok((parts, body, Some(guest))) => {
            admission.answers();
            Ok(Response::from_parts(parts, body.of(guest, admission).boxed_unsync()))
        }
        Err(fault) => {
            admission.failed(&fault);
            Err(fault)
        }
    }
}

/// Begins a request in an instance of its own. Its slots are held for as long as its guest.
async fn alone(
    plugin: &Arc<Inner>,
    wait: Duration,
    receipt: Option<PaymentReceipt>,
    trail: LoopGuard,
    request: Request<WasiBody>,
    answer: oneshot::Sender<GuestResponse>,
    body_read: Arc<BodyRead>,
) -> Result<(Driver, Arc<GuestMeter>, InstancePermits), Fault> {
    let slots = plugin.place(wait).await?;
    let limits = &plugin.limits;
    let grant = StoreConfig {
        plugin: plugin.name.clone(),
        memory: limits.memory,
        cpu: limits.cpu,
        receipt,
        turns: plugin.runtime.turns.clone(),
        log: limits.log,
        serving: Some(RequestGrant { granted: plugin.granted.clone(), outgoing: limits.outgoing_requests, trail }),
    };
    let spare = plugin.spares.as_ref().and_then(|spares| spares.take());
    let (instance, meter) = match spare {
        Some(mut warm) => {
            let meter = renew(&mut warm.store, grant);
            (Instance::Used(warm), meter)
        }
        None => {
            let (store, meter) = store(plugin.engine(), grant);
            (Instance::Fresh(store), meter)
        }
    };
    let driver: Driver = match &plugin.linked.handler {
        Handler::P2(_) => Box::pin(drive_p2(plugin.clone(), instance, request, answer)),
        Handler::P3(_) => Box::pin(drive_p3(plugin.clone(), instance, request, answer, body_read)),
    };
    Ok((driver, meter, slots))
}

/// Begins a request beside others in an instance that runs by itself: the driver only waits for it.
async fn beside_others(
    plugin: &Arc<Inner>,
    benches: &Arc<SharedInstances>,
    wait: Duration,
    order: impl FnOnce(Arc<GuestMeter>) -> GuestRequest,
    admission: &mut BreakerPermit,
) -> Result<(Driver, Arc<GuestMeter>), Fault> {
    let seat = benches.find(plugin, wait).await?;
    let meter = GuestMeter::of_one(plugin.name.clone(), plugin.runtime.turns.clone());
    let excused = Arc::new(AtomicBool::new(false));
    admission.unless(excused.clone());
    let answered = seat.answer(plugin.clone(), Box::new(order(meter.clone())), excused);
    let driver = async move { answered.await.map_err(wasmtime::Error::new) };
    Ok((Box::pin(driver), meter))
}

/// Runs the guest until the head of its answer, and to its end if that comes at once.
async fn run(
    plugin: &Arc<Inner>,
    wait: Duration,
    receipt: Option<PaymentReceipt>,
    request: Request<RequestBody>,
    admission: &mut BreakerPermit,
) -> Result<(Parts, GuestBody, Option<StreamingGuest>), Fault> {
    let limits = &plugin.limits;
    let trail = LoopGuard::of(request.headers());
    let arriving = Arc::new(AtomicBool::new(false));
    let request = prepare(request, limits.request_body, &arriving)?;
    let (answer, answered) = oneshot::channel();
    let body_read = Arc::<BodyRead>::default();
    let (driver, meter, slots) = match &plugin.benches {
        Some(benches) => {
            let read = body_read.clone();
            let order = |meter| GuestRequest { request, receipt, trail, meter, answer, read };
            let (driver, meter) = beside_others(plugin, benches, wait, order, admission).await?;
            (driver, meter, None)
        }
        None => {
            let (driver, meter, slots) =
                alone(plugin, wait, receipt, trail, request, answer, body_read.clone()).await?;
            (driver, meter, Some(slots))
        }
    };
    let started = Instant::now();
    let mut guest = TimedGuest::new(driver, meter, started + limits.first_byte, arriving);

    let (elsewhere, mut answered) = (slots.is_none(), Some(answered));
    let mut ended = false;
    let mut head = None;
    let mut waited = 0;
    let answer = std::future::poll_fn(|cx| {
        if !ended {
            match guest.poll(cx) {
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(())) => ended = true,
                Poll::Pending => {}
            }
        }
        if head.is_none() {
            let none = || Fault::NoResponse("it returned without setting a response".into());
            head = match answered.as_mut().map(|answered| Pin::new(answered).poll(cx)) {
                Some(Poll::Ready(Ok(answer))) => Some(Ok(answer)),
                // A guest that is driven elsewhere is about to end, and it will be said why.
                Some(Poll::Ready(Err(_))) if elsewhere && !ended => {
                    answered = None;
                    None
                }
                Some(Poll::Ready(Err(_))) => Some(Err(none())),
                // An instance that is kept keeps its sender, too.
                Some(Poll::Pending) | None => ended.then(|| Err(none())),
            };
        }
        if head.is_some() && !ended && guest.meter().is_computing() && waited < TURNS {
            waited += 1;
            return Poll::Pending;
        }
        head.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await?;
    let response =
        answer.map_err(|code| Fault::NoResponse(format!("it answered with the error {}", bounded(code, 256))))?;
    let (mut parts, body) = response.into_parts();
    if parts.status.is_informational() {
        return Err(Fault::NoResponse(format!("{} is not a final status", parts.status.as_u16())));
    }
    parts.extensions.insert(MeteredAmount(guest.meter().clone()));
    guest.set_deadline(started + limits.total);
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = GuestBody::new(body, limits.response_body, declared, body_read);
    if ended {
        return Ok((parts, body.buffered()?, None));
    }
    Ok((parts, body, Some(StreamingGuest::new(guest, slots, limits.total))))
}

impl Instance {
    /// One that can be called.
    async fn live(self, handler: &Handler) -> wasmtime::Result<PooledInstance> {
        let mut store = match self {
            Self::Used(warm) => return Ok(warm),
            Self::Fresh(store) => store,
        };
        let live = match handler {
            Handler::P2(pre) => GuestHandler::P2(pre.instantiate_async(&mut store).await?),
            Handler::P3(pre) => GuestHandler::P3(pre.instantiate_async(&mut store).await?),
        };
        Ok(PooledInstance::new(store, live))
    }
}

async fn drive_p2(
    plugin: Arc<Inner>,
    instance: Instance,
    request: Request<WasiBody>,
    answer: oneshot::Sender<GuestResponse>,
) -> wasmtime::Result<()> {
    let mut warm = instance.live(&plugin.linked.handler).await?;
    let (store, GuestHandler::P2(proxy)) = (&mut warm.store, &warm.live) else {
        wasmtime::bail!("not a handler of WASI 0.2");
    };
    let scheme = match request.uri().scheme_str() {
        Some("https") => p2::Scheme::Https,
        _ => p2::Scheme::Http,
    };
    let request = store.data_mut().http().new_incoming_request(scheme, request)?;
    let out = store.data_mut().http().new_response_outparam_from_callback(move |result| {
        // Nobody receives it if the caller went away; then this future is dropped too.
        let _ = answer.send(result.map_err(|code| format!("{code:?}")));
    })?;
    proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await?;
    store.data_mut().abort_bodies();
    if let Some(spares) = &plugin.spares {
        spares.put(warm);
    }
    Ok(())
}

async fn drive_p3(
    plugin: Arc<Inner>,
    instance: Instance,
    request: Request<WasiBody>,
    answer: oneshot::Sender<GuestResponse>,
    body_read: Arc<BodyRead>,
) -> wasmtime::Result<()> {
    let mut warm = instance.live(&plugin.linked.handler).await?;
    let (store, GuestHandler::P3(service)) = (&mut warm.store, &warm.live) else {
        wasmtime::bail!("not a handler of WASI 0.3");
    };
    let (request, transfer) = p3::Request::from_http(store.data_mut().http().hooks, request);
    let transfer: BodyTransfer = Box::pin(transfer);
    let request = store.data_mut().table().push(request)?;
    let handle = service.wasi_http_handler().func_handle();
    let call = handle.start_call_concurrent(&mut *store, (request,))?;
    // From the first instruction on it is known for whom it works.
    store.data_mut().visits.answered_by(call.task());
    store
        .run_concurrent(async move |accessor| {
            match handle.finish_call_concurrent(accessor, call).await?.0 {
                Ok(response) => {
                    let response = accessor.with(|mut store| {
                        let response = store.get().table().delete(response)?;
                        response.into_http(&mut store, transfer)
                    })?;
                    let _ = answer.send(Ok(response));
                    // The body's bytes travel through this store, so it lives until they are read.
                    body_read.over().await;
                }
                Err(code) => {
                    let _ = answer.send(Err(format!("{code:?}")));
                }
            }
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            wasmtime::Result::<()>::Ok(())
        })
        .await??;
    if let Some(spares) = &plugin.spares {
        spares.put(warm);
    }
    Ok(())
}
