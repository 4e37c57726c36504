//! Measures of one answer: against what was right, and of its items among each other. Larger is
//! better, or more of what the name says; all but [`novelty`] lie in `0..=1`. A mean over queries is
//! the caller's, and so are intervals: see [`super::bootstrap`].

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

/// Share of the relevant items that are among the first `k` answers. Where more than `k` items are
/// relevant it cannot reach 1 but only `k / relevant`; some programs divide by the smaller of the two
/// instead, which would call a list of `k` relevant items perfect however many it leaves out. 0 where
/// nothing is relevant.
pub fn recall(found: &[ItemId], judged: Judged<'_>, k: usize) -> f64 {
    let relevant = judged.iter().filter(|(_, grade)| *grade > 0).count();
    let hits = found.iter().take(k).filter(|id| grade(judged, **id) > 0).count();
    if relevant == 0 { 0.0 } else { ratio(hits, relevant) }
}

/// One over the rank, from 1, of the first relevant of the first `k` answers; 0 where none is. Its
/// mean over queries is MRR@k (Voorhees, TREC-8 1999).
pub fn reciprocal_rank(found: &[ItemId], judged: Judged<'_>, k: usize) -> f64 {
    let first = found.iter().take(k).position(|id| grade(judged, *id) > 0);
    first.map_or(0.0, |at| 1.0 / (at as f64 + 1.0))
}

/// Area under the ROC curve: the chance that a relevant item scores higher than another, ties
/// counted half (Hanley & McNeil, Radiology 1982); 0.5 is chance. Scores are larger-is-better. It
/// judges scores, not a list: a search changes nothing of it. `None` without a relevant item, or
/// without another. Cost: O((r + m) log r) for r relevant and m others, in any order.
pub fn auc(relevant: &[f32], others: impl IntoIterator<Item = f32>) -> Option<f64> {
    let mut sorted = relevant.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    // Wins count two and ties one, so that the sum stays whole.
    let (mut halves, mut count) = (0_u64, 0_u64);
    for score in others {
        let below_or_tied = sorted.partition_point(|&other| other <= score);
        let below = sorted[..below_or_tied].partition_point(|&other| other < score);
        halves += 2 * (sorted.len() - below_or_tied) as u64 + (below_or_tied - below) as u64;
        count += 1;
    }
    let pairs = sorted.len() as u64 * count;
    (pairs > 0).then(|| halves as f64 / (2.0 * pairs as f64))
}

/// Intra-list diversity: the mean of 1 − cosine over all pairs of the list, whose vectors are
/// `[k, dim]`, row-major (Smyth & McClave, ICCBR 2001; Ziegler et al., WWW 2005, have the similarity).
/// 0 where all point the same way, 1 where each is square to each, up to 2 where two are opposed. A
/// zero vector has cosine 0 with all. `None` for fewer than two items. Cost: O(k · dim), for the
/// cosines of all pairs sum to `(|Σu|² − Σ|u|²) / 2` over the unit vectors `u`.
pub fn diversity(vectors: &[f32], dim: usize) -> Option<f64> {
    let k = vectors.len() / dim.max(1);
    if k < 2 {
        return None;
    }
    let (mut sum, mut squares) = (vec![0.0_f64; dim], 0.0);
    for vector in vectors.chunks_exact(dim) {
        let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if square > 0.0 {
            let scale = square.sqrt().recip();
            sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x) * scale);
            squares += 1.0;
        }
    }
    let cosines = sum.iter().map(|x| x * x).sum::<f64>() - squares;
    Some(1.0 - cosines / (k as f64 * (k as f64 - 1.0)))
}

/// Mean self-information of the items of a list, in bits: −log2 of the share that each has of all
/// interactions, `count / total` (Zhou et al., PNAS 2010; Castells, Hurley & Vargas, Recommender
/// Systems Handbook 2015). An item that nobody took counts as taken once, so that it is as new as
/// anything gets and not infinitely so. From 0, where one item had all of it, to log2(total); more is
/// farther from what everybody takes. `None` for an empty list.
pub fn novelty(counts: impl IntoIterator<Item = f64>, total: f64) -> Option<f64> {
    let (mut bits, mut items) = (0.0, 0_usize);
    for count in counts {
        bits -= (count.max(1.0) / total).log2();
        items += 1;
    }
    (items > 0).then(|| bits / items as f64)
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
        // A grade of 0 is no more than not being judged.
        let judged = [(3, 0), (5, 2), (8, 1)];
        assert_eq!(recall(&[3, 5, 1], &judged, 3), 0.5);
        assert_eq!(recall(&[5, 8], &judged, 1), 0.5);
        assert_eq!(recall(&[3], &[(3, 0)], 1), 0.0);
        assert_eq!(reciprocal_rank(&[3, 1, 8, 5], &judged, 4), 1.0 / 3.0);
        assert_eq!(reciprocal_rank(&[3, 1, 8, 5], &judged, 2), 0.0);
    }

    #[test]
    fn auc_counts_pairs_and_half_of_ties() {
        assert_eq!(auc(&[2.0, 1.0], [1.0, 0.0, 3.0]), Some((1.5 + 2.0 + 0.0) / 6.0));
        assert_eq!(auc(&[0.0], [-0.0]), Some(0.5));
        assert_eq!((auc(&[], [1.0]), auc(&[1.0], [])), (None, None));
    }

    #[test]
    fn lists_have_diversity_and_novelty() {
        // Pairs: square, square, opposed.
        let vectors = [2.0, 0.0, 0.0, 0.5, 0.0, -3.0];
        assert!((diversity(&vectors, 2).unwrap() - (1.0 + 1.0 + 2.0) / 3.0).abs() < 1e-12);
        assert_eq!(diversity(&[1.0, 0.0, 0.0, 0.0], 2), Some(1.0));
        assert_eq!((diversity(&[1.0, 0.0], 2), diversity(&[], 2)), (None, None));
        // 8/16, 1/16, and none as 1/16.
        assert_eq!(novelty([8.0, 1.0, 0.0], 16.0), Some((1.0 + 4.0 + 4.0) / 3.0));
        assert_eq!(novelty([], 16.0), None);
    }
}
