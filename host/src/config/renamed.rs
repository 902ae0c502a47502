//! The names that keys had before 0.2, so that an old file is refused with the line to write instead.

use std::time::Duration;

use coinslot_base::units::shown_duration;
use toml::de::DeValue;

use super::values::{ByteSize, FromToml, Ranged};

/// The unit that an old key had in its name, if its number was not the value itself.
#[derive(Clone, Copy, Debug)]
enum OldUnit {
    Unchanged,
    Milliseconds,
    Seconds,
    Days,
    Kibibytes,
    Mebibytes,
}

/// The tables, the old key, the new key, and the unit of the old key's number.
type Renamed = (&'static [&'static str], &'static str, &'static str, OldUnit);

const LIMITS: &[&str] = &["limits", "plugin.NAME.limits"];
const HEALTH: &[&str] = &["health", "plugin.NAME.health"];
const FACILITATOR: &[&str] = &["facilitator.NAME"];
const KEYVALUE: &[&str] = &["plugin.NAME.keyvalue"];

const RENAMED: &[Renamed] = &[
    (LIMITS, "memory_mib", "memory", OldUnit::Mebibytes),
    (LIMITS, "cpu_ms", "cpu_time", OldUnit::Milliseconds),
    (LIMITS, "first_byte_ms", "first_byte_timeout", OldUnit::Milliseconds),
    (LIMITS, "total_ms", "total_timeout", OldUnit::Milliseconds),
    (LIMITS, "request_body_kib", "request_body", OldUnit::Kibibytes),
    (LIMITS, "response_body_kib", "response_body", OldUnit::Kibibytes),
    (LIMITS, "log_kib", "log", OldUnit::Kibibytes),
    (LIMITS, "instances_per_plugin", "max_instances_per_plugin", OldUnit::Unchanged),
    (&["limits"], "instances", "max_instances", OldUnit::Unchanged),
    (&["plugin.NAME.limits"], "instances", "max_instances_per_plugin", OldUnit::Unchanged),
    (HEALTH, "pause_ms", "pause", OldUnit::Milliseconds),
    (HEALTH, "longest_pause_ms", "longest_pause", OldUnit::Milliseconds),
    (KEYVALUE, "total_kib", "total_size", OldUnit::Kibibytes),
    (KEYVALUE, "value_kib", "value_size", OldUnit::Kibibytes),
    (&["server"], "drain_seconds", "drain_timeout", OldUnit::Seconds),
    (&["server"], "linger_seconds", "shutdown_delay", OldUnit::Seconds),
    (&["accept[]"], "max_timeout_seconds", "max_timeout", OldUnit::Seconds),
    (FACILITATOR, "poll_ms", "poll_interval", OldUnit::Milliseconds),
    (FACILITATOR, "batch_delay_ms", "batch_delay", OldUnit::Milliseconds),
    (FACILITATOR, "verify_timeout_ms", "verify_timeout", OldUnit::Milliseconds),
    (FACILITATOR, "settle_timeout_ms", "settle_timeout", OldUnit::Milliseconds),
    (FACILITATOR, "max_gas_price_gwei", "max_gas_price", OldUnit::Unchanged),
    (&["answers"], "keep_seconds", "keep_for", OldUnit::Seconds),
    (&["answers"], "keep_kib", "max_size", OldUnit::Kibibytes),
    (&["ledger"], "keep_days", "keep_for", OldUnit::Days),
];

/// The advice for a key that this kind of table had once.
pub(super) fn advice(kind: &str, key: &str, value: &DeValue<'_>) -> Option<String> {
    if (kind, key) == ("", "protect") {
        return Some("it is called `rate_limits` now, write [rate_limits]".to_owned());
    }
    if (kind, key) == ("plugin.NAME.limits", "max_instances") {
        return Some("it is for all plugins together, in [limits]; here write max_instances_per_plugin".to_owned());
    }
    let (_, _, new, unit) = RENAMED.iter().find(|(tables, old, ..)| tables.contains(&kind) && *old == key)?;
    Some(match converted(*unit, value) {
        Some(text) => format!("it is called `{new}` now, write {new} = {text}"),
        None => format!("it is called `{new}` now"),
    })
}

/// The old value as it is written now; none if it was wrong before.
fn converted(unit: OldUnit, value: &DeValue<'_>) -> Option<String> {
    if let (OldUnit::Unchanged, DeValue::String(text)) = (unit, value) {
        return Some(format!("\"{text}\""));
    }
    let number = u64::from_toml(value).ok()?;
    let bytes = |size: u64| Some(ByteSize(number.checked_mul(size)?).shown());
    let time = |length: Duration| {
        let times = u32::try_from(number).ok()?;
        Some(shown_duration(length.checked_mul(times)?))
    };
    let text = match unit {
        OldUnit::Unchanged => return Some(number.to_string()),
        OldUnit::Milliseconds => time(Duration::from_millis(1)),
        OldUnit::Seconds => time(Duration::from_secs(1)),
        OldUnit::Days => time(Duration::from_secs(24 * 60 * 60)),
        OldUnit::Kibibytes => bytes(1 << 10),
        OldUnit::Mebibytes => bytes(1 << 20),
    };
    text.map(|text| format!("\"{text}\""))
}
