//! Tells addresses of the operator what happens to payments and to the host, at least once, and signed.
//!
//! Messages about payments come from the events of the ledger: each address has a place there, which moves on when a
//! message is accepted. So none is lost over a restart, and those of one payment come in their order; one may come
//! twice. A message that is not accepted is tried again after growing pauses, for [`GIVE_UP`]; messages after it wait.
//! Alerts are told when they begin and when they end, which a file remembers over a restart.
//!
//! Each address has a task of its own. Nothing on the path of a request waits for one.

mod delivery;
mod event;
mod message;
mod record;
mod secrets;
mod signature;
mod told;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use coinslot_x402::UnixTime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::delivery::Delivery;
use self::message::Message;
use self::secrets::read_secret;
use self::told::TOLD;
use super::admin::HostView;
use super::alerts::{Alert, AlertKind, alerts};
use super::time;
use crate::config::WebhookConfig;
use crate::host::HostError;

pub use event::WebhookEvent;
pub(crate) use record::{AttemptRecord, WebhookRecord};
pub(crate) use secrets::NewSecrets;

/// The pause between two looks for something new.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The pause between two looks for alerts, which read a file.
const ALERT_INTERVAL: Duration = Duration::from_secs(5);
/// The pauses after a message that was not accepted: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The time after which a message is given up, in seconds: those after it wait for it.
const GIVE_UP: u64 = 3 * 24 * 60 * 60;
/// The events of the ledger that are read at once.
const EVENTS: u32 = 100;
/// The attempts that are remembered for the operator.
const REMEMBERED: usize = 50;

/// One address that is told, and how that goes.
#[derive(Debug)]
pub struct Webhook {
    /// Its name, which tells no secret of its receiver.
    name: String,
    config: WebhookConfig,
    delivery: Delivery,
    log: Mutex<WebhookLog>,
    /// Held while the place is written to the ledger and to memory. Otherwise a place that an operator has set could be
    /// followed in the ledger by that of a message which was on its way, and a crash would lose what was asked for.
    place: tokio::sync::Mutex<()>,
    /// Set off when the place of the address has changed.
    moved: Notify,
}

/// The place and the last attempts of an address.
#[derive(Debug, Default)]
struct WebhookLog {
    place: u64,
    failures: u32,
    next_try: Option<UnixTime>,
    attempts: VecDeque<AttemptRecord>,
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
        let (log, place) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { name: config.name(), config, delivery, log, place, moved: Notify::new() })
    }

    /// The name of its place among the readers of events.
    fn reader(&self) -> String {
        format!("webhook {}", self.name)
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

    /// Tells it again what happened after this event.
    pub(super) async fn resend(&self, host: &HostView, after: u64) -> Result<(), coinslot_ledger::LedgerError> {
        let _place = self.place.lock().await;
        host.payments.ledger().set_place(&self.reader(), after).await?;
        self.log.lock().place = after;
        self.moved.notify_one();
        Ok(())
    }

    /// Tells the address what happens, for ever.
    pub(super) async fn run(self: Arc<Self>, host: Arc<HostView>) {
        // Alerts do not wait behind a message about a payment that is not accepted.
        tokio::join!(self.follow_events(&host), self.follow_alerts(&host));
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
        loop {
            let before = told.clone();
            self.tell_alerts(host, &mut told).await;
            if told != before {
                self.keep_told(&file, &told);
            }
            tokio::time::sleep(ALERT_INTERVAL).await;
        }
    }

    /// Finds the place of the address. A new one is told what happens from now on.
    async fn begin(&self, host: &HostView) {
        let ledger = host.payments.ledger();
        loop {
            let place = async {
                match ledger.place(&self.reader()).await? {
                    Some(place) => Ok(place),
                    None => {
                        let last = ledger.last_event().await?;
                        ledger.set_place(&self.reader(), last).await.map(|()| last)
                    }
                }
            };
            match place.await {
                Ok(place) => return self.log.lock().place = place,
                Err(error) => tracing::warn!(url = self.name(), %error, "the place of a webhook cannot be read"),
            }
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
    }

    /// Tells everything that the ledger has after the place of the address.
    async fn tell_events(&self, host: &HostView) {
        let ledger = host.payments.ledger();
        loop {
            let place = self.log.lock().place;
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
                    if !self.deliver(&message, event.at).await {
                        return;
                    }
                }
                if !self.move_on(host, done, event.number).await {
                    break;
                }
                done = event.number;
            }
        }
    }

    /// Moves the place on, in the ledger and in memory. False if the operator has moved it meanwhile: that place counts.
    async fn move_on(&self, host: &HostView, from: u64, to: u64) -> bool {
        let _place = self.place.lock().await;
        if self.log.lock().place != from {
            return false;
        }
        if let Err(error) = host.payments.ledger().set_place(&self.reader(), to).await {
            tracing::warn!(url = self.name(), %error, "the place of a webhook cannot be written: it is told again");
        }
        self.log.lock().place = to;
        true
    }

    /// Tells the alerts that have begun or ended since the last look.
    async fn tell_alerts(&self, host: &Arc<HostView>, told: &mut BTreeMap<(AlertKind, String), Alert>) {
        let found = alerts(host).await.into_iter().filter(|alert| self.is_told(WebhookEvent::Alert(alert.kind)));
        let now = host.payments.now();
        let present: BTreeMap<_, _> = found.map(|alert| (alert.key(), alert)).collect();
        let begun: Vec<_> = present.iter().filter(|(key, _)| !told.contains_key(*key)).collect();
        for (key, alert) in begun {
            // An alert may be over by the time at which its address answers again: it is tried at the next look.
            if !self.attempt(&Message::of_alert(alert, true, now)).await {
                return;
            }
            told.insert(key.clone(), alert.clone());
        }
        let ended: Vec<_> = told.keys().filter(|key| !present.contains_key(*key)).cloned().collect();
        for key in ended {
            if let Some(alert) = told.get(&key)
                && !self.attempt(&Message::of_alert(alert, false, now)).await
            {
                return;
            }
            told.remove(&key);
        }
    }

    /// Delivers a message about something of this time. False if the place of the address was moved meanwhile.
    async fn deliver(&self, message: &Message, at: UnixTime) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.attempt(message).await {
                return true;
            }
            if message.now().0.saturating_sub(at.0) > GIVE_UP {
                tracing::error!(
                    url = self.name(),
                    id = message.id(),
                    "a message was not accepted for three days: it is given up"
                );
                return true;
            }
            self.log.lock().next_try = Some(message.now().plus(pause.as_secs()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.moved.notified() => return false,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tries once. True if the message was accepted.
    async fn attempt(&self, message: &Message) -> bool {
        let end = self.delivery.send(message).await;
        let mut log = self.log.lock();
        let (status, error) = match &end {
            Ok(status) => (Some(*status), None),
            Err(failure) => (failure.status, Some(failure.reason.clone())),
        };
        if end.is_ok() {
            (log.failures, log.next_try) = (0, None);
        } else {
            log.failures = log.failures.saturating_add(1);
            // The first of a row: a log does not grow with the time for which an address is away.
            if log.failures == 1 {
                tracing::warn!(
                    url = self.name(),
                    id = message.id(),
                    error,
                    "a webhook was not delivered: it is tried again"
                );
            }
        }
        if log.attempts.len() == REMEMBERED {
            log.attempts.pop_front();
        }
        let (at, id, kind) = (time::shown(message.now()), message.id().to_owned(), message.kind().to_owned());
        log.attempts.push_back(AttemptRecord { at, id, kind, status, error });
        end.is_ok()
    }
}
