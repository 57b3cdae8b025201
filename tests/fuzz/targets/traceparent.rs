#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::meter::invariant::of_traceparent(bytes));
