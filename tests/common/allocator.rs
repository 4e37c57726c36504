//! An allocator that counts what each thread asks for, so that tests beside each other do not
//! disturb the count.
#![allow(unsafe_code, reason = "an allocator has no safe interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What the current thread asked for since it was last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How often memory was asked for, growing what was there included.
    pub times: usize,
    /// Bytes in use above what was in use at the reset.
    pub held: isize,
    /// The most that were.
    pub peak: isize,
}

thread_local! {
    static ASKED: Cell<Asked> = const { Cell::new(Asked { times: 0, held: 0, peak: 0 }) };
}

/// For `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// What `work` asked for on this thread. Only in programs that run on [`Counting`].
pub fn asked<T>(work: impl FnOnce() -> T) -> (T, Asked) {
    ASKED.set(Asked::default());
    let done = work();
    (done, ASKED.get())
}

fn note(times: usize, bytes: isize) {
    // At the end of a thread there is nobody left to count for.
    let _ = ASKED.try_with(|asked| {
        let Asked { times: before, held, peak } = asked.get();
        let held = held + bytes;
        asked.set(Asked { times: before + times, held, peak: peak.max(held) });
    });
}

// SAFETY: every call goes on to the system's allocator with its arguments unchanged; the count
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as isize);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(0, -(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
