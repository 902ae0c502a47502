//! Tells addresses of the operator what happens to payments and to the host, at least once, and signed.
//!
//! Messages about payments come from the events of the ledger: each address has a place there, which moves on when a
//! message is accepted. So none is lost over a restart, and those of one payment come in their order; one may come
//! twice. A message that is not accepted is tried again after growing pauses, for [`GIVE_UP`]; messages after it wait.
//! Alerts are told when they begin and when they end, which a file remembers over a restart.
//!
//! Each address has a task of its own. Nothing on the path of a request waits for one, and no delivery waits for the disk:
//! the [`journal`] of the address writes its attempts and its place to the ledger meanwhile.

mod delivery;
mod event;
mod journal;
mod message;
mod record;
mod resend;
mod secrets;
mod signature;
mod told;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_x402::UnixTime;
use tokio::sync::Notify;

use self::delivery::Delivery;
use self::journal::Journal;
use self::message::Message;
use self::secrets::read_secret;
use self::told::{TOLD, ToldAlerts};
use super::admin::HostView;
use super::alerts::{AlertKind, alerts};
use super::time;
use crate::config::WebhookConfig;
use crate::host::HostError;

pub use event::WebhookEvent;
pub(crate) use journal::write_all;
pub(super) use record::records;
pub(crate) use record::{AttemptRecord, WebhookRecord};
pub(super) use resend::ResendPlan;
pub(crate) use secrets::NewSecrets;

/// The pause between two looks for something new.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two looks for alerts, which read a file.
const ALERT_INTERVAL: Duration = Duration::from_secs(5);
/// The pauses after a message that was not accepted: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The time in which a host that has begun measures everything again: wallets, facilitators, ledger and chain.
const MEASURED: Duration = Duration::from_secs(180);
/// The time after which a message is given up, in seconds, from its first attempt in this process: the messages behind it
/// wait for it.
const GIVE_UP: u64 = 3 * 24 * 60 * 60;
/// The events of the ledger that are read at once.
const EVENTS: u32 = 100;

/// One address that is told, and how that goes.
#[derive(Debug)]
pub struct Webhook {
    /// Its name, which tells no secret of its receiver.
    name: String,
    config: WebhookConfig,
    delivery: Delivery,
    journal: Journal,
    /// Set off when an operator has moved the place of the address.
    moved: Notify,
}

impl Webhook {
    /// An address with the secret that its configuration names.
    ///
    /// # Errors
    ///
    /// The secret is missing or too short.
    pub fn new(config: WebhookConfig) -> Result<Self, HostError> {
        let secret = read_secret(&config)?;
        let failed = |reason: String| HostError::Config(format!("webhook {}: {reason}", config.name()));
        let delivery = Delivery::new(config.url.clone(), secret).map_err(failed)?;
        let name = config.name();
        Ok(Self { journal: Journal::new(&name), name, config, delivery, moved: Notify::new() })
    }

    fn is_told(&self, event: WebhookEvent) -> bool {
        self.config.events.contains(&event)
    }

