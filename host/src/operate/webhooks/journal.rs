//! Remembers the place of a webhook and its attempts, and writes both to the ledger beside the deliveries.
//!
//! No delivery waits for the disk. What could not be written is written later. If the process ends before that, the next one
//! tells the messages of the last moments again: at least once, as webhooks are told. While the disk stalls, the attempts
//! that wait for it are bounded, and the oldest of them are forgotten.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::reports::AttemptFilter;
use coinslot_ledger::{Ledger, LedgerError, WebhookAttempt};
use coinslot_x402::UnixTime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Webhook;
use crate::operate::admin::HostView;
use crate::operate::api::read::read;

/// The attempts that are remembered for the operator.
const REMEMBERED: usize = 50;
/// The most attempts that wait for the disk.
const MOST_UNWRITTEN: usize = 1_000;
/// The most attempts of one write, which takes the writer of the ledger milliseconds.
const WRITTEN_AT_ONCE: usize = 100;
/// The time for which attempts are collected, so that a receiver which is fast causes few commits.
const COLLECTED: Duration = Duration::from_millis(200);
/// The pause after a write that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(2);
/// The longest wait for the disk on behalf of an operator, or of a host that ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// The journal of one webhook.
#[derive(Debug)]
pub(super) struct Journal {
    /// The name of the webhook.
    webhook: String,
    state: Mutex<JournalState>,
    /// Held during a write. Otherwise a place that an operator has set could be followed in the ledger by an earlier one,
    /// and a crash would lose what was asked for.
    writing: tokio::sync::Mutex<()>,
    /// Set off when there is something to write.
    noted: Notify,
}

#[derive(Debug, Default)]
struct JournalState {
    /// The place is known. Until then nothing is written: a place that is made up would have events told again, or not.
    has_begun: bool,
    place: u64,
    /// The place that the ledger has.
    written: u64,
    /// Attempts in a row that failed.
    failures: u32,
    /// All attempts of earlier processes that are remembered failed: there may be more.
    more_failures: bool,
    next_try: Option<UnixTime>,
    /// The last attempts, the newest last.
    attempts: VecDeque<WebhookAttempt>,
    /// Attempts that the ledger does not have yet.
    unwritten: VecDeque<WebhookAttempt>,
    /// Attempts that it will never have.
    lost: u64,
}

/// A place that no webhook has.
const NOWHERE: u64 = u64::MAX;

/// A webhook as its journal knows it.
#[derive(Clone, Debug)]
pub(super) struct JournalView {
    pub(super) place: u64,
    pub(super) failures: u32,
    pub(super) more_failures: bool,
    pub(super) next_try: Option<UnixTime>,
    /// The newest first.
    pub(super) attempts: Vec<WebhookAttempt>,
}

/// Forgets the time of the next attempt when it is dropped.
pub(super) struct Waiting<'j>(&'j Journal);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().next_try = None;
    }
}

impl Journal {
    pub(super) fn new(webhook: &str) -> Self {
        let (state, writing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { webhook: webhook.to_owned(), state, writing, noted: Notify::new() }
    }

    /// The name of the webhook among the readers of events.
    fn reader(&self) -> String {
        format!("webhook {}", self.webhook)
    }

    /// Remembers the attempts of earlier processes.
    pub(super) async fn recall(&self, host: &HostView) {
        let limit = u32::try_from(REMEMBERED).unwrap_or(u32::MAX);
        let filter = AttemptFilter { webhook: Some(self.webhook.clone()), limit, ..AttemptFilter::default() };
        match read(host, move |reader, _| reader.webhook_attempts(&filter)).await {
            Ok(found) => {
                let failed = found.iter().take_while(|kept| kept.attempt.error.is_some()).count();
                let mut state = self.state.lock();
                state.failures = u32::try_from(failed).unwrap_or(u32::MAX);
                state.more_failures = failed == REMEMBERED;
                found.into_iter().for_each(|kept| state.attempts.push_front(kept.attempt));
            }
            Err(error) => {
                let (url, error) = (&self.webhook, error.message);
                tracing::warn!(url, error, "earlier attempts of a webhook cannot be read: they are not shown");
            }
        }
    }

    /// Finds the place of the webhook. That of a new one is the end of the events.
    pub(super) async fn begin(&self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let _writing = self.writing.lock().await;
        let place = match ledger.place(&self.reader()).await? {
            Some(place) => place,
            None => {
                let last = ledger.last_event().await?;
                ledger.set_place(&self.reader(), last).await?;
                last
            }
        };
        self.state.lock().begin_at(place);
        // Attempts to tell alerts may have been noted before.
        self.noted.notify_one();
        Ok(())
    }

    pub(super) fn place(&self) -> u64 {
        self.state.lock().place
    }

    /// The newest event that the webhook was told. None before that is known.
    pub(super) fn told(&self) -> Option<u64> {
        let state = self.state.lock();
        state.has_begun.then_some(state.place)
    }

    pub(super) fn view(&self) -> JournalView {
        let state = self.state.lock();
        JournalView {
            place: state.place,
            failures: state.failures,
            more_failures: state.more_failures,
            next_try: state.next_try,
            attempts: state.attempts.iter().rev().cloned().collect(),
        }
    }

    /// Moves the place on. False if an operator has moved it meanwhile: that place counts.
    pub(super) fn move_on(&self, from: u64, to: u64) -> bool {
        let mut state = self.state.lock();
        if state.place != from {
            return false;
        }
        state.place = to;
        drop(state);
        self.noted.notify_one();
        true
    }

    /// Sets the place back for an operator, and never on: what waits would be told to nobody. Durable when it returns; on
    /// an error the place is as it was.
    pub(super) async fn set_place(&self, ledger: &dyn Ledger, place: u64) -> Result<(), LedgerError> {
        let set = async {
            let _writing = self.writing.lock().await;
            let told = match self.told() {
                Some(told) => told,
                None => ledger.place(&self.reader()).await?.unwrap_or(place),
            };
            let place = place.min(told);
            ledger.set_place(&self.reader(), place).await?;
            self.state.lock().begin_at(place);
            Ok(())
        };
        let Ok(set) = tokio::time::timeout(PATIENCE, set).await else {
            // The disk may still write it: then the place of this process is written over it.
            self.state.lock().written = NOWHERE;
            self.noted.notify_one();
            let stalled = format!("the disk did not answer within {} s", PATIENCE.as_secs());
            return Err(LedgerError::Unavailable(stalled));
        };
        set
    }

    /// Shows the time of the next attempt until the guard is dropped.
    pub(super) fn wait_until(&self, next: UnixTime) -> Waiting<'_> {
        self.state.lock().next_try = Some(next);
        Waiting(self)
    }

