//! Files in memory. This is the only file of the format with `unsafe` in it.
//!
//! The contract that makes a mapping sound: **files of an index are written once and never changed
//! in place.** Publishing makes them read-only and replaces directories, never bytes. A process
//! that writes into a mapped file all the same breaks the contract: what was validated is then no
//! longer what is read. [`LoadMode::Copy`] is for places where that cannot be ruled out.
//!
//! Truncating a mapped file is the one such change that kills, as a failing disk does: reading a
//! page that cannot be had raises SIGBUS, which no Rust code can catch.
//! [`install_sigbus_handler`] turns it into an exit that names the file.
#![allow(unsafe_code, reason = "mapping a file and handling its SIGBUS have no safe interface")]

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapMut, MmapOptions};

use crate::error::FileError;
use crate::types::UnknownName;

/// How a file gets into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadMode {
    /// Maps it; pages are read when first touched and may be dropped again under pressure.
    #[default]
    Mmap,
    /// Maps it and reads all of it before returning, in huge pages where the system has them for files and
    /// does not hold the file in small ones already; walks are then as fast as with [`LoadMode::Copy`].
    Populate,
    /// Reads it into private memory, in huge pages where the system gives them, however the system holds
    /// the file: walks over a large graph are a quarter faster than over a mapping in small pages. What
    /// happens to the file afterwards does not matter.
    Copy,
}

impl LoadMode {
    /// Every mode.
    pub const ALL: [LoadMode; 3] = [LoadMode::Mmap, LoadMode::Populate, LoadMode::Copy];

    /// The name used on command lines and in messages.
    pub fn name(self) -> &'static str {
        match self {
            LoadMode::Mmap => "mmap",
            LoadMode::Populate => "populate",
            LoadMode::Copy => "copy",
        }
    }
}

impl fmt::Display for LoadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LoadMode {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| UnknownName {
            what: "load mode",
            found: text.to_owned(),
            expected: Self::ALL.map(LoadMode::name).join(", "),
        })
    }
}

/// How the bytes of a mapping are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// From first to last: the system should read ahead.
    InOrder,
    /// Here and there, often in the same places: what lies around them would only take their memory.
    AtRandom,
}

/// The bytes of a file, page-aligned, for as long as the value lives. A file that is removed or
/// replaced meanwhile stays readable here.
#[derive(Debug)]
pub struct Mapping {
    /// Tells the SIGBUS handler whose pages these are. Comes first to be dropped first: once the
    /// pages are unmapped, another file may get their addresses.
    _registration: Option<Registration>,
    bytes: Mmap,
}

impl Mapping {
    /// Loads the file at `path`.
    ///
    /// # Errors
    /// What the system said, including too little memory for [`LoadMode::Copy`].
    pub fn open(path: &Path, mode: LoadMode) -> Result<Mapping, FileError> {
        let mut file = File::open(path).map_err(FileError::at("open", path))?;
        let metadata = file.metadata().map_err(FileError::at("read metadata of", path))?;
        Mapping::of_file(&mut file, metadata.len(), path, mode)
    }

    /// Loads an open file of `length` bytes, read from its start; `path` names it in errors.
    pub(super) fn of_file(
        file: &mut File,
        length: u64,
        path: &Path,
        mode: LoadMode,
    ) -> Result<Mapping, FileError> {
        let bytes = usize::try_from(length)
            .map_err(std::io::Error::other)
            .and_then(|length| match mode {
                LoadMode::Copy => copy_of(file, length),
                LoadMode::Mmap | LoadMode::Populate => map_of(file, length, mode),
            })
            .map_err(FileError::at("load", path))?;
        let registration = match mode {
            LoadMode::Copy => None,
            LoadMode::Mmap | LoadMode::Populate => Registration::of(&bytes, path),
        };
        Ok(Mapping { bytes, _registration: registration })
    }

