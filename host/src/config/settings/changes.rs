//! Compares the settings of two configurations: which differ, and which of the changes wait for a restart.

use std::collections::{BTreeMap, BTreeSet};

use super::{Setting, TakesEffect, Value, settings};
use crate::config::Config;

/// A setting that is in force, and the value that waits for a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingInForce {
    pub setting: Setting,
    /// The value of the file that takes effect at the next start: None within if it is not set there.
    pub waiting: Option<Option<Value>>,
}

/// A setting that differs between two configurations, with its values for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// The key with its table, as [`Setting::path`] writes it.
    pub path: String,
    pub takes_effect: TakesEffect,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// The settings of one configuration, to be found by their table and key.
struct Known<'s> {
    settings: BTreeMap<(&'s str, &'s str), &'s Setting>,
    tables: BTreeSet<&'s str>,
}

impl<'s> Known<'s> {
    fn of(settings: &'s [Setting]) -> Self {
        Self {
            settings: settings.iter().map(|setting| ((&*setting.table, &*setting.key), setting)).collect(),
            tables: settings.iter().map(|setting| &*setting.table).collect(),
        }
    }

    fn get(&self, setting: &Setting) -> Option<&'s Setting> {
        self.settings.get(&(&*setting.table, &*setting.key)).copied()
    }

    /// The moment at which a setting takes effect that these do not have: its table may be new, or gone.
    fn effect_of_absent(&self, setting: &Setting, with_table: TakesEffect) -> TakesEffect {
        if self.tables.contains(&*setting.table) { setting.rule.changed } else { with_table }
    }
}

/// The settings of a host that was built with one configuration and has read another one since.
pub fn in_force(started: &Config, active: &Config) -> Vec<SettingInForce> {
    let (before, after) = (settings(started, started), settings(active, started));
    let (known, present) = (Known::of(&before), Known::of(&after));
    let mut found = Vec::new();
    for setting in &after {
        let former = known.get(setting);
        let when = match former {
            Some(_) => setting.rule.changed,
            None => known.effect_of_absent(setting, setting.rule.added),
        };
        let differs = former.map_or(!setting.is_default(), |former| former.differs(setting));
        let waits = when == TakesEffect::Restart && differs;
        let value = if waits { former.and_then(|former| former.value.clone()) } else { setting.value.clone() };
        let waiting = waits.then(|| setting.value.clone());
        found.push(SettingInForce { setting: Setting { value, ..setting.clone() }, waiting });
    }
    for setting in before.iter().filter(|setting| present.get(setting).is_none()) {
        if present.effect_of_absent(setting, setting.rule.removed) == TakesEffect::Restart {
            let waiting = (!setting.is_default()).then_some(None);
            found.push(SettingInForce { setting: setting.clone(), waiting });
        }
    }
    found
}

/// The settings that differ between two configurations of a host, those of new and of removed tables as far as they are
/// not the defaults.
pub fn changes(before: &Config, after: &Config, started: &Config) -> Vec<SettingChange> {
    let (before, after) = (settings(before, started), settings(after, started));
    let (known, present) = (Known::of(&before), Known::of(&after));
    let mut found = Vec::new();
    for setting in &after {
        match known.get(setting) {
            Some(former) if former.differs(setting) => {
                found.push(change(Some(former), Some(setting), setting.rule.changed));
            }
            None if !setting.is_default() => {
                found.push(change(None, Some(setting), known.effect_of_absent(setting, setting.rule.added)));
            }
            Some(_) | None => {}
        }
    }
    let gone = before.iter().filter(|setting| present.get(setting).is_none() && !setting.is_default());
    found.extend(
        gone.map(|setting| change(Some(setting), None, present.effect_of_absent(setting, setting.rule.removed))),
    );
    found
}

/// The change of one setting, of which at least one side is there.
fn change(before: Option<&Setting>, after: Option<&Setting>, takes_effect: TakesEffect) -> SettingChange {
    // What no table says of a plugin is as it is for all plugins, or as the plugin declares it.
    let of_absent = |other: Option<&Setting>| other.filter(|other| other.table.starts_with("plugin."))?.default.clone();
    let value = |one: Option<&Setting>, other| one.map_or_else(|| of_absent(other), |one| one.value.clone());
    let (old, new) = (value(before, after), value(after, before));
    let path = after.or(before).map(Setting::path).unwrap_or_default();
    SettingChange::of(path, takes_effect, old.as_ref(), new.as_ref())
}

impl SettingChange {
    fn of(path: String, takes_effect: TakesEffect, before: Option<&Value>, after: Option<&Value>) -> Self {
        let shown = |one: Option<&Value>, other| Some(one?.shown_beside(other));
        let is_hidden = before.is_some() && before == after;
        let said = shown(after, before);
        let after_shown = if is_hidden { said.map(|text| format!("{text}, to another value")) } else { said };
        Self { path, takes_effect, before: shown(before, after), after: after_shown }
    }

    /// The change of a list that a file of its own holds, which is read with the configuration. None if it is the same.
    pub fn of_list(path: &str, before: Vec<String>, after: Vec<String>) -> Option<Self> {
        let [before, after] = [before, after].map(Value::List);
        let differs = before != after;
        differs.then(|| Self::of(path.to_owned(), TakesEffect::Reload, Some(&before), Some(&after)))
    }
}

/// The paths of the settings that differ and take effect at a start only.
pub fn needs_restart(started: &Config, next: &Config) -> Vec<String> {
    let changes = changes(started, next, started).into_iter();
    changes.filter(|change| change.takes_effect == TakesEffect::Restart).map(|change| change.path).collect()
}
