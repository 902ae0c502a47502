//! Names the limit that a guest has exceeded, by its key in coinslot.toml, for the log and for authors.

use coinslot_base::units::{shown_duration, shown_size};
use coinslot_plugin::{Fault, Limits};

/// The key and the value of the limit behind a fault: `limits.cpu_time = 1s`. None where no limit of the operator's is.
pub(super) fn exceeded(fault: &Fault, limits: &Limits) -> Option<String> {
    let (key, value) = match fault {
        Fault::Cpu => ("cpu_time", shown_duration(limits.cpu)),
        // The guest of a free request waited for its client as long as it may for itself.
        Fault::Deadline | Fault::SlowRequest => ("first_byte_timeout", shown_duration(limits.first_byte)),
        // The reader of an answer has as long as its guest.
        Fault::TotalTime | Fault::Unread => ("total_timeout", shown_duration(limits.total)),
        Fault::Memory => ("memory", shown_size(limits.memory as u64)),
        Fault::PluginMemory => ("max_memory_per_plugin", shown_size(limits.plugin_memory as u64)),
        Fault::ResponseTooLarge => ("response_body", shown_size(limits.response_body)),
        Fault::RequestTooLarge(_) => ("request_body", shown_size(limits.request_body)),
        // Any of the three may be what the request waited for.
        Fault::Busy => {
            let (most, memory) = (limits.instances, shown_size(limits.plugin_memory as u64));
            return Some(format!(
                "limits.max_instances_per_plugin = {most}, limits.max_memory_per_plugin = {memory} or \
                 limits.max_instances"
            ));
        }
        Fault::CircuitOpen { .. } => return Some(format!("health.failures = {}", limits.breaker.failures)),
        Fault::Trap(_)
        | Fault::Error
        | Fault::SlowQuote(_)
        | Fault::HostMemory
        | Fault::Paused
        | Fault::NoResponse(_)
        | Fault::RequestEndedEarly(_) => return None,
    };
    Some(format!("limits.{key} = {value}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_limit_has_its_key_and_its_value() {
        let limits =
            Limits { cpu: Duration::from_millis(1500), memory: 32 << 20, response_body: 1500, ..Limits::default() };
        let busy =
            "limits.max_instances_per_plugin = 64, limits.max_memory_per_plugin = 512MiB or limits.max_instances";
        for (fault, expected) in [
            (Fault::Cpu, Some("limits.cpu_time = 1500ms")),
            (Fault::Deadline, Some("limits.first_byte_timeout = 30s")),
            (Fault::SlowRequest, Some("limits.first_byte_timeout = 30s")),
            (Fault::TotalTime, Some("limits.total_timeout = 5m")),
            (Fault::Memory, Some("limits.memory = 32MiB")),
            (Fault::ResponseTooLarge, Some("limits.response_body = 1500B")),
            (Fault::Busy, Some(busy)),
            (Fault::CircuitOpen { retry: Duration::ZERO }, Some("health.failures = 5")),
            (Fault::HostMemory, None),
            (Fault::Trap("unreachable".to_owned()), None),
        ] {
            assert_eq!(exceeded(&fault, &limits).as_deref(), expected, "{fault:?}");
        }
    }
}
