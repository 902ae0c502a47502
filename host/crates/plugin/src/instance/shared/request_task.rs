//! Answers one request in a shared instance, and takes it out of the instance when its body has been read.

use std::sync::Arc;

use tokio::sync::oneshot;
use wasmtime::component::{Accessor, AccessorTask, GuestTaskId, Resource};
use wasmtime_wasi_http::{WasiHttpView, p3};

use super::mailbox::{QueuedRequest, RequestEnd, SharedRequest};
use super::worker::RunningInstance;
use crate::breaker::payer_key;
use crate::instance::exchange::{BodyRead, BodyTransfer, GuestRequest, GuestResponse};
use crate::instance::meter::GuestMeter;
use crate::instance::pool::IDLE_HANDLES;
use crate::instance::store::{self, Grant, GuestState, RequestGrant};

/// A request in the instance.
pub(super) struct RequestTask {
    pub(super) queued: QueuedRequest,
    pub(super) instance: Arc<RunningInstance>,
}

impl AccessorTask<GuestState> for RequestTask {
    async fn run(self, accessor: &Accessor<GuestState>) -> wasmtime::Result<()> {
        let Self { queued: QueuedRequest { request, mut end }, instance } = self;
        // Its client has gone while it was queued.
        if end.is_closed() {
            return Ok(());
        }
        let SharedRequest { request, meter, progress } = *request;
        let GuestRequest { request, receipt, is_metered, provenance, response, body_read } = request;
        let payer = receipt.as_ref().map(|receipt| payer_key(&receipt.payer));
        let RunningInstance { service, share, state, .. } = &*instance;
        let handle = service.wasi_http_handler().func_handle();
        let (call, transfer) = accessor.with(|mut store| {
            let (request, transfer) = p3::Request::from_http(store.get().http().hooks, request);
            let request = store.get().table().push(request)?;
            let call = handle.start_call_concurrent(&mut store, (request,))?;
            // `start_call_concurrent` runs no code of the guest, so the context is there before its first instruction.
            let (capabilities, outgoing) = (share.capabilities.clone(), share.outgoing);
            let grant = RequestGrant { capabilities, outgoing, provenance, is_metered };
            let (_, context) = store::context(receipt, Grant::Requests(grant), meter.clone());
            state.meter.request_entered(store.get().contexts.insert(call.task(), context));
            let transfer: BodyTransfer = Box::pin(transfer);
            wasmtime::Result::<_>::Ok((call, transfer))
        })?;
        let task = call.task();
        state.occupants.entered(Arc::clone(&progress), payer);
        let answered = tokio::select! {
            biased;
            answered = handle.finish_call_concurrent(accessor, call) => Some(answered?.0),
            // wasmtime cannot cancel the guest task. It goes on without a context, so it can charge and send nothing.
            () = end.closed() => None,
        };
        // The guest may still work on the request of a client that has gone. A client that has read the whole answer has
        // gone, too, as HTTP/1 does not poll for the end of a body whose length is declared.
        let is_answered = match answered {
            Some(Ok(answer)) => {
                instance.respond(accessor, answer, transfer, response, &body_read)?;
                tokio::select! {
                    biased;
                    () = body_read.finished() => {
                        instance.drained().await;
                        true
                    }
                    () = end.closed() => false,
                }
            }
            Some(Err(code)) => {
                // There is no body to be read.
                body_read.finish();
                let _ = response.send(Err(format!("{code:?}")));
                true
            }
            None => false,
        };
        if is_answered {
            state.occupants.answered(&progress);
        }
        instance.leave(accessor, task, &meter);
        let _ = end.send(RequestEnd::Done);
        Ok(())
    }
}

impl RunningInstance {
    /// Hands out the response of a guest.
    fn respond(
        &self,
        accessor: &Accessor<GuestState>,
        answer: Resource<p3::Response>,
        transfer: BodyTransfer,
        response: oneshot::Sender<GuestResponse>,
        body_read: &BodyRead,
    ) -> wasmtime::Result<()> {
        let answer = accessor.with(|mut store| {
            let answer = store.get().table().delete(answer)?;
            wasmtime::Result::<_>::Ok(answer.into_http(&mut store, transfer))
        })?;
        // A response that HTTP forbids fails its own request only. Its body stays in the store, so the instance is
        // retired.
        let answer = answer.map_err(|error| {
            body_read.finish();
            self.state.retire();
            format!("{error:#}")
        });
        let _ = response.send(answer);
        Ok(())
    }

    /// Waits until the guest is drained.
    async fn drained(&self) {
        let (drained, on_drained) = oneshot::channel();
        self.draining.lock().push(drained);
        let _ = on_drained.await;
    }

    /// Removes a request from the instance, and retires the instance if it holds too much.
    fn leave(&self, accessor: &Accessor<GuestState>, task: GuestTaskId, meter: &Arc<GuestMeter>) {
        accessor.with(|mut store| {
            let guest = store.get();
            let inside = guest.contexts.remove(task, meter);
            self.state.meter.request_left(inside);
            let handles = guest.table().iter_mut().count();
            if guest.used_memory() > self.share.memory || handles > IDLE_HANDLES.saturating_mul(inside + 1) {
                self.state.retire();
            }
        });
    }
}
