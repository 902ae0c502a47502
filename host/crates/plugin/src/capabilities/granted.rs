//! The capabilities of one plugin, ready for its guests.

use std::fmt;
use std::sync::{Arc, LazyLock};

use wasmtime_wasi_config::WasiConfigVariables;

use crate::capabilities::config::Grants;
use crate::capabilities::egress::{EgressClient, Resolve};
use crate::capabilities::keyvalue::{KvGrant, KvStores};
use crate::headers::HostOnly;
use crate::limits::OutgoingTimeouts;

/// The capabilities of one plugin's guests. A guest that describes itself has [`Capabilities::configured`], and one
/// that quotes a price [`Capabilities::none`], whatever else its plugin is granted.
#[derive(Default)]
pub(crate) struct Capabilities {
    pub(crate) outgoing: Option<Arc<EgressClient>>,
    pub(crate) config: WasiConfigVariables,
    pub(crate) keyvalue: Option<KvGrant>,
    /// The grants, for people to read.
    pub(crate) shown: Vec<String>,
}

impl fmt::Debug for Capabilities {
    /// Leaves out the configured values, which may be confidential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capabilities")
            .field("outgoing", &self.outgoing)
            .field("keyvalue", &self.keyvalue)
            .finish_non_exhaustive()
    }
}

impl Capabilities {
    /// No capability at all.
    pub(crate) fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Capabilities>> = LazyLock::new(Arc::default);
        Arc::clone(&NONE)
    }

    /// A configuration, and nothing else.
    pub(crate) fn configured(config: &[(String, String)]) -> Arc<Self> {
        Arc::new(Self { config: variables(config), ..Self::default() })
    }

    /// The capabilities that the plugin of this name is granted.
    pub(crate) fn new(
        name: &str,
        grants: &Grants,
        timeouts: OutgoingTimeouts,
        resolver: &Arc<dyn Resolve>,
        kv_stores: &KvStores,
        is_host_only: HostOnly,
    ) -> Arc<Self> {
        let client = || EgressClient::new(grants, timeouts, Arc::clone(resolver), is_host_only);
        let outgoing = (!grants.http.is_empty()).then(|| Arc::new(client()));
        let keyvalue = grants.keyvalue.map(|quota| KvGrant { store: kv_stores.of(name), quota });
        Arc::new(Self { outgoing, config: variables(&grants.config), keyvalue, shown: grants.shown() })
    }
}

fn variables(config: &[(String, String)]) -> WasiConfigVariables {
    config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
