//! Reads `[limits]` and `[health]`, and the same tables of one plugin, which inherit what they leave out.

use std::time::Duration;

use coinslot_plugin::{BreakerSettings, Limits, MAX_INSTANCES, OutgoingTimeouts};

use super::reader::Section;
use super::values::ByteSize;

const MILLISECOND: Duration = Duration::from_millis(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);
const KIB: ByteSize = ByteSize(1 << 10);
const GIB: ByteSize = ByteSize(1 << 30);
const TIB: ByteSize = ByteSize(1 << 40);

/// Reads the limits of plugins; a key that is left out has the value of `default`.
pub(super) fn limits(section: &mut Section<'_, '_>, default: &Limits) -> Limits {
    let memory = ByteSize(2 << 20)..=ByteSize(256 << 20);
    let outgoing_requests = section.within("outgoing_requests", 0..=10_000, default.outgoing_requests.into());
    Limits {
        memory: section.within("memory", memory, ByteSize::of(default.memory)).bytes(),
        plugin_memory: section
            .within("max_memory_per_plugin", ByteSize(2 << 20)..=TIB, ByteSize::of(default.plugin_memory))
            .bytes(),
        cpu: section.within("cpu_time", MILLISECOND..=TEN_MINUTES, default.cpu),
        first_byte: section.within("first_byte_timeout", MILLISECOND..=TEN_MINUTES, default.first_byte),
        total: section.within("total_timeout", MILLISECOND..=HOUR, default.total),
        request_body: section.within("request_body", KIB..=GIB, ByteSize(default.request_body)).0,
        response_body: section.within("response_body", KIB..=GIB, ByteSize(default.response_body)).0,
        instances: count(section, "max_instances_per_plugin", default.instances),
        outgoing_requests: u32::try_from(outgoing_requests).unwrap_or(default.outgoing_requests),
        outgoing_timeouts: outgoing_timeouts(section, default.outgoing_timeouts),
        log: section.within("log", ByteSize(0)..=GIB, ByteSize::of(default.log)).bytes(),
        log_rate: section.within("log_rate", KIB..=GIB, ByteSize::of(default.log_rate)).bytes(),
        breaker: default.breaker,
        rollback: default.rollback,
        reuse: default.reuse,
    }
}

fn outgoing_timeouts(section: &mut Section<'_, '_>, default: OutgoingTimeouts) -> OutgoingTimeouts {
    let mut time = |key, default| section.within(key, MILLISECOND..=HOUR, default);
    OutgoingTimeouts {
        connect: time("outgoing_connect_timeout", default.connect),
        first_byte: time("outgoing_first_byte_timeout", default.first_byte),
        between_bytes: time("outgoing_between_bytes_timeout", default.between_bytes),
    }
}

/// Reads the instances of all plugins together.
pub(super) fn max_instances(section: &mut Section<'_, '_>, default: usize) -> usize {
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let count = section.within("max_instances", 1..=as_u64(MAX_INSTANCES), as_u64(default));
    usize::try_from(count).unwrap_or(default)
}

/// Reads a number of things that is at least one.
pub(super) fn count(section: &mut Section<'_, '_>, key: &'static str, default: usize) -> usize {
    let fallback = u64::try_from(default).unwrap_or(u64::MAX);
    usize::try_from(section.at_least(key, 1, fallback)).unwrap_or(usize::MAX)
}

/// Reads the settings of the circuit breakers into limits; a key that is left out has the value of `default`.
pub(super) fn health(section: &mut Section<'_, '_>, limits: Limits) -> Limits {
    let default = limits.breaker;
    let failures = section.within("failures", 0..=u32::MAX.into(), default.failures.into());
    let pause = section.within("pause", MILLISECOND..=HOUR, default.pause);
    let longest = section.within("longest_pause", MILLISECOND..=HOUR, default.longest.max(pause));
    if longest < pause {
        section.key_problem("longest_pause", "at least `pause`");
    }
    let failures = u32::try_from(failures).unwrap_or(default.failures);
    Limits {
        breaker: BreakerSettings { failures, pause, longest, ..default },
        rollback: section.read("rollback").unwrap_or(limits.rollback),
        ..limits
    }
}
