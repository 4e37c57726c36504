//! Axes: from values to places between 0 and 1, and the ticks between.

/// How an axis is stretched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    /// Of positive numbers.
    Log,
    /// Of positive shares, shown in percent.
    LogShare,
    /// Of recall: by the figures of 1 − recall, with 1 itself a little beyond the last tick below.
    Recall,
}

/// The ticks of recall below 1.
const RECALLS: [f64; 11] = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999];

/// Which of them keep their labels where there is no room for all, the first the longest.
const RECALLS_KEPT: [f64; 11] = [0.9, 0.99, 0.999, 0.95, 0.9999, 0.5, 0.8, 0.0, 0.98, 0.995, 0.998];

/// How far 1 lies from the last tick below, where a power of ten of 1 − recall is 1.
const TO_ONE: f64 = 0.3;

impl Stretch {
    /// Whether the axis has a place for a value.
    pub(super) fn takes(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Recall || value > 0.0)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
    /// How early it gets its label, where there is no room for all.
    rank: usize,
}

/// An axis over a range of values.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    stretch: Stretch,
    /// Ends of the axis, stretched.
    low: f64,
    high: f64,
    /// Where recall ceases to be stretched and is on its way to 1.
    near_one: f64,
    pub(super) ticks: Vec<Tick>,
}

impl Scale {
    /// An axis from the tick before the lowest value to the tick after the highest. `given` are
    /// values that have the ticks, where they are few.
    pub(super) fn fit(
        stretch: Stretch,
        values: impl Iterator<Item = f64>,
        given: Option<&[f64]>,
    ) -> Self {
        let values: Vec<f64> = values.collect();
        let low = values.iter().copied().reduce(f64::min).unwrap_or(0.5);
        let high = values.iter().copied().reduce(f64::max).unwrap_or(1.0);
        let near_one = near_one(&values);
        let (ticks, low, high) = match (stretch, given) {
            (Stretch::Recall, _) => recall_ticks(low, high, near_one),
            (_, Some(given)) => {
                let ticks = given.iter().enumerate().map(|(rank, &value)| tick(value, rank));
                (ticks.collect(), low / 1.15, high * 1.15)
            }
            _ => log_ticks(low, high),
        };
        let named = |mut tick: Tick| {
            tick.label = match stretch {
                Stretch::Recall => tick.value.to_string(),
                Stretch::LogShare => format!("{}%", number(tick.value * 100.0)),
                Stretch::Log => number(tick.value),
            };
            tick
        };
        let ticks = ticks.into_iter().map(named).collect();
        let mut scale = Self { stretch, low: 0.0, high: 1.0, near_one, ticks };
        (scale.low, scale.high) = (scale.forward(low), scale.forward(high));
        scale
    }

    fn forward(&self, value: f64) -> f64 {
        let near = self.near_one;
        match self.stretch {
            Stretch::Log | Stretch::LogShare => value.max(f64::MIN_POSITIVE).log10(),
            Stretch::Recall if value <= near => -(1.0 - value).log10(),
            Stretch::Recall => -(1.0 - near).log10() + TO_ONE * (value - near) / (1.0 - near),
        }
    }

    /// From 0 at the low end to 1 at the high one.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((self.forward(value) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The ticks that get a label where each needs `room` of it, in parts of the axis.
    pub(super) fn labels(&self, room: impl Fn(&str) -> f64) -> Vec<&Tick> {
        let mut order: Vec<&Tick> = self.ticks.iter().collect();
        order.sort_by_key(|tick| tick.rank);
        let mut kept: Vec<&Tick> = Vec::new();
        for tick in order {
            let clear = |other: &&Tick| {
                let apart = (self.place(tick.value) - self.place(other.value)).abs();
                apart >= (room(&tick.label) + room(&other.label)) / 2.0
            };
            if kept.iter().all(clear) {
                kept.push(tick);
            }
        }
        kept
    }
}

fn tick(value: f64, rank: usize) -> Tick {
    Tick { value, label: String::new(), rank }
}

/// The first tick of recall from the highest value below 1 on: beyond it there is only 1.
fn near_one(values: &[f64]) -> f64 {
    let last = RECALLS[RECALLS.len() - 1];
    match values.iter().copied().filter(|&value| value < 1.0).reduce(f64::max) {
        Some(highest) => {
            let tick = RECALLS.iter().copied().find(|&tick| tick >= highest);
            tick.unwrap_or(last).max(RECALLS[1])
        }
        None => 0.9,
    }
}

