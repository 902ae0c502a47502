//! Names the limit that a guest has exceeded, by its key in coinslot.toml, for the log and for authors.

use coinslot_plugin::{Fault, Limits};

/// The key and the value of the limit behind a fault: `limits.cpu_time = 1s`. None where no limit of the operator's is.
pub(super) fn exceeded(fault: &Fault, limits: &Limits) -> Option<String> {
    let (key, value) = match fault {
        Fault::Cpu => ("cpu_time", format!("{:?}", limits.cpu)),
        Fault::Deadline => ("first_byte_timeout", format!("{:?}", limits.first_byte)),
        // The reader of an answer has as long as its guest.
        Fault::TotalTime | Fault::Unread => ("total_timeout", format!("{:?}", limits.total)),
        Fault::Memory => ("memory", size(limits.memory as u64)),
        Fault::PluginMemory => ("max_memory_per_plugin", size(limits.plugin_memory as u64)),
        Fault::ResponseTooLarge => ("response_body", size(limits.response_body)),
        Fault::BrokenRequest { is_too_large: true, .. } => ("request_body", size(limits.request_body)),
        Fault::Busy => ("max_instances_per_plugin", limits.instances.to_string()),
        Fault::CircuitOpen { .. } => return Some(format!("health.failures = {}", limits.breaker.failures)),
        Fault::Trap(_) | Fault::SlowQuote(_) | Fault::HostMemory | Fault::NoResponse(_) => return None,
        // Faults of the request.
        Fault::SlowRequest | Fault::BrokenRequest { .. } => return None,
    };
    Some(format!("limits.{key} = {value}"))
}

/// A number of bytes as coinslot.toml has it, in the largest unit in which it is whole.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, shift)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_limit_has_its_key_and_its_value() {
        let limits =
            Limits { cpu: Duration::from_millis(300), memory: 32 << 20, response_body: 1500, ..Limits::default() };
        for (fault, expected) in [
            (Fault::Cpu, Some("limits.cpu_time = 300ms")),
            (Fault::Deadline, Some("limits.first_byte_timeout = 30s")),
            (Fault::TotalTime, Some("limits.total_timeout = 300s")),
            (Fault::Memory, Some("limits.memory = 32MiB")),
            (Fault::ResponseTooLarge, Some("limits.response_body = 1500B")),
            (Fault::Busy, Some("limits.max_instances_per_plugin = 64")),
            (Fault::CircuitOpen { retry: Duration::ZERO }, Some("health.failures = 5")),
            (Fault::HostMemory, None),
            (Fault::Trap("unreachable".to_owned()), None),
        ] {
            assert_eq!(exceeded(&fault, &limits).as_deref(), expected, "{fault:?}");
        }
    }
}