    /// The name of the address, which tells no secret of its receiver.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// True if the address is called so: by its name, or by the whole of itself.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || self.config.url.as_str() == name
    }

    /// Tells the address what happens, for ever.
    pub(super) async fn run(self: Arc<Self>, host: Arc<HostView>) {
        self.journal.recall(&host).await;
        // Alerts do not wait behind a message about a payment that is not accepted.
        tokio::join!(self.follow_events(&host), self.follow_alerts(&host), self.journal.keep(&host));
    }

    /// Tells the events of the ledger, for ever.
    async fn follow_events(&self, host: &HostView) {
        self.begin(host).await;
        loop {
            self.tell_events(host).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = self.moved.notified() => {}
            }
        }
    }

    /// Tells what begins and what ends to be wrong, for ever, if the address is told any of it.
    async fn follow_alerts(&self, host: &Arc<HostView>) {
        if !AlertKind::ALL.into_iter().any(|kind| self.is_told(WebhookEvent::Alert(kind))) {
            return;
        }
        let file = host.config.state.folder.join(TOLD);
        let mut told = self.told_before(&file);
        let begun = Instant::now();
        loop {
            if begun.elapsed() > MEASURED {
                told.is_measured();
            }
            self.tell_alerts(host, &file, &mut told).await;
            tokio::time::sleep(ALERT_INTERVAL).await;
        }
    }

    /// Finds the place of the address. A new one is told what happens from now on.
    async fn begin(&self, host: &HostView) {
        loop {
            match self.journal.begin(&**host.payments.ledger()).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(url = self.name(), %error, "the place of a webhook cannot be read"),
            }
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
    }

    /// Tells everything that the ledger has after the place of the address.
    async fn tell_events(&self, host: &HostView) {
        let ledger = host.payments.ledger();
        loop {
            let place = self.journal.place();
            let events = match ledger.events(place, EVENTS).await {
                Ok(events) if events.is_empty() => return,
                Ok(events) => events,
                Err(error) => return tracing::warn!(url = self.name(), %error, "events for a webhook cannot be read"),
            };
            if let Some(first) = events.first()
                && place > 0
                && first.number > place + 1
            {
                let lost = first.number - place - 1;
                tracing::error!(
                    url = self.name(),
                    lost,
                    "events are gone before a webhook was told: it was away too long"
                );
            }
            let mut done = place;
            for event in events {
                if self.is_told(WebhookEvent::Payment(event.kind)) {
                    let message = Message::of_payment(&event, &host.units(), ledger.identity());
                    if !self.deliver(&message).await {
                        return;
                    }
                }
                if !self.journal.move_on(done, event.number) {
                    break;
                }
                done = event.number;
            }
        }
    }

    /// Tells the alerts that have begun or ended since the last look. What is to be told is kept before it is tried: each
    /// attempt has the same id and the same bytes, also after a restart.
    async fn tell_alerts(&self, host: &Arc<HostView>, file: &Path, told: &mut ToldAlerts) {
        let found = alerts(host).await.into_iter().filter(|alert| self.is_told(WebhookEvent::Alert(alert.kind)));
        if told.look(found.collect(), host.payments.now()) {
            self.keep_told(file, told);
        }
        for key in told.untold() {
            // An alert may be over by the time at which its address answers again: it is tried at the next look.
            let Some(message) = told.message(&key) else { continue };
            if !self.attempt(&message).await {
                return;
            }
            told.accepted(&key);
            self.keep_told(file, told);
        }
    }

    /// Delivers a message. False if the place of the address was moved meanwhile.
    async fn deliver(&self, message: &Message) -> bool {
        // It is not given up by the time of its event: what is told again may be old.
        let first = time::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if self.attempt(message).await {
                return true;
            }
            let now = time::now();
            if now.0.saturating_sub(first.0) > GIVE_UP {
                tracing::error!(
                    url = self.name(),
                    id = message.id(),
                    "a message was not accepted for three days: it is given up"
                );
                return true;
            }
            let _waiting = self.journal.wait_until(UnixTime(now.0 + pause.as_secs()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.moved.notified() => return false,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tries once. True if the message was accepted.
    async fn attempt(&self, message: &Message) -> bool {
        let at = time::now();
        let end = self.delivery.send(message, at).await;
        let (status, error) = match &end {
            Ok(status) => (Some(*status), None),
            Err(failure) => (failure.status, Some(failure.reason.clone())),
        };
        // The first of a row: a log does not grow with the time for which an address is away.
        if self.journal.note(message.attempt(&self.name, at, status, error.clone())) == 1 {
            let (url, id) = (self.name(), message.id());
            tracing::warn!(url, id, error, "a webhook was not delivered: it is tried again");
        }
        end.is_ok()
    }
}
