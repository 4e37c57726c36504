//! A filter in either notation. It may be refused; it may not panic, hang, or take more memory than
//! its limits allow, and what is read is written and read again as what it was.
#![no_main]

use vicinage::index::Expression;

#[path = "../../tests/common/allocator.rs"]
mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (read, asked) = allocator::asked(|| text.parse::<Expression>());
    let bound = 2 * bytes.len() + (64 << 20);
    assert!(asked.peak as usize <= bound, "{} bytes for an input of {}", asked.peak, bytes.len());
    match read {
        Ok(filter) => {
            let again = Expression::from_text(&filter.to_string());
            assert_eq!(again.as_ref(), Ok(&filter));
        }
        Err(error) => drop(error.to_string()),
    }
});
