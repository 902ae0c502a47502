//! `[limits]` and `[health]`, and the same tables of one plugin: what is not said there is as for all.

use std::time::Duration;

use serde::Deserialize;

use coinslot_plugin::{BreakerSettings, Limits};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    memory_mib: Option<u64>,
    cpu_ms: Option<u64>,
    first_byte_ms: Option<u64>,
    total_ms: Option<u64>,
    request_body_kib: Option<u64>,
    response_body_kib: Option<u64>,
    outgoing_requests: Option<u64>,
    log_kib: Option<u64>,
    /// Only in `[limits]`.
    pub(super) instances_per_plugin: Option<usize>,
    /// Of all plugins together, or of the one that the table is about.
    pub(super) instances: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealth {
    failures: Option<u32>,
    pause_ms: Option<u64>,
    longest_pause_ms: Option<u64>,
    rollback: Option<bool>,
}

/// What bounds every plugin that has no bounds of its own.
pub(super) fn all(raw: &RawLimits, raw_health: &RawHealth, problems: &mut Vec<String>) -> Limits {
    let default = Limits::default();
    let mut limits = read("limits", raw, &default, problems);
    limits.instances = instances("limits.instances_per_plugin", raw.instances_per_plugin, default.instances, problems);
    limits.patience = health("health", raw_health, default.patience, problems);
    limits
}

/// Everything but instances, which mean something else in each place.
pub(super) fn read(table: &str, raw: &RawLimits, default: &Limits, problems: &mut Vec<String>) -> Limits {
    let mut number = |key: &str, value: Option<u64>, least: u64, most: u64, default: u64| {
        within(&format!("{table}.{key}"), value, least, most, default, problems)
    };
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let time = Duration::from_millis;
    Limits {
        memory: size(number("memory_mib", raw.memory_mib, 2, 256, bytes(default.memory) >> 20) << 20),
        cpu: time(number("cpu_ms", raw.cpu_ms, 1, 600_000, millis(default.cpu))),
        first_byte: time(number("first_byte_ms", raw.first_byte_ms, 1, 600_000, millis(default.first_byte))),
        total: time(number("total_ms", raw.total_ms, 1, 3_600_000, millis(default.total))),
        request_body: number("request_body_kib", raw.request_body_kib, 1, 1 << 20, default.request_body >> 10) << 10,
        response_body: number("response_body_kib", raw.response_body_kib, 1, 1 << 20, default.response_body >> 10)
            << 10,
        instances: default.instances,
        outgoing_requests: u32::try_from(number(
            "outgoing_requests",
            raw.outgoing_requests,
            0,
            10_000,
            default.outgoing_requests.into(),
        ))
        .unwrap_or(default.outgoing_requests),
        log: size(number("log_kib", raw.log_kib, 0, 1 << 20, bytes(default.log) >> 10) << 10),
        patience: default.patience,
        reuse: default.reuse,
    }
}

pub(super) fn instances(key: &str, value: Option<usize>, default: usize, problems: &mut Vec<String>) -> usize {
    match value {
        Some(0) => {
            problems.push(format!("{key}: at least 1"));
            default
        }
        Some(value) => value,
        None => default,
    }
}

pub(super) fn health(
    table: &str,
    raw: &RawHealth,
    default: BreakerSettings,
    problems: &mut Vec<String>,
) -> BreakerSettings {
    let mut time = |key: &str, value: Option<u64>, least: u64, default: Duration| {
        let key = format!("{table}.{key}");
        Duration::from_millis(within(&key, value, least, 3_600_000, millis(default), problems))
    };
    let pause = time("pause_ms", raw.pause_ms, 1, default.pause);
    let longest = time("longest_pause_ms", raw.longest_pause_ms, 1, default.longest.max(pause));
    if longest < pause {
        problems.push(format!("{table}.longest_pause_ms: at least pause_ms"));
    }
    BreakerSettings {
        failures: raw.failures.unwrap_or(default.failures),
        pause,
        longest,
        rollback: raw.rollback.unwrap_or(default.rollback),
    }
}

fn within(key: &str, value: Option<u64>, least: u64, most: u64, default: u64, problems: &mut Vec<String>) -> u64 {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            problems.push(format!("{key}: from {least} to {most}"));
            default
        }
        Some(value) => value,
        None => default,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
