//! What the machine tells about itself and this process, for results that others can place.

use std::fs;
use std::sync::LazyLock;

use jiff::Timestamp;

/// The commit that this program was built from, with `+changed` where the tree had changes.
pub(crate) const COMMIT: Option<&str> = option_env!("VICINAGE_COMMIT");

/// Model of the processor.
pub(crate) fn cpu() -> &'static str {
    static MODEL: LazyLock<String> = LazyLock::new(|| {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        line.map_or("unknown", |(_, name)| name.trim()).to_owned()
    });
    &MODEL
}

/// Now, as RFC 3339 in UTC.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// MiB of this process that are resident.
pub(crate) fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The most that ever were.
pub(crate) fn peak_resident_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

fn status_mib(key: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
