//! Writes durations and sizes as the keys of coinslot.toml take them.

use std::time::Duration;

/// The units of durations, in milliseconds.
const TIMES: [(&str, u128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of sizes, in bytes.
pub const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A duration in its largest whole unit: `90s`, `5m`, `1500ms`, `400d`. Below a millisecond it is `0s`.
pub fn shown_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = TIMES.iter().find(|(_, length)| millis >= *length && millis.is_multiple_of(*length));
    unit.map_or_else(|| "0s".to_owned(), |(unit, length)| format!("{}{unit}", millis / length))
}

/// A number of bytes in its largest whole unit: `64KiB`, `1500B`, `0B`.
pub fn shown_size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| "0B".to_owned(), |(unit, size)| format!("{}{unit}", bytes / size))
}