fn recall_ticks(low: f64, high: f64, near_one: f64) -> (Vec<Tick>, f64, f64) {
    let end = if high > near_one { 1.0 } else { near_one };
    let low = low.min(near_one);
    let first = RECALLS.iter().copied().rfind(|&tick| tick <= low && tick < end).unwrap_or(0.0);
    let rank = |value: f64| RECALLS_KEPT.iter().position(|&kept| kept == value).unwrap_or(0);
    let between = RECALLS.iter().copied().filter(|tick| (first..=near_one).contains(tick));
    let mut ticks: Vec<Tick> = between.map(|value| tick(value, rank(value))).collect();
    if end == 1.0 {
        // Its label comes before that of its neighbor.
        ticks.push(tick(1.0, 0));
    }
    (ticks, first, end)
}

/// 1, 2 and 5 of each decade; over many decades the powers of ten have their labels first.
fn log_ticks(low: f64, high: f64) -> (Vec<Tick>, f64, f64) {
    // Powers of ten far beyond are no numbers.
    let (low, high) = (low.clamp(1e-280, 1e280), high.clamp(1e-280, 1e280));
    // A little room, so that no marker is cut in half; much where all values are one.
    let spread = if high / low < 1.5 { 1.4 } else { 1.04 };
    let (low, high) = (low / spread, high * spread);
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    // Over many decades powers alone, and no more than fit.
    let step = (last - first) / 8 + 1;
    let steps: &[(f64, usize)] =
        if last - first > 6 { &[(1.0, 0)] } else { &[(1.0, 0), (2.0, 2), (5.0, 1)] };
    let powers = (first..=last + step).step_by(step as usize).map(|decade| 10.0_f64.powi(decade));
    let all = powers.flat_map(|power| steps.iter().map(move |&(by, rank)| tick(by * power, rank)));
    let all: Vec<Tick> = all.filter(|tick| tick.value.is_finite()).collect();
    // The axis ends at a tick, if that is near; else at the data.
    let below = all.iter().map(|tick| tick.value).filter(|&v| v <= low).reduce(f64::max);
    let above = all.iter().map(|tick| tick.value).filter(|&v| v >= high).reduce(f64::min);
    let (low, high) = (below.unwrap_or(low), above.unwrap_or(high));
    let ticks = all.into_iter().filter(|tick| (low..=high).contains(&tick.value));
    (ticks.collect(), low, high)
}

/// A short number: `0.05`, `20`, `1.5k`, `2M`.
pub(super) fn number(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e15 || (v > 0.0 && v < 1e-6) => return format!("{value:.0e}"),
        v if v >= 0.9995e12 => (value / 1e12, "T"),
        v if v >= 0.9995e9 => (value / 1e9, "G"),
        v if v >= 0.9995e6 => (value / 1e6, "M"),
        v if v >= 999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Four figures at most, and no zeros at the end.
    let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text.as_str(),
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values_in_order() {
        for (stretch, values) in [
            (Stretch::Recall, vec![0.0, 0.31, 0.9, 0.99, 0.9999, 0.99995, 1.0]),
            (Stretch::Recall, vec![0.2, 0.97, 1.0]),
            (Stretch::Recall, vec![0.9, 1.0]),
            (Stretch::Recall, vec![0.1, 0.2]),
            (Stretch::Recall, vec![0.931, 0.944]),
            (Stretch::Recall, vec![1.0]),
            (Stretch::Recall, vec![0.0]),
            (Stretch::Log, vec![3e-4, 0.9, 17.0, 1.2e6]),
            (Stretch::Log, vec![5.0]),
            (Stretch::Log, vec![1e-307, 1e308]),
            (Stretch::Log, vec![5e-324]),
            (Stretch::LogShare, vec![0.0001, 0.5]),
        ] {
            let scale = Scale::fit(stretch, values.iter().copied(), None);
            let places: Vec<f64> = values.iter().map(|&value| scale.place(value)).collect();
            assert!(places.is_sorted(), "{values:?}: {places:?}");
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}: {places:?}");
            assert!(scale.ticks.len() >= 2, "{values:?}: {:?}", scale.ticks);
            let labels = scale.labels(|_| 0.1);
            assert!(!labels.is_empty() && labels.len() <= 11, "{values:?}");
        }
    }

    #[test]
    fn ticks_read_as_people_write() {
        let labels: Vec<String> =
            [0.05, 0.5, 1.0, 20.0, 1000.0, 1500.0, 2e6, 1e9, 0.01].map(number).into();
        assert_eq!(labels, ["0.05", "0.5", "1", "20", "1k", "1.5k", "2M", "1G", "0.01"]);
        let scale = Scale::fit(Stretch::LogShare, [0.0001, 0.5].into_iter(), None);
        assert!(scale.ticks.iter().any(|tick| tick.label == "0.01%"));
        let scale = Scale::fit(Stretch::Recall, [0.85, 0.995].into_iter(), None);
        let labels: Vec<_> = scale.ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["0.8", "0.9", "0.95", "0.98", "0.99", "0.995"]);
    }
}
