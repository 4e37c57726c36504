//! Metrics and distances in the words of ann-benchmarks and VIBE.

use vicinage::types::Metric;

/// What a file calls a metric.
pub(crate) fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::L2 => "euclidean",
        Metric::Cosine => "angular",
        Metric::Ip => "ip",
    }
}

/// The metric of that name; VIBE has names of its own.
pub(crate) fn metric_of(name: &str) -> Option<Metric> {
    match name {
        "euclidean" => Some(Metric::L2),
        "angular" | "cosine" | "normalized" => Some(Metric::Cosine),
        "ip" | "dot" => Some(Metric::Ip),
        _ => None,
    }
}

/// A distance of ours as a file has it: Euclidean (not squared), 1 minus the cosine, minus the inner
/// product.
pub(crate) fn distance(metric: Metric, distance: f32) -> f32 {
    match metric {
        Metric::L2 => distance.max(0.0).sqrt(),
        Metric::Ip | Metric::Cosine => distance,
    }
}
