//! Keeps the alerts that each address was told to have begun, and those that it is to be told: they end at the receiver
//! although their host was restarted, and a message that is tried again is the same message.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coinslot_base::file::{read_regular, replace};
use coinslot_x402::UnixTime;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Webhook;
use super::message::Message;
use crate::operate::alerts::{Alert, AlertKind};

/// The file in the state folder with the alerts of each address.
pub(super) const TOLD: &str = "alerts.json";
/// Held while the file is read and written: the addresses share it.
static TOLD_FILE: Mutex<()> = Mutex::new(());

/// The identity of an alert.
type AlertKey = (AlertKind, String);

/// An alert that an address was told, or is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ToldAlert {
    /// As it was when it was to be told first.
    #[serde(flatten)]
    alert: Alert,
    /// The message about it that the address has not accepted. None: it was told that the alert has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    untold: Option<Untold>,
}

/// A message that was not accepted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Untold {
    /// It tells that the alert has begun; or else that it has ended.
    begins: bool,
    /// Seconds since 1970 at which that was found.
    at: u64,
}

/// The alerts of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldAlerts {
    alerts: BTreeMap<AlertKey, ToldAlert>,
    /// The alerts of an earlier process which this one has not measured: they have not ended before it has.
    earlier: BTreeSet<AlertKey>,
    /// The alerts of the last look.
    present: BTreeSet<AlertKey>,
}

impl ToldAlerts {
    fn before(alerts: Vec<ToldAlert>) -> Self {
        let alerts: BTreeMap<_, _> = alerts.into_iter().map(|told| (told.alert.key(), told)).collect();
        let earlier = alerts.keys().filter(|key| key.0.is_measured()).cloned().collect();
        Self { alerts, earlier, present: BTreeSet::new() }
    }

    /// This process has measured everything that an earlier one has.
    pub(super) fn is_measured(&mut self) {
        self.earlier.clear();
    }

    /// Notes what is wrong at this time. True if something is to be told, or no longer.
    pub(super) fn look(&mut self, found: Vec<Alert>, now: UnixTime) -> bool {
        let before = self.alerts.clone();
        self.present = found.iter().map(Alert::key).collect();
        let (present, earlier) = (&self.present, &mut self.earlier);
        earlier.retain(|key| !present.contains(key));
        self.alerts.retain(|key, told| {
            let has_ended = !present.contains(key) && !earlier.contains(key);
            match told.untold {
                // Nobody was told that it had begun.
                Some(Untold { begins: true, .. }) => !has_ended,
                Some(Untold { begins: false, .. }) if has_ended => true,
                None if has_ended => {
                    told.untold = Some(Untold { begins: false, at: now.0 });
                    true
                }
                // It is there again before the address was told that it had ended.
                Some(Untold { begins: false, .. }) | None => {
                    told.untold = None;
                    true
                }
            }
        });
        for alert in found {
            let untold = Some(Untold { begins: true, at: now.0 });
            self.alerts.entry(alert.key()).or_insert(ToldAlert { alert, untold });
        }
        self.alerts != before
    }

    /// The alerts whose messages are to be sent: first those that have begun. What has begun in an earlier process is not
    /// sent before it is found again.
    pub(super) fn untold(&self) -> Vec<AlertKey> {
        let that = |wanted: bool| {
            self.alerts.iter().filter(move |(key, told)| {
                told.untold.is_some_and(|untold| untold.begins == wanted) && (!wanted || self.present.contains(*key))
            })
        };
        that(true).chain(that(false)).map(|(key, _)| key.clone()).collect()
    }

    /// The message about this alert that was not accepted yet: the same one at each attempt.
    pub(super) fn message(&self, key: &AlertKey) -> Option<Message> {
        let ToldAlert { alert, untold } = self.alerts.get(key)?;
        let Untold { begins, at } = (*untold)?;
        Some(Message::of_alert(alert, begins, UnixTime(at)))
    }

    /// The address has accepted the message about this alert.
    pub(super) fn accepted(&mut self, key: &AlertKey) {
        match self.alerts.get_mut(key) {
            Some(ToldAlert { untold: Some(Untold { begins: false, .. }), .. }) => drop(self.alerts.remove(key)),
            Some(told) => told.untold = None,
            None => {}
        }
    }
}

