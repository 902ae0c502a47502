//! Queues the spans of requests, and exports them in batches, in a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The spans of one export.
const BATCH: usize = 512;

/// The time for which spans are collected.
const INTERVAL: Duration = Duration::from_secs(1);

/// The queue, and its task.
#[derive(Debug)]
pub(super) struct SpanQueue {
    /// None once the host ends.
    sender: Mutex<Option<mpsc::Sender<SpanData>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<SpanCounters>,
    resource: Arc<Mutex<Option<Resource>>>,
}

#[derive(Debug, Default)]
struct SpanCounters {
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// The spans of a host since it started, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    pub exported: u64,
    /// The collector did not take them.
    pub failed: u64,
    /// There was no room for them in the queue.
    pub dropped: u64,
}

impl SpanQueue {
    /// Begins to export.
    pub(super) fn begin(exporter: SpanExporter, room: usize) -> Arc<Self> {
        let (sender, received) = mpsc::channel(room);
        let (counters, resource) = (Arc::<SpanCounters>::default(), Arc::<Mutex<Option<Resource>>>::default());
        let task = tokio::spawn(export(exporter, received, Arc::clone(&counters), Arc::clone(&resource)));
        let (sender, task) = (Mutex::new(Some(sender)), Mutex::new(Some(task)));
        Arc::new(Self { sender, task, counters, resource })
    }

    pub(super) fn processor(self: Arc<Self>) -> QueueingProcessor {
        QueueingProcessor(self)
    }

    pub(super) fn counts(&self) -> SpanCounts {
        let SpanCounters { exported, failed, dropped } = &*self.counters;
        SpanCounts { exported: exported.load(Relaxed), failed: failed.load(Relaxed), dropped: dropped.load(Relaxed) }
    }

    /// Ends the queue, and waits until what is in it is exported.
    pub(super) async fn flush(&self) {
        drop(self.sender.lock().take());
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for SpanQueue {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Puts each span into the queue, without a wait.
#[derive(Debug)]
pub(super) struct QueueingProcessor(Arc<SpanQueue>);

impl SpanProcessor for QueueingProcessor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let is_queued = self.0.sender.lock().as_ref().is_some_and(|sender| sender.try_send(span).is_ok());
        if !is_queued {
            self.0.counters.dropped.fetch_add(1, Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        *self.0.resource.lock() = Some(resource.clone());
    }
}

/// Exports until the queue ends. A collector that fails is told of once, until it takes spans again.
async fn export(
    mut exporter: SpanExporter,
    mut received: mpsc::Receiver<SpanData>,
    counters: Arc<SpanCounters>,
    resource: Arc<Mutex<Option<Resource>>>,
) {
    let mut fails = false;
    while let Some(first) = received.recv().await {
        if let Some(resource) = resource.lock().take() {
            exporter.set_resource(&resource);
        }
        let mut batch = vec![first];
        let until = tokio::time::Instant::now() + INTERVAL;
        while batch.len() < BATCH
            && let Ok(Some(span)) = tokio::time::timeout_at(until, received.recv()).await
        {
            batch.push(span);
        }
        let spans = batch.len() as u64;
        match exporter.export(batch).await {
            Ok(()) => {
                counters.exported.fetch_add(spans, Relaxed);
                if std::mem::take(&mut fails) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(error) => {
                counters.failed.fetch_add(spans, Relaxed);
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(%error, "spans cannot be exported: check `otlp_endpoint` in [telemetry]");
                }
            }
        }
    }
}
