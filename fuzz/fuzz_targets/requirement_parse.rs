#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keystile_fuzz::requirement_parse::run(data));
