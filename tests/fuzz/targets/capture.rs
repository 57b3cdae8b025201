#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::export::invariant::of_capture(bytes));
