//! Applies a changed configuration beside a running host: limits, grants, what is taken and for whom.
//!
//! The file is looked at every second, and on SIGHUP at once, which reads files of secrets anew as well. Anything
//! wrong with it changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::catalog::{Reconfigure, SalesPolicy};
use crate::cli::Failure;
use crate::cli::assemble::{Assembled, terms};
use crate::config::Config;
use coinslot_base::file::FileStamp;
use coinslot_facilitator::local::Local;
use coinslot_x402::price::Accept;

const LOOK: Duration = Duration::from_secs(1);

/// What a change of the configuration touches.
pub(super) struct Reload {
    file: PathBuf,
    /// As the host runs it.
    config: Config,
    public_url: String,
    /// What the facilitators are connected for.
    accepts: Vec<Accept>,
    locals: Vec<Arc<Local>>,
    reconfigure: mpsc::Sender<Reconfigure>,
}

impl Reload {
    pub(super) fn new(
        file: PathBuf,
        config: Config,
        public_url: String,
        assembled: &Assembled,
        reconfigure: mpsc::Sender<Reconfigure>,
    ) -> Self {
        Self {
            file,
            config,
            public_url,
            accepts: assembled.accepts.clone(),
            locals: assembled.locals.clone(),
            reconfigure,
        }
    }

    /// Follows the file for ever.
    pub(super) async fn follow(mut self) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard: the configuration's file is looked at"))
            .ok();
        let mut known = self.stamp();
        loop {
            let asked = tokio::select! {
                Some(()) = async { hangup.as_mut()?.recv().await } => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let now = self.stamp();
            if !asked && now == known {
                continue;
            }
            if !asked {
                // Whoever writes it in place may not be done.
                tokio::time::sleep(Duration::from_millis(100)).await;
                if self.stamp() != now {
                    continue;
                }
            }
            known = now;
            match self.apply().await {
                Ok(()) => tracing::info!(file = %self.file.display(), "the configuration is active"),
                Err(failure) => {
                    let reason = failure.message;
                    tracing::warn!(file = %self.file.display(), %reason, "not active; what was configured before is");
                }
            }
        }
    }

    fn stamp(&self) -> Option<FileStamp> {
        FileStamp::of(&self.file).ok()
    }

    /// All of it, or nothing.
    async fn apply(&mut self) -> Result<(), Failure> {
        let config = Config::read(&self.file).map_err(|problems| Failure::usage(problems.to_string()))?;
        let policies = terms::terms(&config)?;
        let accepts = self.taken(&config)?;
        let receivers: Vec<Address> = accepts.iter().filter_map(|accept| accept.pay_to.parse().ok()).collect();
        // Before anybody is offered to pay them. One that is named and not offered costs nothing.
        for local in &self.locals {
            local.also_for(&receivers);
        }
        let sales = SalesPolicy { accepts, public_url: self.public_url.clone(), flows: config.flows.clone() };
        let (done, answer) = oneshot::channel();
        let gone = |_| Failure::new("the plugin folder is not watched any more");
        self.reconfigure.send(Reconfigure { policies, sales, done }).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?.map_err(Failure::new)?;
        for key in self.config.needs_restart(&config) {
            tracing::warn!("{key} has changed: this takes effect at the next start");
        }
        Ok(())
    }

    /// What is taken from now on: what a facilitator is connected for, in its new order and for its new receiver.
    fn taken(&self, config: &Config) -> Result<Vec<Accept>, Failure> {
        let mut accepts = Vec::new();
        for (accept, _) in &config.accepts {
            match self.accepts.iter().find(|former| former.asset == accept.asset) {
                Some(former) => accepts.push(Accept {
                    asset: Arc::clone(&former.asset),
                    versions: former.versions,
                    max_unsettled: former.max_unsettled,
                    ..accept.clone()
                }),
                None => tracing::warn!(
                    "{} on {} is not taken yet: a new asset is taken from the next start on",
                    accept.asset.symbol,
                    accept.asset.network
                ),
            }
        }
        if accepts.is_empty() {
            return Err(Failure::new("none of its assets was taken at the start: restart to take others"));
        }
        Ok(accepts)
    }
}
