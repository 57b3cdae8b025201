#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::proxy::invariant::of_h1_request(bytes));
