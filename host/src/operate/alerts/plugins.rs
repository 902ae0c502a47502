//! Finds what is wrong with plugins: files that are not loaded, builds that fail, builds that were rolled back.

use super::{Alert, AlertKind, shown};
use crate::config::Config;
use crate::operate::api::plugins::{BuildRecord, PluginRecord};

/// The alerts about a file of the plugin folder.
pub(super) fn of_plugin(record: &PluginRecord, config: &Config) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if let Some(reason) = &record.failure {
        let serves = record.active.as_ref().map(|build| format!("{} {} serves on", build.name, build.version));
        let message = format!(
            "the file {} is not loaded, and {}: {}",
            record.file,
            serves.as_deref().unwrap_or("nothing of it serves"),
            shown(reason)
        );
        let advice = "mend the file in the plugin folder, roll it back, or remove it";
        let alert = Alert::new(AlertKind::ReloadFailed, &record.file, message, advice);
        alerts.push(if serves.is_none() { alert.severe() } else { alert });
    }
    let (paid, free) = record.fails();
    if let (Some(active), true) = (&record.active, paid || free) {
        let refused = if paid { "paid" } else { "free" };
        let message = format!(
            "the plugin {} fails again and again: its {refused} requests are refused for a while, and none has succeeded since",
            active.name
        );
        let advice = match &record.previous {
            None => "its log lines say why; replace its file with a mended build".to_owned(),
            Some(_) if record.previous_has_failed => {
                "its log lines say why; replace its file with a mended build: the build before it failed, too"
                    .to_owned()
            }
            Some(_) => format!(
                "its log lines say why; replace its file with a mended build, or roll it back: `coinslot plugins \
                 rollback {}`",
                active.name
            ),
        };
        let alert = Alert::new(AlertKind::PluginUnhealthy, &active.name, message, advice);
        alerts.push(if paid { alert.severe() } else { alert });
    } else {
        alerts.extend(of_rollback(record, config));
    }
    alerts
}

/// The alert about a build that failed again and again and was rolled back, until the file gets another one or the pins of
/// the plugin forbid the one that failed.
fn of_rollback(record: &PluginRecord, config: &Config) -> Option<Alert> {
    let (active, failed) = (record.active.as_ref()?, record.previous.as_ref()?);
    let own = config.plugins.by_name.get(&failed.name);
    let is_forbidden = own.is_some_and(|own| own.pins.check_component(&record.file, &failed.sha256).is_err());
    if !record.previous_has_failed || is_forbidden {
        return None;
    }
    let short = |build: &BuildRecord| build.sha256.chars().take(12).collect::<String>();
    let message = format!(
        "{} {} ({}) failed again and again and was rolled back; {} ({}) serves",
        failed.name,
        failed.version,
        short(failed),
        active.version,
        short(active)
    );
    let advice = format!(
        "replace {} with a mended build, or keep the one that serves: `sha256 = \"{}\"` in [plugin.{}]; `coinslot plugins \
         rollback` would put the one that failed back",
        record.file, active.sha256, active.name
    );
    Some(Alert::new(AlertKind::PluginUnhealthy, &active.name, message, advice))
}
