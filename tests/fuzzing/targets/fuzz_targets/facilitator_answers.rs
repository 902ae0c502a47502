#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coinslot_fuzzing::facilitator_answers::run(data));