    /// Says how the bytes are read from here on. A wish: whether it is granted shows in time alone.
    pub fn expect(&self, access: Access) {
        let _ = self.bytes.advise(match access {
            Access::InOrder => memmap2::Advice::Sequential,
            Access::AtRandom => memmap2::Advice::Random,
        });
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

fn map_of(file: &File, length: usize, mode: LoadMode) -> std::io::Result<Mmap> {
    let mut options = MmapOptions::new();
    options.len(length);
    // SAFETY: the bytes must not change while they are borrowed. Files of an index are written
    // once and never changed in place (the contract at the top of this file).
    let map = |options: &MmapOptions| unsafe { options.map(file) };
    if mode == LoadMode::Mmap {
        // No wish for huge pages: they make each fault read megabytes, which a file larger than memory
        // cannot afford.
        return map(&options);
    }
    #[cfg(target_os = "linux")]
    {
        let bytes = map(&options)?;
        // Wishes: huge pages for what is yet to be read, and then all of it (from Linux 5.14 on).
        let _ = bytes.advise(memmap2::Advice::HugePage);
        if bytes.advise(memmap2::Advice::PopulateRead).is_ok() {
            return Ok(bytes);
        }
    }
    map(options.populate())
}

fn copy_of(file: &mut File, length: usize) -> std::io::Result<Mmap> {
    let mut memory = MmapMut::map_anon(length)?;
    #[cfg(target_os = "linux")]
    // A wish, before the first touch: without huge pages everything works, only slower.
    let _ = memory.advise(memmap2::Advice::HugePage);
    file.read_exact(&mut memory)?;
    memory.make_read_only()
}

/// Exit status of a process whose mapped file was truncated: `EX_IOERR` of `sysexits.h`.
pub const SIGBUS_EXIT_STATUS: i32 = 74;

/// How many mapped files the handler can name at a time; later ones work, but a fault in them
/// takes the default action.
const SLOTS: usize = 1024;

/// How many bytes of a path a slot keeps: the end, which tells files apart.
const PATH_BYTES: usize = 256;

/// A range of addresses and the file behind it. The signal handler reads these while other threads
/// may write, so that everything is atomic and nothing is ever freed. A slot that is being reused
/// can at worst yield a wrong name: the slot of the mapping that faulted is stable, because whoever
/// faulted is borrowing that mapping.
struct Slot {
    /// First address, [`FREE`] or [`CLAIMED`]; neither is an address that maps start at.
    start: AtomicUsize,
    end: AtomicUsize,
    path_length: AtomicUsize,
    path: [AtomicU8; PATH_BYTES],
}

const FREE: usize = 0;
const CLAIMED: usize = 1;

static REGISTRY: [Slot; SLOTS] = [const {
    Slot {
        start: AtomicUsize::new(FREE),
        end: AtomicUsize::new(0),
        path_length: AtomicUsize::new(0),
        path: [const { AtomicU8::new(0) }; PATH_BYTES],
    }
}; SLOTS];

/// A slot of [`REGISTRY`] in use, freed on drop.
#[derive(Debug)]
struct Registration(usize);

impl Registration {
    fn of(bytes: &[u8], path: &Path) -> Option<Registration> {
        let claim = |slot: &Slot| {
            slot.start.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let (index, slot) = REGISTRY.iter().enumerate().find(|(_, slot)| claim(slot))?;

        let path = path.as_os_str().as_bytes();
        let tail = &path[path.len().saturating_sub(PATH_BYTES)..];
        for (to, &from) in slot.path.iter().zip(tail) {
            to.store(from, Ordering::Relaxed);
        }
        slot.path_length.store(tail.len(), Ordering::Relaxed);
        slot.end.store(bytes.as_ptr() as usize + bytes.len(), Ordering::Relaxed);
        slot.start.store(bytes.as_ptr() as usize, Ordering::Release);
        Some(Registration(index))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        REGISTRY[self.0].start.store(FREE, Ordering::Release);
    }
}

/// Installs a process-wide SIGBUS handler: a fault inside a mapped file writes one line naming it
/// to standard error and exits with [`SIGBUS_EXIT_STATUS`]; any other SIGBUS takes the default
/// action. For programs (the server, the tools); a library never calls it. Calling it again is
/// harmless.
///
/// # Errors
/// What the system said.
pub fn install_sigbus_handler() -> std::io::Result<()> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    // SAFETY: `action` is fully initialised (zero is valid for every field of a sigaction, and an
    // empty mask on the systems we build for), and `on_sigbus` has the signature that SA_SIGINFO
    // asks for and calls only async-signal-safe functions.
    let status = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut())
    };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Runs in signal context: no allocation, no locks, nothing but atomics, `write`, `sigaction`,
/// `raise` and `_exit`.
extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo, and a SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &REGISTRY {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Relaxed);
        if start > CLAIMED && (start..end).contains(&address) {
            report(slot);
            // SAFETY: ends the process without running anything of it.
            unsafe { libc::_exit(SIGBUS_EXIT_STATUS) };
        }
    }
    // SAFETY: both are async-signal-safe. The signal is blocked while its handler runs: the default
    // action is taken when the handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Writes one line about the file of `slot` to standard error. Runs in signal context.
fn report(slot: &Slot) {
    const BEFORE: &[u8] = b"vicinage: fatal: ";
    const AFTER: &[u8] =
        b" could not be read while mapped (SIGBUS): it was truncated, or its storage \
        failed. Index files must never be changed in place; where that cannot be ruled out, load \
        with --load copy.\n";
    let mut line = [0u8; BEFORE.len() + PATH_BYTES + AFTER.len()];
    let mut length = 0;
    let mut push = |byte: u8| {
        line[length] = byte;
        length += 1;
    };
    BEFORE.iter().copied().for_each(&mut push);
    let path = slot.path.iter().map(|byte| byte.load(Ordering::Relaxed));
    path.take(slot.path_length.load(Ordering::Relaxed)).for_each(&mut push);
    AFTER.iter().copied().for_each(&mut push);
    // SAFETY: `line` is initialised and at least `length` bytes long.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length) };
}
