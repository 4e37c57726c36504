//! Numbers as people read them, and sizes as they write them.

/// `1.3 GiB`; three figures, powers of 1024.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", figures(value), UNITS[unit])
}

/// `42,877`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `340 µs`, `12.5 ms`, `3.21 s`, `2 min 05 s`, `3 h 07 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 999.5e-6 {
        format!("{} µs", figures(seconds * 1e6))
    } else if seconds < 0.9995 {
        format!("{} ms", figures(seconds * 1e3))
    } else if seconds < 59.5 {
        format!("{} s", figures(seconds))
    } else {
        whole_seconds(seconds.round() as u64)
    }
}

/// `45 s`, `2 min 05 s`, `3 h 07 min`: for estimates.
pub(crate) fn whole_seconds(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// Units a second: `812`, `143k`, `1.25M`.
pub(crate) fn rate(rate: f64) -> String {
    match rate {
        r if r < 999.5 => figures(r),
        r if r < 999.5e3 => format!("{}k", figures(r / 1e3)),
        r if r < 999.5e6 => format!("{}M", figures(r / 1e6)),
        r => format!("{}G", figures(r / 1e9)),
    }
}

/// An amount of `unit`, which is "bytes" or the name of what is counted.
pub(crate) fn amount(done: u64, unit: &str) -> String {
    if unit == "bytes" { bytes(done) } else { format!("{} {unit}", count(done)) }
}

/// A rate of `unit` a second.
pub(crate) fn speed(per_second: f64, unit: &str) -> String {
    if unit == "bytes" {
        format!("{}/s", bytes(per_second as u64))
    } else {
        format!("{} {unit}/s", rate(per_second))
    }
}

/// A share as people compare them: four decimals.
pub(crate) fn share(share: f64) -> String {
    format!("{share:.4}")
}

/// A number that was an f32, as people write it: 1.1, not 1.100000023841858.
pub(crate) fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Three significant figures of a value below 1000.
fn figures(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A size: `4GiB`, `500 MB`, `1.5g`, `1048576`. K, M, G, T with or without `iB` are powers of
/// 1024, `KB` to `TB` powers of 1000.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let fail = || format!("expected a size such as 4GiB, 500MB or 1048576, found {text:?}");
    let text_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(text_end);
    let number: f64 = number.parse().map_err(|_| fail())?;
    let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(fail()),
    };
    let bytes = number * scale as f64;
    if bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(fail()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_figures() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(1_048_575), "1.00 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(seconds(0.000_340), "340 µs");
        assert_eq!(seconds(0.012_5), "12.5 ms");
        assert_eq!(seconds(0.999_9), "1.00 s");
        assert_eq!(seconds(59.7), "1 min 00 s");
        assert_eq!(seconds(11_220.0), "3 h 07 min");
        assert_eq!(rate(999.9), "1.00k");
        assert_eq!(rate(142_800.0), "143k");
    }

    #[test]
    fn sizes_are_read_as_written() {
        assert_eq!(parse_bytes("4GiB"), Ok(4 << 30));
        assert_eq!(parse_bytes("4g"), Ok(4 << 30));
        assert_eq!(parse_bytes("1.5 KiB"), Ok(1536));
        assert_eq!(parse_bytes("500MB"), Ok(500_000_000));
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
        for wrong in ["", "GiB", "-1", "4X", "0", "1e9", "99999999T", "."] {
            assert!(parse_bytes(wrong).is_err(), "{wrong:?}");
        }
    }
}
