#![no_main]

#[path = "../reader.rs"]
mod reader;

// The first byte chooses the compression, so that one corpus serves both.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let [first, rest @ ..] = bytes {
        reader::read(if first % 2 == 0 { "jsonl.gz" } else { "jsonl.zst" }, rest);
    }
});
