//! Measures of one answer against what was right. All lie in `0..=1`, larger is better; a mean
//! over queries is the caller's.

use crate::types::{ItemId, Metric};

/// ann-benchmarks adds this to the distance of the kth true neighbor before it compares.
pub const DISTANCE_EPSILON: f64 = 1e-3;

/// Share of the true ids that were found. Of equally distant items, the truth names some; answers
/// that name others count as misses here and as hits in [`recall_by_distance`].
pub fn recall_by_id(found: &[ItemId], truth: &[ItemId]) -> f64 {
    /// From so many ids on, sorting them costs less than comparing each with each.
    const FEW: usize = 64;
    if found.len().min(truth.len()) <= FEW {
        return ratio(truth.iter().filter(|id| found.contains(id)).count(), truth.len());
    }
    let mut found = found.to_vec();
    found.sort_unstable();
    ratio(truth.iter().filter(|id| found.binary_search(id).is_ok()).count(), truth.len())
}

/// Share of answers no farther than the kth true neighbor, plus [`DISTANCE_EPSILON`]: the recall of
/// ann-benchmarks (`plotting/metrics.py`). Distances are internal ones; L2 is compared unsquared,
/// as that project does.
pub fn recall_by_distance(metric: Metric, found: &[f32], truth: &[f32]) -> f64 {
    let external = |distance: f32| match metric {
        Metric::L2 => f64::from(distance).max(0.0).sqrt(),
        Metric::Ip | Metric::Cosine => f64::from(distance),
    };
    let Some(last) = truth.last() else { return 1.0 };
    let threshold = external(*last) + DISTANCE_EPSILON;
    let hits = found.iter().take(truth.len()).filter(|d| external(**d) <= threshold).count();
    ratio(hits, truth.len())
}

/// Judged items of one query: ids ascending, grades from 1; an item that is not there has grade 0.
pub type Judged<'a> = &'a [(ItemId, u8)];

fn grade(judged: Judged<'_>, id: ItemId) -> u8 {
    judged.binary_search_by_key(&id, |(id, _)| *id).map_or(0, |at| judged[at].1)
}

/// Normalised discounted cumulative gain at `k` (Järvelin & Kekäläinen, TOIS 2002) with gain
/// `2^grade − 1` and discount `log2(rank + 1)`, rank from 1. The ideal order takes the judged items
/// by grade, cut at `k`. 0 where nothing is relevant.
pub fn ndcg(found: &[ItemId], judged: Judged<'_>, k: usize) -> f64 {
    let gain = |grade: u8| f64::from(grade).exp2() - 1.0;
    let sum = |grades: &mut dyn Iterator<Item = u8>| -> f64 {
        grades.take(k).enumerate().map(|(i, g)| gain(g) / (i as f64 + 2.0).log2()).sum()
    };
    let mut ideal: Vec<u8> = judged.iter().map(|(_, grade)| *grade).collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let best = sum(&mut ideal.into_iter());
    if best == 0.0 {
        return 0.0;
    }
    sum(&mut found.iter().map(|id| grade(judged, *id))) / best
}

/// Share of the first `k` answers that are relevant; missing answers are not.
pub fn precision(found: &[ItemId], judged: Judged<'_>, k: usize) -> f64 {
    let hits = found.iter().take(k).filter(|id| grade(judged, **id) > 0).count();
    ratio(hits, k)
}

/// 1 where one of the first `k` answers is relevant, else 0.
pub fn hit_rate(found: &[ItemId], judged: Judged<'_>, k: usize) -> f64 {
    f64::from(u8::from(found.iter().take(k).any(|id| grade(judged, *id) > 0)))
}

/// `part / whole`; 1 where nothing was asked for.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_what_was_found() {
        assert_eq!(recall_by_id(&[4, 2, 9], &[2, 3, 4]), 2.0 / 3.0);
        let many: Vec<u64> = (0..1000).rev().collect();
        assert_eq!(recall_by_id(&many[..900], &many), 0.9);
        assert_eq!(recall_by_distance(Metric::Ip, &[-3.0, -1.9995, -1.0], &[-3.0, -2.0]), 1.0);
        // Squared 25.0 against 25.004: 5.0004 is within the epsilon, as in ann-benchmarks.
        assert_eq!(recall_by_distance(Metric::L2, &[25.004], &[25.0]), 1.0);
        assert_eq!(recall_by_distance(Metric::L2, &[25.02], &[25.0]), 0.0);
        assert_eq!(recall_by_distance(Metric::L2, &[], &[25.0]), 0.0);
    }

    /// By hand: gains 3 and 1 at ranks 1 and 3 against the ideal 3, 1.
    #[test]
    fn ndcg_discounts_by_rank() {
        let judged = [(5, 2), (8, 1)];
        let expected = (3.0 + 1.0 / 2.0) / (3.0 + 1.0 / 3f64.log2());
        assert!((ndcg(&[5, 6, 8], &judged, 10) - expected).abs() < 1e-12);
        assert_eq!(ndcg(&[5, 8], &judged, 2), 1.0);
        assert_eq!(ndcg(&[1, 2], &judged, 2), 0.0);
        assert_eq!(ndcg(&[5, 8], &[], 2), 0.0);
    }

    #[test]
    fn precision_and_hit_rate_look_at_the_first_k() {
        let judged = [(5, 2), (8, 1)];
        assert_eq!(precision(&[1, 5, 8], &judged, 2), 0.5);
        assert_eq!(precision(&[5], &judged, 2), 0.5);
        assert_eq!(hit_rate(&[1, 5], &judged, 1), 0.0);
        assert_eq!(hit_rate(&[1, 5], &judged, 2), 1.0);
    }
}
