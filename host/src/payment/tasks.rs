//! Runs the work of payments in tasks that a client cannot stop and that shutdown waits for.

use std::sync::Arc;

use coinslot_base::request_id::RequestId;
use coinslot_ledger::PaymentId;

use super::{Payments, Problem};

impl Payments {
    /// Runs the work of one payment to its end in a task of its own: a client that hangs up does not stop it, and
    /// shutdown waits for it. The client hears [`Problem::Unknown`] when a settlement takes too long; the work goes on.
    /// Work that panics is [`Problem::Lost`]; its claim is given back by its `HoldGuard`.
    pub(super) async fn detach<T: Send + 'static>(
        &self,
        id: PaymentId,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let client = self.waiting.enter(&id);
        let at_work = self.waiting.work(&id);
        let mut task = self.work.spawn(RequestId::inherited(async move {
            let end = work.await;
            drop(at_work);
            end
        }));
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = client.overdue() => return Err(Problem::Unknown { payment_id: id.short() }),
        };
        let error = match ended {
            Ok(end) => return end,
            Err(error) => error,
        };
        tracing::error!(%error, "a payment's work ended without an answer");
        // The client sends the same payment again at once, and must not meet the claim of the work that panicked.
        let released = self.interrupted.lock().remove(&id);
        if let Some(released) = released {
            let _ = released.await;
        }
        Err(Problem::Lost { payment_id: id.short() })
    }

    /// Spawns the release of a claim whose work panicked. [`Self::detach`] waits for it before it answers.
    pub(super) fn release_interrupted(
        self: &Arc<Self>,
        id: PaymentId,
        release: impl Future<Output = ()> + Send + 'static,
    ) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (payments, released) = (Arc::clone(self), id.clone());
        // Locked over both steps: the task must not remove its entry before the entry is there.
        let mut interrupted = self.interrupted.lock();
        let task = self.work.spawn_on(
            RequestId::inherited(async move {
                release.await;
                payments.interrupted.lock().remove(&released);
            }),
            &runtime,
        );
        interrupted.insert(id, task);
    }

    /// Spawns work that shutdown waits for. Work that comes after the runtime has ended is not done: the next start
    /// puts the ledger in order.
    pub(super) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        // A `StreamedAnswer` calls this when it is dropped, which may be at the end of the runtime.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.work.spawn_on(RequestId::inherited(work), &runtime);
        }
    }

    /// Waits until every payment at work is finished. New ones may still begin: close the listener first.
    pub async fn drain(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// The number of payments at work.
    pub fn at_work(&self) -> usize {
        self.work.len()
    }
}
