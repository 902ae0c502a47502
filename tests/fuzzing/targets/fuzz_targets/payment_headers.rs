#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coinslot_fuzzing::payment_headers::run(data));
