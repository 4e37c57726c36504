//! Measures of all answers together: how much of the catalogue they show, and how evenly. An item's
//! exposure is the number of answers that it is in, whatever its rank.

/// Share of the items that are in at least one answer (Herlocker et al., TOIS 2004, "catalogue
/// coverage"). From 0 to 1, larger shows more; it grows with the number of queries, so compare over
/// the same ones. `exposures` has every item, those never shown too.
pub fn coverage(exposures: &[u64]) -> f64 {
    let shown = exposures.iter().filter(|&&count| count > 0).count();
    if exposures.is_empty() { 0.0 } else { shown as f64 / exposures.len() as f64 }
}

/// Gini index of exposures `x`, ascending: `Σ (2i − n − 1) x_i / (n Σ x_i)`, i from 1 (Gini 1912; of
/// recommendations Fleder & Hosanagar, Management Science 2009). 0 where all items are shown equally
/// often, `(n − 1) / n` where one item is all that is ever shown; smaller is more even. `exposures`
/// has every item, those never shown too: without them it says how even the shown are, which is
/// something else. 0 where nothing was shown.
pub fn gini(exposures: &[u64]) -> f64 {
    let total: u64 = exposures.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let mut sorted = exposures.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let weight = |at: usize| 2.0 * (at as f64 + 1.0) - n - 1.0;
    let sum: f64 = sorted.iter().enumerate().map(|(at, &x)| weight(at) * x as f64).sum();
    sum / (n * total as f64)
}

/// A group of items: how much of the catalogue and of the answers it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Items of the group.
    pub items: u64,
    /// Items of the catalogue.
    pub catalog: u64,
    /// Exposures of the group's items.
    pub shown: u64,
    /// Exposures of all items.
    pub answers: u64,
}

impl Exposure {
    /// Share of the catalogue.
    pub fn catalog_share(&self) -> f64 {
        self.items as f64 / self.catalog.max(1) as f64
    }

    /// Share of the answers.
    pub fn answer_share(&self) -> f64 {
        self.shown as f64 / self.answers.max(1) as f64
    }

    /// Share of the answers over share of the catalogue (the disparity of Singh & Joachims, KDD 2018,
    /// without weights by rank). 1 is parity, below it the group is shown less than its size,
    /// above it more. `None` for a group without items.
    pub fn ratio(&self) -> Option<f64> {
        (self.items > 0).then(|| self.answer_share() / self.catalog_share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_and_gini_at_their_ends() {
        assert_eq!((coverage(&[]), coverage(&[0, 0]), coverage(&[0, 3])), (0.0, 0.0, 0.5));
        assert_eq!((gini(&[]), gini(&[0, 0]), gini(&[4, 4, 4])), (0.0, 0.0, 0.0));
        assert_eq!(gini(&[0, 0, 7, 0]), 0.75);
    }

    #[test]
    fn gini_is_half_the_relative_mean_difference() {
        let mut state = 1_u64;
        for n in 1..60_usize {
            let exposures: Vec<u64> = (0..n)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 60).saturating_sub(7)
                })
                .collect();
            let total: u64 = exposures.iter().sum();
            let pairs =
                exposures.iter().flat_map(|&a| exposures.iter().map(move |&b| a.abs_diff(b)));
            let naive = pairs.sum::<u64>() as f64 / (2.0 * n as f64 * total.max(1) as f64);
            assert!((gini(&exposures) - naive).abs() < 1e-12, "{exposures:?}");
        }
    }

    #[test]
    fn exposure_is_relative_to_size() {
        let group = Exposure { items: 10, catalog: 40, shown: 30, answers: 60 };
        assert_eq!(group.ratio(), Some(2.0));
        assert_eq!(Exposure { shown: 0, ..group }.ratio(), Some(0.0));
        assert_eq!(Exposure { items: 0, ..group }.ratio(), None);
    }
}
