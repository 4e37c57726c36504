//! Items and users as a two-tower model has them: both lie in one space, yet users are apart from
//! the items, and the norm of an item tells how popular it is. For the inner product.
//!
//! Both towers start from latent vectors of 32 components, which come from topics with Zipf
//! weights. A tower is a linear part, which both share, and two ReLU layers of its own; its output
//! is centred and scaled to a norm of about 1. Then
//!
//! - an item is `r · unit(tower_I(z) + noise + μ_I)`, with `r` log-normal: its popularity;
//! - a user is `unit(R(tower_U(z)) + noise + μ_U)` with `z` a blend of 1 to 5 topics, where `R`
//!   turns every vector by the same angle.
//!
//! `μ_U − μ_I` has the length of the gap: the two clouds lie in separate cones.

use serde::{Deserialize, Serialize};

use super::{GenerateError, Sizes, Split, VectorSource, check, norm, set_length};
use crate::random::{Random, Zipf};

/// Components of a latent vector.
const LATENT: usize = 32;
/// Width of the towers' hidden layer.
const HIDDEN: usize = 96;
/// How much the part that a tower has for itself counts beside the shared one.
const OWN: f32 = 0.7;
/// Standard deviation of a latent component around the topic of an item, and the blend of a user.
const ITEM_SPREAD: f64 = 0.55;
const USER_SPREAD: f64 = 0.4;
/// Length of the noise on a tower's output of length 1.
const NOISE: f64 = 0.15;
/// The most topics of one user.
const BLEND: u64 = 5;
/// Latent vectors that tell the mean and the length of a tower's output.
const CALIBRATION: usize = 2048;

/// What a two-tower set is like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoTowerParams {
    /// Rows, components, seed.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// Number of topics.
    pub topics: u32,
    /// Exponent of the topics' Zipf weights; 0 makes all as likely.
    pub topic_skew: f64,
    /// Degrees by which users are turned away from the items.
    pub rotation: f64,
    /// Distance between the middle of the users and that of the items.
    pub gap: f64,
    /// Standard deviation of the logarithm of the items' norms.
    pub norm_spread: f64,
    /// Share of the test users' interests that come from another mix of topics than those of the
    /// learn users: the same weights, in another order.
    pub shift: f64,
}

impl Default for TwoTowerParams {
    fn default() -> Self {
        Self {
            sizes: Sizes::default(),
            topics: 2_000,
            topic_skew: 0.8,
            rotation: 30.0,
            gap: 0.5,
            norm_spread: 0.25,
            shift: 0.0,
        }
    }
}

impl TwoTowerParams {
    fn check(&self) -> Result<(), GenerateError> {
        self.sizes.check()?;
        check("dim", self.sizes.dim, "from 2", self.sizes.dim >= 2)?;
        let topics = self.topics;
        check("topics", topics, "from 1 to 1000000", (1..=1_000_000).contains(&topics))?;
        for (name, value, most, expected) in [
            ("topic-skew", self.topic_skew, 4.0, "from 0 to 4"),
            ("rotation", self.rotation, 180.0, "from 0 to 180 degrees"),
            ("gap", self.gap, 10.0, "from 0 to 10"),
            ("norm-spread", self.norm_spread, 3.0, "from 0 to 3"),
            ("shift", self.shift, 1.0, "from 0 to 1"),
        ] {
            check(name, value, expected, (0.0..=most).contains(&value))?;
        }
        Ok(())
    }
}

/// A two-tower set.
#[derive(Debug)]
pub struct TwoTower {
    params: TwoTowerParams,
    topics: Zipf,
    /// `[topics, LATENT]`
    centres: Vec<f32>,
    /// The topic that has a rank in the other mix.
    other_order: Vec<u32>,
    shared: Linear,
    items: Tower,
    users: Tower,
    cos: f32,
    sin: f32,
}

