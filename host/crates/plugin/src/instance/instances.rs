//! The instances of one loaded plugin, and the way of their reuse.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::instance::permits::InstanceLimit;
use crate::instance::pool::{IdlePermits, InstancePool};
use crate::instance::shared::SharedInstances;
use crate::instance::spec::InstanceSpec;
use crate::limits::{Limits, Reuse};

/// The instances of one build, under one policy.
pub(crate) struct Instances {
    pub(crate) spec: Arc<InstanceSpec>,
    pub(crate) reuse: InstanceReuse,
}

/// The way in which instances are reused.
pub(crate) enum InstanceReuse {
    /// Each request gets a fresh instance.
    Never,
    /// An instance answers one request after another.
    Pooled(Arc<InstancePool>),
    /// An instance answers several requests at once, and drives itself in a task of its own.
    Shared(SharedInstances),
}

impl InstanceReuse {
    /// The reuse that a policy asks for. `idle` bounds the instances of all plugins that wait for a request, of which
    /// each takes as many permits as a running one.
    pub(crate) fn new(limits: &Limits, permits: &InstanceLimit, idle: &Arc<Semaphore>) -> Self {
        let idle = IdlePermits::new(Arc::clone(idle), permits.weight());
        match limits.reuse {
            None | Some(Reuse { concurrent: 0, .. }) => Self::Never,
            Some(Reuse { total, concurrent: 1 }) => Self::Pooled(InstancePool::new(total, limits.memory, idle)),
            Some(reuse) => Self::Shared(SharedInstances::new(reuse, permits.sells(), idle)),
        }
    }

    /// The pool to which an instance returns, if there is one.
    pub(crate) fn pool(&self) -> Option<&Arc<InstancePool>> {
        match self {
            Self::Pooled(pool) => Some(pool),
            Self::Never | Self::Shared(_) => None,
        }
    }
}
