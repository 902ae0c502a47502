//! Reads `[[webhook]]`: the addresses that are told what happens.

use std::path::Path;

use url::Url;

use super::reader::Section;
use super::settings::public_part;
use super::settlement::KeySource;
use super::types::WebhookConfig;
use crate::operate::WebhookEvent;

/// Reads every table.
pub(super) fn read(root: &mut Section<'_, '_>, base: &Path) -> Vec<WebhookConfig> {
    let hooks: Vec<_> = root.sections("webhook").into_iter().filter_map(|section| hook(section, base)).collect();
    for (index, hook) in hooks.iter().enumerate() {
        if hooks[..index].iter().any(|other| other.url == hook.url) {
            root.key_problem("webhook", format!("{} is named twice: name all its events in one table", hook.name()));
        }
    }
    hooks
}

impl WebhookConfig {
    /// The name of the address in logs, in the API and in the ledger: its origin and the beginning of its digest. Path
    /// and query may be what admits a sender to the receiver.
    pub fn name(&self) -> String {
        public_part(&self.url)
    }
}

fn hook(mut section: Section<'_, '_>, base: &Path) -> Option<WebhookConfig> {
    let url: Option<Url> = section.required("url", "the address that is told");
    let wrong = url.as_ref().filter(|url| {
        !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some()
    });
    if wrong.is_some() {
        section
            .key_problem("url", "an address with http or https, and without a user: the signature proves the sender");
    }
    let secret = match (section.read("secret_env"), section.read::<String>("secret_file")) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(file)) => Some(KeySource::File(base.join(file))),
        (None, None) | (Some(_), Some(_)) => {
            section.problem("name the secret that signs its messages, with secret_env or secret_file");
            None
        }
    };
    let names: Option<Vec<String>> = section.read("events");
    let mut named = |name: &String| {
        let events = WebhookEvent::named(name);
        if events.is_empty() {
            let known = WebhookEvent::names().collect::<Vec<_>>().join("`, `");
            section.key_problem("events", format!("`{name}` is none of `{known}`"));
        }
        events
    };
    let events = names.map(|names| names.iter().flat_map(&mut named).collect());
    Some(WebhookConfig { url: url?, secret: secret?, events: events.unwrap_or_else(|| WebhookEvent::all().collect()) })
}
