//! Shows what a component asks for, and what it is granted of that.

use coinslot_plugin::{Capability, Inspection};

use super::or_none;
use crate::config::{KeySource, PluginConfig};

/// One capability: the imports that ask for it, and the grants.
pub(super) struct CapabilityRow {
    capability: Capability,
    asked: Vec<String>,
    /// The imports are those of the language's engine, which has them in every plugin.
    is_by_engine: bool,
    /// None if the plugin's name is not known.
    granted: Option<Vec<String>>,
}

impl CapabilityRow {
    pub(super) fn new(capability: Capability, inspection: &Inspection, own: Option<&PluginConfig>) -> Self {
        let asked = inspection.asks.iter().filter(|ask| ask.capability == capability).map(|ask| ask.name.clone());
        let is_by_engine = inspection.language.as_deref().is_some_and(has_engine);
        Self { capability, asked: asked.collect(), is_by_engine, granted: own.map(|own| granted(capability, own)) }
    }

    pub(super) fn line(&self) -> String {
        let names = self.asked.join(", ");
        let asked = match (self.asked.is_empty(), self.is_by_engine) {
            (true, _) => "not asked".to_owned(),
            (false, true) => format!("imported by the engine, used or not ({names})"),
            (false, false) => format!("asked ({names})"),
        };
        let granted = match &self.granted {
            None => "not known without its name".to_owned(),
            Some(list) => or_none(list.clone()),
        };
        format!("{:<16}{asked}; granted: {granted}", self.capability.name())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "name": self.capability, "asked": self.asked, "byEngine": self.is_by_engine, "granted": self.granted })
    }
}

/// The capabilities that a plugin's own code asks for, that change what it can do, and of which it is granted nothing.
/// A configuration has often no entry, because a plugin knows what to do without one.
pub(in crate::cli) fn ungranted(inspection: &Inspection, own: &PluginConfig) -> Vec<Capability> {
    let rows =
        [Capability::OutgoingHttp, Capability::KeyValue].map(|one| CapabilityRow::new(one, inspection, Some(own)));
    let lacks = |row: &CapabilityRow| {
        !row.asked.is_empty() && !row.is_by_engine && row.granted.as_ref().is_some_and(Vec::is_empty)
    };
    rows.into_iter().filter(lacks).map(|row| row.capability).collect()
}

/// Returns whether plugins in a language carry its engine, whose imports tell nothing about the plugin.
fn has_engine(language: &str) -> bool {
    ["javascript", "typescript", "python"].contains(&language.to_ascii_lowercase().as_str())
}

/// The grants as names and numbers, without the values of secrets and of the configuration.
fn granted(capability: Capability, own: &PluginConfig) -> Vec<String> {
    match capability {
        Capability::OutgoingHttp => {
            let secrets = own.secrets.iter().map(|secret| {
                let from = match &secret.value {
                    KeySource::Env(name) => format!("the variable {name}"),
                    KeySource::File(file) => file.display().to_string(),
                };
                format!("the host adds {} to {} from {from}", secret.place, secret.origin)
            });
            own.http.iter().map(ToString::to_string).chain(secrets).collect()
        }
        Capability::Configuration => own.config.iter().map(|(key, _)| key.clone()).collect(),
        Capability::KeyValue => {
            let quota = own.keyvalue.iter();
            quota
                .map(|quota| {
                    let value = binary_size(u64::try_from(quota.value).unwrap_or(u64::MAX));
                    let total = binary_size(quota.bytes);
                    format!("{total}, {} keys, {value} each", quota.keys)
                })
                .collect()
        }
    }
}

/// A size as the configuration writes it.
fn binary_size(bytes: u64) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) {
        format!("{}MiB", bytes >> 20)
    } else {
        format!("{}KiB", bytes >> 10)
    }
}
