//! A request's seat on a bench, and how it is answered there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::Request;
use tokio::sync::{mpsc, oneshot};
use wasmtime_wasi_http::WasiBody;

use super::{InstanceState, Mailbox, SharedInstances};
use crate::capabilities::egress::LoopGuard;
use crate::instance::meter::GuestMeter;
use crate::invoke::GuestResponse;
use crate::invoke::body::BodyRead;
use crate::{Fault, Inner, PaymentReceipt};

/// A request that waits for its turn to begin.
pub(crate) struct QueuedRequest {
    pub(crate) order: Box<GuestRequest>,
    pub(crate) end: oneshot::Sender<RequestEnd>,
}

/// A request, and what its guest is told and may do.
pub(crate) struct GuestRequest {
    pub(crate) request: Request<WasiBody>,
    pub(crate) receipt: Option<PaymentReceipt>,
    pub(crate) trail: LoopGuard,
    pub(crate) meter: Arc<GuestMeter>,
    pub(crate) answer: oneshot::Sender<GuestResponse>,
    pub(crate) read: Arc<BodyRead>,
}

/// How a request ended, if not by a fault.
pub(crate) enum RequestEnd {
    Well,
    /// The instance failed before the guest heard of it.
    NotBegun(Box<GuestRequest>),
}

/// Held while a request is in an instance.
pub(crate) struct RequestSlot {
    pub(super) benches: Arc<SharedInstances>,
    pub(super) number: u64,
    pub(super) way: Mailbox,
    pub(super) fate: Arc<InstanceState>,
    /// Whether the request ended as it should.
    pub(super) well: bool,
    pub(super) read: Option<Arc<BodyRead>>,
}

impl RequestSlot {
    /// Has a request answered. Ready when its guest has answered it and come to rest, or failed.
    ///
    /// Of those who fail together one is not told so by `excused`.
    pub(crate) async fn answer(
        mut self,
        plugin: Arc<Inner>,
        mut order: Box<GuestRequest>,
        excused: Arc<AtomicBool>,
    ) -> Result<(), Fault> {
        loop {
            self.read = Some(Arc::clone(&order.read));
            let (end, ended) = oneshot::channel();
            match self.way.orders.send(QueuedRequest { order, end }) {
                Err(mpsc::error::SendError(job)) => order = job.order,
                Ok(()) => {
                    let fault = self.fate.fault.wait();
                    let end = tokio::select! {
                        biased;
                        end = ended => end.ok(),
                        _ = fault => None,
                    };
                    match end {
                        Some(RequestEnd::Well) => {
                            self.well = true;
                            return Ok(());
                        }
                        Some(RequestEnd::NotBegun(back)) => order = back,
                        None => {
                            let fault = self.fate.fault.wait().await.clone();
                            excused.store(self.fate.blamed.swap(true, Relaxed), Relaxed);
                            return Err(fault);
                        }
                    }
                }
            }
            // Its guest failed between the two: another one answers.
            self.read = None;
            let benches = Arc::clone(&self.benches);
            benches.close(self.number);
            drop(self);
            self = benches.find(&plugin, plugin.runtime.wait).await?;
        }
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        // Whoever has read everything waits for no end, and who has not asked anything leaves nothing behind.
        let left_early = !self.well && self.read.as_ref().is_some_and(|read| !read.is_over());
        self.benches.stand_up(self.number, left_early || self.fate.worn.load(Relaxed));
    }
}