impl TwoTower {
    /// Draws the topics and the towers.
    ///
    /// # Errors
    /// A parameter that cannot be.
    pub fn new(params: TwoTowerParams) -> Result<Self, GenerateError> {
        params.check()?;
        let (seed, dim) = (params.sizes.seed, params.sizes.dim as usize);
        let topics = params.topics as usize;
        let angle = params.rotation.to_radians();
        let mut set = Self {
            topics: Zipf::new(topics, params.topic_skew),
            centres: Random::new(seed, "topics", 0).normals(topics * LATENT, 1.0),
            other_order: shuffled(params.topics, &mut Random::new(seed, "other order", 0)),
            shared: Linear::random(LATENT, dim, &mut Random::new(seed, "shared", 0)),
            items: Tower::random(dim, &mut Random::new(seed, "item tower", 0)),
            users: Tower::random(dim, &mut Random::new(seed, "user tower", 0)),
            cos: libm::cos(angle) as f32,
            sin: libm::sin(angle) as f32,
            params,
        };
        let mut middle = Random::new(seed, "gap", 0).normals(dim, 1.0);
        set_length(&mut middle, params.gap / 2.0);
        let mut random = Random::new(seed, "calibration", 0);
        set.items = set.calibrated(&set.items, &middle, -1.0, |row| {
            set.item_latent(&mut random, row);
        });
        set.users = set.calibrated(&set.users, &middle, 1.0, |row| {
            set.user_latent(&mut random, 0.0, row);
        });
        Ok(set)
    }

    /// What the set is like.
    pub fn params(&self) -> &TwoTowerParams {
        &self.params
    }

    /// The tower `raw`, with the mean that its output is to have and the scale that makes the output
    /// about 1 long.
    fn calibrated(
        &self,
        raw: &Tower,
        middle: &[f32],
        sign: f32,
        mut draw: impl FnMut(&mut [f32; LATENT]),
    ) -> Tower {
        let dim = middle.len();
        let mut outputs = vec![0.0; CALIBRATION * dim];
        let mut mean = vec![0.0_f64; dim];
        let mut latent = [0.0; LATENT];
        for output in outputs.chunks_exact_mut(dim) {
            draw(&mut latent);
            raw.apply(&self.shared, &latent, output);
            mean.iter_mut().zip(&*output).for_each(|(mean, &value)| *mean += f64::from(value));
        }
        mean.iter_mut().for_each(|mean| *mean /= CALIBRATION as f64);
        let mut square = 0.0;
        for output in outputs.chunks_exact_mut(dim) {
            output.iter_mut().zip(&mean).for_each(|(value, &mean)| *value -= mean as f32);
            square += norm(output) * norm(output);
        }
        let scale = (CALIBRATION as f64 / square).sqrt();
        Tower {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            scale: scale as f32,
            middle: middle.iter().map(|&value| sign * value).collect(),
            ..raw.clone()
        }
    }

    fn centre(&self, topic: usize) -> &[f32] {
        &self.centres[topic * LATENT..][..LATENT]
    }

    fn item_latent(&self, random: &mut Random, latent: &mut [f32; LATENT]) {
        let topic = self.topics.draw(random);
        for (value, &centre) in latent.iter_mut().zip(self.centre(topic)) {
            *value = centre + (random.normal() * ITEM_SPREAD) as f32;
        }
    }

    /// A blend of topics with random weights, as long as one topic is.
    fn user_latent(&self, random: &mut Random, shift: f64, latent: &mut [f32; LATENT]) {
        latent.fill(0.0);
        let mut square = 0.0;
        for _ in 0..=random.below(BLEND) {
            let mut topic = self.topics.draw(random);
            if random.unit() < shift {
                topic = self.other_order[topic] as usize;
            }
            let weight = random.exponential() as f32;
            square += weight * weight;
            for (value, &centre) in latent.iter_mut().zip(self.centre(topic)) {
                *value += weight * centre;
            }
        }
        let scale = 1.0 / square.sqrt();
        for value in latent {
            *value = *value * scale + (random.normal() * USER_SPREAD) as f32;
        }
    }

    fn item(&self, random: &mut Random, row: &mut [f32]) {
        let mut latent = [0.0; LATENT];
        self.item_latent(random, &mut latent);
        self.items.apply(&self.shared, &latent, row);
        self.items.place(random, row);
        set_length(row, libm::exp(self.params.norm_spread * random.normal()));
    }

