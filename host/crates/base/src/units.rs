//! Writes durations and sizes: as the keys of coinslot.toml take them, and as they were measured.

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

/// A duration that was measured, with its unit, in two or three digits: `50 µs`, `4.2 ms`, `250 ms`, `2.5 s`. From a
/// minute on it is in whole seconds.
pub fn measured(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = duration.as_secs_f64();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", seconds * 1e3),
        10_000..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..60_000_000 => format!("{seconds:.1} s"),
        _ => format!("{} s", duration.as_secs()),
    }
}

/// A number of bytes in its largest whole unit: `64KiB`, `1500B`, `0B`.
pub fn shown_size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| "0B".to_owned(), |(unit, size)| format!("{}{unit}", bytes / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_duration_keeps_the_digits_that_tell() {
        for (micros, written) in [
            (0, "0 µs"),
            (87, "87 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (4_240, "4.2 ms"),
            (250_000, "250 ms"),
            (2_500_000, "2.5 s"),
            (61_000_000, "61 s"),
        ] {
            assert_eq!(measured(Duration::from_micros(micros)), written);
        }
    }
}
