//! Feeds untrusted input to the code that reads it first, and checks what must hold of every input.
//!
//! Each module is one target: `run` takes bytes of any content, and panics if a property is broken. The binaries of
//! `tests/fuzzing/targets` pass it the inputs of libFuzzer, and `tests/fuzzing/tests/replay.rs` those of
//! `tests/fuzzing/corpus`. Inputs are text where a person has to write one, so that a seed can be read and changed.

pub mod chain_logs;
pub mod challenges;
pub mod components;
pub mod configuration;
pub mod facilitator_answers;
pub mod key_values;
pub mod log_lines;
pub mod manifests;
pub mod payment_headers;
pub mod routes;
mod sale;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names the binary in `targets` and the folder in `corpus`.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "chain_logs", run: chain_logs::run },
    Target { name: "challenges", run: challenges::run },
    Target { name: "components", run: components::run },
    Target { name: "configuration", run: configuration::run },
    Target { name: "facilitator_answers", run: facilitator_answers::run },
    Target { name: "key_values", run: key_values::run },
    Target { name: "log_lines", run: log_lines::run },
    Target { name: "manifests", run: manifests::run },
    Target { name: "payment_headers", run: payment_headers::run },
    Target { name: "routes", run: routes::run },
];

/// Panics unless a text can stand in a line of a log or on a terminal, and has at most `most` bytes.
fn assert_printable(text: &str, most: usize) {
    assert!(text.len() <= most, "{} bytes: {text:?}", text.len());
    assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
}
