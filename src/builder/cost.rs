//! What a graph costs to search: how graphs, and ways into one, are compared. In distances and not in
//! time, so that a choice is the same on every run.

/// Recall@10 that costs are compared at.
const RECALL: f64 = 0.98;

/// Candidate-list sizes tried, until one reaches the recall.
const EFS: [usize; 9] = [12, 16, 24, 32, 48, 64, 96, 160, 256];

/// Mean recall and mean distances per query, at rising sizes of the candidate list.
#[derive(Debug, Default)]
pub(super) struct Cost(Vec<(f64, f64)>);

impl Cost {
    /// `measure` gives recall and distances at one size.
    pub(super) fn of(measure: impl Fn(usize) -> (f64, f64)) -> Self {
        Self::up_to(RECALL, measure)
    }

    /// The same, until one reaches `enough`.
    pub(super) fn up_to(enough: f64, measure: impl Fn(usize) -> (f64, f64)) -> Self {
        let mut points = Vec::new();
        for ef in EFS {
            points.push(measure(ef));
            if points.last().is_some_and(|(recall, _)| *recall >= enough) {
                break;
            }
        }
        Self(points)
    }

    /// The best recall there is.
    pub(super) fn best(&self) -> f64 {
        self.0.iter().map(|(recall, _)| *recall).fold(0.0, f64::max)
    }

    /// Distances at a recall, interpolated between list sizes; infinite where none reaches it.
    pub(super) fn at(&self, recall: f64) -> f64 {
        let Some(after) = self.0.iter().position(|(reached, _)| *reached >= recall) else {
            return f64::INFINITY;
        };
        let (high, more) = self.0[after];
        let Some(before) = after.checked_sub(1) else { return more };
        let (low, fewer) = self.0[before];
        fewer + (more - fewer) * (recall - low) / (high - low)
    }
}

/// The recall that costs can be compared at: [`RECALL`], or where none reaches it the most that all do.
pub(super) fn common_recall<'a>(costs: impl IntoIterator<Item = &'a Cost>) -> f64 {
    let bests: Vec<f64> = costs.into_iter().map(Cost::best).collect();
    match bests.iter().any(|best| *best >= RECALL) {
        true => RECALL,
        false => bests.into_iter().fold(RECALL, f64::min),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_compared_where_there_are_some() {
        let up_to = |best: f64| Cost::of(|ef| (best - 1.0 / ef as f64, ef as f64));
        let [poor, fair, good] = [0.9, 0.95, 1.0].map(up_to);
        let most = poor.best();
        let costs = [fair, poor];
        assert_eq!(common_recall(&costs), most);
        assert!(costs[0].at(most) < costs[1].at(most));
        let costs = [up_to(0.9), good];
        assert_eq!(common_recall(&costs), RECALL, "who does not reach it is out");
        assert_eq!(costs[0].at(RECALL), f64::INFINITY);
    }

    #[test]
    fn costs_lie_between_list_sizes() {
        let cost = Cost::of(|ef| (1.0 - 1.0 / ef as f64, 10.0 * ef as f64));
        assert_eq!(cost.best(), 1.0 - 1.0 / 64.0, "no more is tried than reaches the recall");
        assert_eq!(cost.at(0.5), 120.0, "the shortest list finds more");
        assert_eq!(cost.at(1.0 - 1.0 / 16.0), 160.0);
        assert!((160.0..240.0).contains(&cost.at(0.95)));
        assert_eq!(cost.at(0.999), f64::INFINITY);
    }
}