    /// Notes an attempt. Returns the number of those that failed in a row.
    pub(super) fn note(&self, attempt: WebhookAttempt) -> u32 {
        let mut state = self.state.lock();
        state.failures = if attempt.error.is_some() { state.failures.saturating_add(1) } else { 0 };
        state.more_failures &= attempt.error.is_some();
        if state.attempts.len() == REMEMBERED {
            state.attempts.pop_front();
        }
        state.attempts.push_back(attempt.clone());
        state.unwritten.push_back(attempt);
        state.bound();
        let failures = state.failures;
        drop(state);
        self.noted.notify_one();
        failures
    }

    /// Writes what is noted, for ever.
    pub(super) async fn keep(&self, host: &HostView) {
        loop {
            self.noted.notified().await;
            tokio::time::sleep(COLLECTED).await;
            let mut tries = 0_u64;
            while let Err(error) = self.write(&**host.payments.ledger()).await {
                if tries == 0 {
                    tracing::warn!(url = self.webhook, %error, "the attempts of a webhook cannot be written: later again");
                }
                tries += 1;
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
    }

    /// Writes everything that is noted.
    async fn write(&self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let _writing = self.writing.lock().await;
        loop {
            let (place, attempts): (u64, Vec<_>) = {
                let mut state = self.state.lock();
                if !state.has_begun || state.unwritten.is_empty() && state.place == state.written {
                    return Ok(());
                }
                let some = state.unwritten.len().min(WRITTEN_AT_ONCE);
                (state.place, state.unwritten.drain(..some).collect())
            };
            let written = ledger.keep_attempts(&self.reader(), place, attempts.clone()).await;
            let mut state = self.state.lock();
            if let Err(error) = written {
                attempts.into_iter().rev().for_each(|attempt| state.unwritten.push_front(attempt));
                state.bound();
                return Err(error);
            }
            state.written = place;
            if state.lost > 0 {
                let lost = std::mem::take(&mut state.lost);
                tracing::warn!(
                    url = self.webhook,
                    lost,
                    "attempts of a webhook are in no log: the disk did not answer"
                );
            }
        }
    }
}

impl JournalState {
    /// The ledger has this place.
    fn begin_at(&mut self, place: u64) {
        (self.has_begun, self.place, self.written) = (true, place, place);
    }

    /// Forgets the oldest attempts that are too many to wait for the disk.
    fn bound(&mut self) {
        while self.unwritten.len() > MOST_UNWRITTEN {
            self.unwritten.pop_front();
            self.lost += 1;
        }
    }
}

/// Writes what these webhooks have noted, before the host ends, within a time.
pub(crate) async fn write_all(webhooks: &[Arc<Webhook>], ledger: &dyn Ledger) {
    let write = async {
        for webhook in webhooks {
            if let Err(error) = webhook.journal.write(ledger).await {
                tracing::warn!(url = webhook.name(), %error, "the last attempts of a webhook cannot be written");
            }
        }
    };
    if tokio::time::timeout(PATIENCE, write).await.is_err() {
        tracing::warn!("the last attempts of webhooks cannot be written: the disk does not answer");
    }
}