/// The alerts of each address. A file that cannot be read has none: they are told again.
fn read_told(file: &Path) -> BTreeMap<String, Vec<ToldAlert>> {
    read_regular(file, 1 << 20).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

impl Webhook {
    /// The alerts of the address, as an earlier process has left them.
    pub(super) fn told_before(&self, file: &Path) -> ToldAlerts {
        let told = TOLD_FILE.lock();
        let mut all = read_told(file);
        drop(told);
        ToldAlerts::before(all.remove(self.name()).unwrap_or_default())
    }

    /// Keeps them for the next process. If the disk fails, that one tells them again.
    pub(super) fn keep_told(&self, file: &Path, told: &ToldAlerts) {
        let _all = TOLD_FILE.lock();
        let mut all = read_told(file);
        all.insert(self.name().to_owned(), told.alerts.values().cloned().collect());
        let written = serde_json::to_vec_pretty(&all).map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|text| replace(file, 0o600, &text)) {
            tracing::warn!(file = %file.display(), %error, "the alerts that webhooks were told cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(message: &str) -> Alert {
        let (subject, advice) = ("shop".to_owned(), "mend it".to_owned());
        Alert { kind: AlertKind::PluginUnhealthy, subject, message: message.to_owned(), advice, severe: false }
    }

    fn only_message(told: &ToldAlerts) -> Message {
        let [key] = &*told.untold() else { panic!("not one message: {told:?}") };
        told.message(key).expect("a message")
    }

    /// What the file has after a restart.
    fn restarted(told: &ToldAlerts) -> ToldAlerts {
        let text = serde_json::to_vec(&told.alerts.values().collect::<Vec<_>>()).expect("JSON");
        ToldAlerts::before(serde_json::from_slice(&text).expect("the same"))
    }

    #[test]
    fn a_message_that_is_tried_again_is_the_same_one_also_after_a_restart() {
        let mut told = ToldAlerts::default();
        assert!(told.look(vec![alert("it fails")], UnixTime(10)));
        let first = only_message(&told);
        assert!(!told.look(vec![alert("it fails on")], UnixTime(15)), "nothing is new");
        let mut told = restarted(&told);
        assert!(told.untold().is_empty(), "it is not found again yet");
        told.look(vec![alert("it still fails")], UnixTime(20));
        let again = only_message(&told);
        assert_eq!((first.id(), first.body()), (again.id(), again.body()));
        told.accepted(&told.untold()[0].clone());
        assert!(told.untold().is_empty());

        assert!(told.look(Vec::new(), UnixTime(30)));
        let first = only_message(&told);
        let mut told = restarted(&told);
        told.look(Vec::new(), UnixTime(40));
        let again = only_message(&told);
        assert_eq!((first.id(), first.body()), (again.id(), again.body()));
        told.accepted(&told.untold()[0].clone());
        assert_eq!(told.alerts, BTreeMap::new());
    }

    #[test]
    fn what_ends_untold_and_what_comes_back_untold_is_not_told() {
        let mut told = ToldAlerts::default();
        told.look(vec![alert("it fails")], UnixTime(10));
        told.look(Vec::new(), UnixTime(15));
        assert_eq!(told.alerts, BTreeMap::new(), "nobody knows that it had begun");
        told.look(vec![alert("it fails")], UnixTime(20));
        told.accepted(&told.untold()[0].clone());
        told.look(Vec::new(), UnixTime(30));
        assert_eq!(told.untold().len(), 1);
        told.look(vec![alert("it fails")], UnixTime(35));
        assert!(told.untold().is_empty(), "it has not ended");
    }

    #[test]
    fn an_older_file_has_alerts_that_were_told() {
        let text = r#"[{"kind":"wallet_low","subject":"a","message":"b","advice":"c","severe":true}]"#;
        let told = ToldAlerts::before(serde_json::from_str(text).expect("alerts"));
        assert!(told.alerts.len() == 1 && told.untold().is_empty(), "{told:?}");
    }
}
