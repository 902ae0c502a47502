//! Gives each request a slot in a shared instance, and sends it there to be answered.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::list::{InstanceList, PermitKind, SharedInstance};
use super::mailbox::SharedRequest;
use super::occupants::Companions;
use super::slot::{RequestSlot, SlotFailure};
use super::worker;
use crate::fault::Fault;
use crate::instance::permits::{Demand, InstancePermits, PermitRequest, Room};
use crate::instance::pool::IdlePermits;
use crate::instance::spec::InstanceSpec;
use crate::limits::Reuse;
use crate::permit::Client;

/// The shared instances of one build.
pub(crate) struct SharedInstances {
    list: Arc<InstanceList>,
}

impl SharedInstances {
    pub(crate) fn new(reuse: Reuse, sells: bool, idle_permits: IdlePermits) -> Self {
        Self { list: InstanceList::new(reuse, sells, idle_permits) }
    }

    /// Takes a slot of an instance in use, or else of an idle or a new one, waiting at most this long.
    pub(crate) async fn acquire(
        &self,
        spec: &InstanceSpec,
        request: PermitRequest,
        wait: Duration,
    ) -> Result<RequestSlot, Fault> {
        if let Some(slot) = self.try_acquire(spec, request) {
            return Ok(slot);
        }
        let in_use = || self.slot_in_use(&mut self.list.lock(), request.demand, |_| true);
        let alone = |permits| self.slot_alone(&mut self.list.lock(), spec, permits);
        self.wait(spec, request, wait, in_use, alone).await
    }

    /// Takes a slot that is free at once. Instances whose guest computes for long are passed over, so that their
    /// requests have the processor, as long as there are permits for another instance.
    fn try_acquire(&self, spec: &InstanceSpec, request: PermitRequest) -> Option<RequestSlot> {
        // One lock for both steps: of requests that come at once, the first makes an instance and the others join it.
        let mut instances = self.list.lock();
        match self.slot_in_use(&mut instances, request.demand, |instance| !instance.state.meter.is_computing()) {
            // Every instance in use computes for long: take another one, if there are permits for it.
            None => spec.permits.try_acquire(request).map(|permits| self.slot_alone(&mut instances, spec, permits)),
            slot => slot,
        }
    }

    /// Tells whether a slot or permits for an instance are free for paid work.
    pub(crate) fn room(&self, spec: &InstanceSpec) -> Room {
        if self.has_slot() { Room::Free } else { spec.permits.room(Demand::Paid) }
    }

    /// True if an instance in use has a slot for paid work.
    fn has_slot(&self) -> bool {
        self.list.lock().iter().any(|instance| instance.is_in_use() && self.list.accepts(instance, Demand::Paid))
    }

    /// Waits until a slot or permits for an instance are free, at most this long, and takes neither.
    pub(crate) async fn await_room(&self, spec: &InstanceSpec, client: Client, wait: Duration) -> Result<(), Fault> {
        let request = PermitRequest { demand: Demand::Paid, client };
        self.wait(spec, request, wait, || self.has_slot().then_some(()), drop).await?;
        // This call may have received the one notification of a freed slot, which it does not take: pass it on.
        self.list.freed(Demand::Paid).notify_one();
        Ok(())
    }

    /// Waits until there is a slot in an instance in use, or permits for another instance.
    ///
    /// The notification is enabled before the list is read: a slot that is released in between is not missed.
    async fn wait<T>(
        &self,
        spec: &InstanceSpec,
        request: PermitRequest,
        most: Duration,
        in_use: impl Fn() -> Option<T>,
        alone: impl FnOnce(InstancePermits) -> T,
    ) -> Result<T, Fault> {
        let found = async {
            // Pinned outside of the loop, so that this request keeps its turn in the queue of the semaphore.
            let mut permits = pin!(spec.permits.next(request));
            loop {
                let mut freed = pin!(self.list.freed(request.demand).notified());
                freed.as_mut().enable();
                if let Some(slot) = in_use() {
                    return Some(slot);
                }
                tokio::select! {
                    biased;
                    permits = &mut permits => return permits.map(alone),
                    () = freed => {}
                }
            }
        };
        tokio::time::timeout(most, found).await.ok().flatten().ok_or(Fault::Busy)
    }

    /// A slot of the newest instance in use that accepts a request and that the filter accepts.
    fn slot_in_use(
        &self,
        instances: &mut [SharedInstance],
        demand: Demand,
        filter: impl Fn(&SharedInstance) -> bool,
    ) -> Option<RequestSlot> {
        let mut newest_first = instances.iter_mut().rev();
        let accepts =
            |instance: &SharedInstance| instance.is_in_use() && self.list.accepts(instance, demand) && filter(instance);
        let instance = newest_first.find(|instance| accepts(instance))?;
        Some(RequestSlot::new(&self.list, instance))
    }

    /// The first slot of an idle instance, or of a new one.
    fn slot_alone(
        &self,
        instances: &mut Vec<SharedInstance>,
        spec: &InstanceSpec,
        permits: InstancePermits,
    ) -> RequestSlot {
        let idle = |instance: &&mut SharedInstance| !instance.is_in_use() && self.list.accepts(instance, Demand::Paid);
        let slot = match instances.iter_mut().rev().find(idle) {
            Some(instance) => {
                instance.set_running(permits);
                RequestSlot::new(&self.list, instance)
            }
            None => {
                let mut instance = self.start(spec, permits);
                let slot = RequestSlot::new(&self.list, &mut instance);
                instances.push(instance);
                slot
            }
        };
        // An instance that is new, or was idle, has further slots for requests that wait.
        self.list.notify_all();
        slot
    }

    /// Starts an instance.
    fn start(&self, spec: &InstanceSpec, permits: InstancePermits) -> SharedInstance {
        let number = self.list.next_number();
        let memory = Arc::clone(permits.memory());
        let permit = Arc::new(Mutex::new(PermitKind::Running(permits)));
        // Weak, because the instances would otherwise keep themselves alive when the plugin is gone.
        let list = Arc::downgrade(&self.list);
        let close = move || {
            if let Some(list) = list.upgrade() {
                list.close(number);
            }
        };
        let (mailbox, state) = worker::start(spec, self.list.reuse, Arc::clone(&permit), memory, close);
        SharedInstance::new(number, mailbox, state, permit)
    }

    /// Has a request answered in this slot. Ready when its guest has answered it and is drained, or has failed.
    ///
    /// A request that its instance has not started is sent to another instance. When an instance fails, all of its
    /// requests but one are excused, so that the failure counts once for the plugin.
    pub(crate) async fn answer(
        mut slot: RequestSlot,
        spec: Arc<InstanceSpec>,
        asked: PermitRequest,
        mut request: Box<SharedRequest>,
        companions: Arc<Companions>,
    ) -> Result<(), Fault> {
        loop {
            companions.join(slot.occupants());
            match slot.answer(request).await {
                Ok(()) => return Ok(()),
                Err(SlotFailure::NotStarted(returned)) => request = returned,
                Err(SlotFailure::Failed { fault, excused: by_another }) => {
                    companions.excuse(by_another);
                    return Err(fault);
                }
            }
            // The old slot is given back before another one is awaited: the wait may be for the permits of its
            // instance.
            let instances = Self { list: slot.into_list() };
            slot = instances.acquire(&spec, asked, spec.wait).await?;
        }
    }
}
