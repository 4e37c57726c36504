//! Random draws that are the same on every machine.
//!
//! The standard library's `ln`, `exp`, `sin` and `powf` are the platform's and differ in the last
//! bit from one to the next; `libm` is plain Rust on `+`, `−`, `×` and `÷`, which IEEE 754 defines
//! to the bit. The generator is xoshiro256++, fixed by its name, and seeds come from XXH3, fixed
//! likewise. Every block of rows has a generator of its own: blocks can be made in any order and
//! on any number of threads.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The hash of row `at` of what is called `name`: random bits that need no generator.
pub(crate) fn hash(seed: u64, name: &str, at: u64) -> u64 {
    xxh3_64_with_seed(&at.to_le_bytes(), seed ^ xxh3_64(name.as_bytes()))
}

/// Random bits as a number strictly between 0 and 1.
pub(crate) fn unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// A standard normal value from the hash of a row, by Box and Muller's formula.
pub(crate) fn normal_of(seed: u64, name: &str, at: u64) -> f64 {
    let (radius, angle) = (unit(hash(seed, name, at)), unit(hash(!seed, name, at)));
    (-2.0 * libm::log(radius)).sqrt() * libm::cos(std::f64::consts::TAU * angle)
}

/// A generator of one block of what is called by a name.
#[derive(Debug)]
pub struct Random {
    bits: Xoshiro256PlusPlus,
    /// Normal values come in pairs: the second of the last pair.
    spare: Option<f64>,
}

impl Random {
    /// The same numbers for the same seed, name and block, on every machine.
    pub fn new(seed: u64, name: &str, block: u64) -> Self {
        Self { bits: Xoshiro256PlusPlus::seed_from_u64(hash(seed, name, block)), spare: None }
    }

    /// Strictly between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        unit(self.bits.next_u64())
    }

    /// A whole number below `n`; the bias is below `n` in 2⁶⁴.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Mean 0, variance 1, by Marsaglia's polar method: one logarithm for two values.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 {
                let scale = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(self.unit())
    }

    /// `count` normal values of standard deviation `deviation`.
    pub(crate) fn normals(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        (0..count).map(|_| (self.normal() * deviation) as f32).collect()
    }
}

/// Ranks from 0 with probability ∝ (rank + 1)^−exponent.
#[derive(Debug)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(ranks: usize, exponent: f64) -> Self {
        let mut total = 0.0;
        let weights = (1..=ranks).map(|rank| {
            total += libm::pow(rank as f64, -exponent);
            total
        });
        Self { cumulative: weights.collect() }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let wanted = random.unit() * total;
        let rank = self.cumulative.partition_point(|&sum| sum <= wanted);
        // A product that is rounded up could reach the total.
        rank.min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        const COUNT: usize = 200_000;
        let mut random = Random::new(1, "moments", 0);
        let normals: Vec<f64> = (0..COUNT).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / COUNT as f64;
        let square = normals.iter().map(|x| x * x).sum::<f64>() / COUNT as f64;
        let fourth = normals.iter().map(|x| x.powi(4)).sum::<f64>() / COUNT as f64;
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.02 && (fourth - 3.0).abs() < 0.1);
        let hashed = (0..COUNT).map(|at| normal_of(1, "h", at as u64)).collect::<Vec<_>>();
        let square = hashed.iter().map(|x| x * x).sum::<f64>() / COUNT as f64;
        assert!((square - 1.0).abs() < 0.02);
        let mean = (0..COUNT).map(|_| random.exponential()).sum::<f64>() / COUNT as f64;
        assert!((mean - 1.0).abs() < 0.02);
    }

    #[test]
    fn zipf_counts_follow_the_exponent() {
        let (zipf, mut random) = (Zipf::new(10, 1.0), Random::new(2, "zipf", 0));
        let mut counts = [0.0_f64; 10];
        (0..100_000).for_each(|_| counts[zipf.draw(&mut random)] += 1.0);
        for (rank, count) in counts.iter().enumerate() {
            let expected = 100_000.0 / 2.928_968 / (rank + 1) as f64;
            assert!((count - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {count}");
        }
    }
}
