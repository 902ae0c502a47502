#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coinslot_fuzzing::log_lines::run(data));
