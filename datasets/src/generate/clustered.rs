//! A mixture of Gaussians: centres on a standard normal, points around them. Queries come from the
//! same mixture, so that they are in distribution. For L2.

use serde::{Deserialize, Serialize};

use super::{GenerateError, Sizes, Split, VectorSource, check};
use crate::random::Random;

/// The centres are in memory: 1 GiB at most.
const MOST_COMPONENTS: usize = 1 << 28;

/// What a clustered set is like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusteredParams {
    /// Rows, components, seed.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// Number of clusters, all as likely.
    pub clusters: u32,
    /// Standard deviation of a component within a cluster; between clusters it is 1.
    pub spread: f64,
}

impl Default for ClusteredParams {
    fn default() -> Self {
        Self { sizes: Sizes::default(), clusters: 1_000, spread: 0.5 }
    }
}

/// A clustered set.
#[derive(Debug)]
pub struct Clustered {
    params: ClusteredParams,
    /// `[clusters, dim]`
    centres: Vec<f32>,
}

impl Clustered {
    /// Draws the centres.
    ///
    /// # Errors
    /// A parameter that cannot be.
    pub fn new(params: ClusteredParams) -> Result<Self, GenerateError> {
        params.sizes.check()?;
        let most = 1_000_000;
        let clusters = params.clusters;
        check("clusters", clusters, "from 1 to 1000000", (1..=most).contains(&clusters))?;
        let fits = (0.0..=100.0).contains(&params.spread);
        check("spread", params.spread, "from 0 to 100", fits)?;
        let count = params.clusters as usize * params.sizes.dim as usize;
        let expected = "at most 268435456 components of all centres together";
        check("clusters", clusters, expected, count <= MOST_COMPONENTS)?;
        let centres = Random::new(params.sizes.seed, "centres", 0).normals(count, 1.0);
        Ok(Self { params, centres })
    }
}

impl VectorSource for Clustered {
    fn dim(&self) -> usize {
        self.params.sizes.dim as usize
    }

    fn rows(&self, split: Split) -> u64 {
        self.params.sizes.rows(split)
    }

    fn fill(&self, split: Split, block: u64, rows: &mut [f32]) {
        let mut random = Random::new(self.params.sizes.seed, split.name(), block);
        for row in rows.chunks_exact_mut(self.dim()) {
            let cluster = random.below(u64::from(self.params.clusters)) as usize;
            let centre = &self.centres[cluster * row.len()..][..row.len()];
            for (value, &middle) in row.iter_mut().zip(centre) {
                *value = middle + (random.normal() * self.params.spread) as f32;
            }
        }
    }
}