    fn user(&self, random: &mut Random, shift: f64, row: &mut [f32]) {
        let mut latent = [0.0; LATENT];
        self.user_latent(random, shift, &mut latent);
        self.users.apply(&self.shared, &latent, row);
        self.users.place_turned(random, row, self.cos, self.sin);
        set_length(row, 1.0);
    }
}

impl VectorSource for TwoTower {
    fn dim(&self) -> usize {
        self.params.sizes.dim as usize
    }

    fn rows(&self, split: Split) -> u64 {
        self.params.sizes.rows(split)
    }

    fn fill(&self, split: Split, block: u64, rows: &mut [f32]) {
        let mut random = Random::new(self.params.sizes.seed, split.name(), block);
        for row in rows.chunks_exact_mut(self.dim()) {
            match split {
                Split::Base => self.item(&mut random, row),
                Split::Learn => self.user(&mut random, 0.0, row),
                Split::Test => self.user(&mut random, self.params.shift, row),
            }
        }
    }
}

/// The numbers below `n` in random order.
fn shuffled(n: u32, random: &mut Random) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    order
}

/// A matrix `[inputs, outputs]`, row-major.
#[derive(Clone, Debug)]
struct Linear {
    weights: Vec<f32>,
    outputs: usize,
}

impl Linear {
    /// Weights that keep the length of what goes through, on average.
    fn random(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let weights = random.normals(inputs * outputs, 1.0 / (inputs as f64).sqrt());
        Self { weights, outputs }
    }

    /// Adds `scale · input · weights` to `output`. The order of the additions is fixed; lanes of a
    /// vector register are different outputs.
    fn add(&self, input: &[f32], scale: f32, output: &mut [f32]) {
        for (&value, weights) in input.iter().zip(self.weights.chunks_exact(self.outputs)) {
            let value = value * scale;
            // Half of what comes out of a ReLU is 0.
            if value != 0.0 {
                output.iter_mut().zip(weights).for_each(|(out, &weight)| *out += value * weight);
            }
        }
    }
}

/// What a tower has for itself, and where its output goes.
#[derive(Clone, Debug)]
struct Tower {
    first: Linear,
    bias: Vec<f32>,
    second: Linear,
    /// Mean of the raw output, and what makes the centred output 1 long.
    mean: Vec<f32>,
    scale: f32,
    /// Where the middle of the output is to lie.
    middle: Vec<f32>,
}

impl Tower {
    fn random(dim: usize, random: &mut Random) -> Self {
        Self {
            first: Linear::random(LATENT, HIDDEN, random),
            bias: random.normals(HIDDEN, 0.3),
            second: Linear::random(HIDDEN, dim, random),
            mean: vec![0.0; dim],
            scale: 1.0,
            middle: vec![0.0; dim],
        }
    }

    /// The raw output.
    fn apply(&self, shared: &Linear, latent: &[f32; LATENT], output: &mut [f32]) {
        let mut hidden = [0.0; HIDDEN];
        hidden.copy_from_slice(&self.bias);
        self.first.add(latent, 1.0, &mut hidden);
        hidden.iter_mut().for_each(|value| *value = value.max(0.0));
        output.fill(0.0);
        shared.add(latent, 1.0, output);
        self.second.add(&hidden, OWN, output);
    }

    /// Centres and scales a raw output, adds noise, and moves it to where the tower's outputs lie.
    fn place(&self, random: &mut Random, output: &mut [f32]) {
        self.place_turned(random, output, 1.0, 0.0);
    }

    /// The same, with the centred output turned in the planes of neighboring components: by one
    /// angle for every vector. A last component without a neighbor stays.
    fn place_turned(&self, random: &mut Random, output: &mut [f32], cos: f32, sin: f32) {
        for (value, &mean) in output.iter_mut().zip(&self.mean) {
            *value = (*value - mean) * self.scale;
        }
        for pair in output.chunks_exact_mut(2) {
            let (x, y) = (pair[0], pair[1]);
            pair[0] = x * cos - y * sin;
            pair[1] = x * sin + y * cos;
        }
        let deviation = NOISE / (output.len() as f64).sqrt();
        for (value, &middle) in output.iter_mut().zip(&self.middle) {
            *value += (random.normal() * deviation) as f32 + middle;
        }
    }
}
