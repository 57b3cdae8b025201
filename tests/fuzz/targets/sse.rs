#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::llm::invariant::of_sse(bytes));
