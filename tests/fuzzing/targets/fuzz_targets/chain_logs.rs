#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coinslot_fuzzing::chain_logs::run(data));
