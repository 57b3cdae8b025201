#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::sniff::invariant::of_sniff(bytes));
