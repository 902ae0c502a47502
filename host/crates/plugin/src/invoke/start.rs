//! Starts a guest for a request: in an instance of its own, fresh or from the pool, or in a shared one.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

use crate::breaker::CircuitPermit;
use crate::fault::Fault;
use crate::instance::Instances;
use crate::instance::exchange::{BodyRead, BodyTransfer, GuestRequest, GuestResponse, RequestProgress};
use crate::instance::linked::HandlerPre;
use crate::instance::meter::GuestMeter;
use crate::instance::permits::{InstanceMemory, InstancePermits, PermitRequest};
use crate::instance::pool::{GuestHandler, PooledInstance};
use crate::instance::shared::{Companions, SharedInstances, SharedRequest};
use crate::instance::store::{GuestState, renew, store};
use crate::instance::timed::GuestFuture;

/// A guest that has been started.
pub(super) struct StartedGuest {
    pub(super) guest: GuestFuture,
    /// Takes the charge of the request.
    pub(super) meter: Arc<GuestMeter>,
    /// The permits of its instance. None for a shared instance, which has its own.
    pub(super) permits: Option<InstancePermits>,
}

/// The instance that answers a request.
enum Instance {
    Fresh(Store<GuestState>, Arc<InstanceMemory>),
    Pooled(PooledInstance),
}

/// Starts a request in an instance of its own.
pub(super) async fn start_alone(
    instances: &Arc<Instances>,
    asked: PermitRequest,
    wait: Duration,
    request: GuestRequest,
) -> Result<StartedGuest, Fault> {
    let spec = &instances.spec;
    let mut permits = spec.permits.acquire(asked, wait).await?;
    let GuestRequest { request, receipt, is_metered, provenance, response, body_read } = request;
    let pooled = instances.reuse.pool().and_then(|pool| pool.take());
    if let Some(pooled) = &pooled {
        permits.adopt(&pooled.memory);
    }
    let memory = Arc::clone(permits.memory());
    let config = spec.store_config(Some(permits.clone()), receipt, is_metered, provenance);
    let (instance, meter) = match pooled {
        Some(mut instance) => {
            let meter = renew(&mut instance.store, config);
            (Instance::Pooled(instance), meter)
        }
        None => {
            let (store, meter) = store(&spec.engine, config);
            (Instance::Fresh(store, memory), meter)
        }
    };
    let guest: GuestFuture = match &spec.component.handler {
        HandlerPre::P2(_) => Box::pin(drive_p2(instances.clone(), instance, request, response)),
        HandlerPre::P3(_) => Box::pin(drive_p3(instances.clone(), instance, request, response, body_read)),
    };
    Ok(StartedGuest { guest, meter, permits: Some(permits) })
}

/// Starts a request in a shared instance, which is driven by a task of its own: the future only waits for the request's
/// end. A fault of the instance counts at most once for the plugin's circuits, however many requests it ends.
pub(super) async fn start_shared(
    instances: &Instances,
    shared: &SharedInstances,
    asked: PermitRequest,
    wait: Duration,
    request: GuestRequest,
    progress: &Arc<RequestProgress>,
    permit: &mut CircuitPermit,
) -> Result<StartedGuest, Fault> {
    let spec = &instances.spec;
    let slot = shared.acquire(spec, asked, wait).await?;
    let meter = GuestMeter::of_shared_request(spec.log.clone(), spec.plugin_cpu.clone());
    let companions = Arc::<Companions>::default();
    permit.shares(Arc::clone(&companions));
    let request = Box::new(SharedRequest { request, meter: meter.clone(), progress: Arc::clone(progress) });
    let answered = SharedInstances::answer(slot, spec.clone(), asked, request, companions);
    let guest = Box::pin(async move { answered.await.map_err(wasmtime::Error::new) });
    Ok(StartedGuest { guest, meter, permits: None })
}

impl Instance {
    /// Instantiates a fresh instance.
    async fn ready(self, handler: &HandlerPre) -> wasmtime::Result<PooledInstance> {
        let (mut store, memory) = match self {
            Self::Pooled(instance) => return Ok(instance),
            Self::Fresh(store, memory) => (store, memory),
        };
        let handler = match handler {
            HandlerPre::P2(pre) => GuestHandler::P2(pre.instantiate_async(&mut store).await?),
            HandlerPre::P3(pre) => GuestHandler::P3(pre.instantiate_async(&mut store).await?),
        };
        Ok(PooledInstance::new(store, handler, memory))
    }
}

/// Drives a guest of WASI 0.2 to its end.
async fn drive_p2(
    instances: Arc<Instances>,
    instance: Instance,
    request: Request<WasiBody>,
    response: oneshot::Sender<GuestResponse>,
) -> wasmtime::Result<()> {
    let mut instance = instance.ready(&instances.spec.component.handler).await?;
    let (store, GuestHandler::P2(proxy)) = (&mut instance.store, &instance.handler) else {
        wasmtime::bail!("not a handler of WASI 0.2");
    };
    let scheme = match request.uri().scheme_str() {
        Some("https") => p2::Scheme::Https,
        _ => p2::Scheme::Http,
    };
    let request = store.data_mut().http().new_incoming_request(scheme, request)?;
    let out = store.data_mut().http().new_response_outparam_from_callback(move |result| {
        // The receiver is gone only if the caller has dropped the request, and this future with it.
        let _ = response.send(result.map_err(|code| format!("{code:?}")));
    })?;
    proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await?;
    store.data_mut().abort_bodies();
    if let Some(pool) = instances.reuse.pool() {
        pool.put(instance);
    }
    Ok(())
}

/// Drives a guest of WASI 0.3 until its response has been read and its tasks have ended.
async fn drive_p3(
    instances: Arc<Instances>,
    instance: Instance,
    request: Request<WasiBody>,
    response: oneshot::Sender<GuestResponse>,
    body_read: Arc<BodyRead>,
) -> wasmtime::Result<()> {
    let mut instance = instance.ready(&instances.spec.component.handler).await?;
    let (store, GuestHandler::P3(service)) = (&mut instance.store, &instance.handler) else {
        wasmtime::bail!("not a handler of WASI 0.3");
    };
    let (request, transfer) = p3::Request::from_http(store.data_mut().http().hooks, request);
    let transfer: BodyTransfer = Box::pin(transfer);
    let request = store.data_mut().table().push(request)?;
    let handle = service.wasi_http_handler().func_handle();
    let call = handle.start_call_concurrent(&mut *store, (request,))?;
    // The task is known before the guest's first instruction.
    store.data_mut().contexts.set_task(call.task());
    store
        .run_concurrent(async move |accessor| {
            match handle.finish_call_concurrent(accessor, call).await?.0 {
                Ok(answer) => {
                    let answer = accessor.with(|mut store| {
                        let answer = store.get().table().delete(answer)?;
                        answer.into_http(&mut store, transfer)
                    })?;
                    let _ = response.send(Ok(answer));
                    // The body's bytes travel through this store, so it lives until they have been read.
                    body_read.finished().await;
                }
                Err(code) => {
                    let _ = response.send(Err(format!("{code:?}")));
                }
            }
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            wasmtime::Result::<()>::Ok(())
        })
        .await??;
    if let Some(pool) = instances.reuse.pool() {
        pool.put(instance);
    }
    Ok(())
}
