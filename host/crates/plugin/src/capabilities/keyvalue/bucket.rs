//! A bucket that a guest has opened, and the grant behind it.

use std::sync::Arc;

use super::disk::KvStore;
use crate::capabilities::config::Quota;

/// The store of one plugin, with its quota.
#[derive(Clone, Debug)]
pub(crate) struct KvGrant {
    pub(crate) store: Arc<KvStore>,
    pub(crate) quota: Quota,
}

/// A part of a plugin's store that a guest has opened.
#[derive(Clone, Debug)]
#[allow(unreachable_pub, reason = "the generated code names it in public")]
pub struct KvBucket {
    pub(crate) name: Arc<str>,
    pub(crate) grant: KvGrant,
}
