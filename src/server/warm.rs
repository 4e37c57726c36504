//! Makes a server warm before it says that it is ready: reads the files once, so that they are in
//! the page cache, and runs some searches, so that the pages they touch are mapped.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::host::Host;
use crate::index::{Index, Scratch, SearchParams};
use crate::types::NodeId;

/// Searches that warm an index, and the time after which they are enough.
const SEARCHES: u64 = 256;
const SEARCH_TIME: Duration = Duration::from_secs(2);
const BLOCK_BYTES: usize = 1 << 20;

/// Warms the indexes one after the other; returns early when `stop` is set.
pub(super) fn warm(hosts: &[Arc<Host>], stop: &AtomicBool) {
    for host in hosts {
        let started = Instant::now();
        if host.warmth.bytes_total > 0 {
            read(host, stop);
        }
        search(&host.index, stop);
        host.index.costs();
        if stop.load(Ordering::Relaxed) {
            return;
        }
        host.warmth.ready.store(true, Ordering::Release);
        host.metrics.ready.set(1);
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(index = host.name, seconds, "index is warm");
    }
}

fn read(host: &Host, stop: &AtomicBool) {
    let path = host.index.file();
    let mut block = vec![0; BLOCK_BYTES];
    let result = File::open(path).and_then(|mut file| {
        while !stop.load(Ordering::Relaxed) {
            let bytes = file.read(&mut block)?;
            if bytes == 0 {
                break;
            }
            host.warmth.bytes_done.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    });
    // The index is mapped and valid whatever happens to its name; it is merely colder.
    if let Err(error) = result {
        tracing::warn!(index = host.name, path = %path.display(), %error, "cannot read to warm up");
    }
}

/// Searches with stored vectors spread over the index.
fn search(index: &Index, stop: &AtomicBool) {
    let n = index.info().n;
    let (mut scratch, mut vector, mut hits) = (Scratch::default(), Vec::new(), Vec::new());
    let params = SearchParams::top(10);
    let started = Instant::now();
    let count = SEARCHES.min(n);
    for at in 0..count {
        if stop.load(Ordering::Relaxed) || started.elapsed() > SEARCH_TIME {
            return;
        }
        let Ok(node) = u32::try_from(u128::from(at) * u128::from(n) / u128::from(count)) else {
            return;
        };
        index.vector(NodeId(node), &mut vector);
        // A stored vector that cannot be searched for (all zeros, cosine) warms nothing.
        let _ = index.search(&mut scratch, &vector, &params, &mut hits);
    }
}
