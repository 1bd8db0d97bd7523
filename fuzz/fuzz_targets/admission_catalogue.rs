#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| duet_fuzz::admission_catalogue(bytes));
