//! Which user took which item, and when. Every user meets a random choice of the items, each with
//! a probability ∝ its popularity, and takes some of them: draws without replacement from the
//! softmax over score / temperature + drift at that time. Half of the items gain over the time
//! span, half lose.
//!
//! The draws are the largest of those sums after Gumbel noise was added to each, which needs one
//! look at each meeting. The items are read once; in memory are the users and what they took.

use std::path::Path;

use serde::Serialize;

use super::{Advance, GenerateError, check, tell};
use crate::VectorReader;
use crate::attributes::{AttributeBatch, AttributeField, AttributeKind, AttributeValues};
use crate::parquet::create_table;
use crate::profile::dot;
use crate::random::{Random, normal_of};
use crate::table::TableBatch;
use crate::vectors::Batch;

/// Rows that are written together.
const WRITTEN: usize = 1 << 16;

/// What interactions are like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InteractionParams {
    /// Items that a user takes.
    pub per_user: u32,
    /// Items that a user meets, on average.
    pub met: u32,
    /// Divides the score, the inner product of user and item: lower follows the score more.
    pub temperature: f64,
    /// Standard deviation of the items' log-popularity.
    pub popularity: f64,
    /// Standard deviation of how much the log-popularity changes from the first time to the last.
    pub drift: f64,
    /// First time, in microseconds since 1970-01-01T00:00:00 UTC.
    pub from: i64,
    /// Days that the times span.
    pub days: u32,
    /// The same seed, the same interactions.
    pub seed: u64,
}

impl Default for InteractionParams {
    /// From 2024-01-01 on.
    fn default() -> Self {
        Self {
            per_user: 20,
            met: 1_000,
            temperature: 0.05,
            popularity: 1.0,
            drift: 1.0,
            from: 1_704_067_200_000_000,
            days: 90,
            seed: 7,
        }
    }
}

impl InteractionParams {
    fn check(&self) -> Result<(), GenerateError> {
        let (per_user, met) = (self.per_user, self.met);
        check("per-user", per_user, "from 1 to 10000", (1..=10_000).contains(&per_user))?;
        check("met", met, "from --per-user on", met >= per_user)?;
        let fits = self.temperature > 0.0 && self.temperature.is_finite();
        check("temperature", self.temperature, "above 0", fits)?;
        let fits = |value: f64| (0.0..=5.0).contains(&value);
        check("popularity", self.popularity, "from 0 to 5", fits(self.popularity))?;
        check("drift", self.drift, "from 0 to 5", fits(self.drift))?;
        check("days", self.days, "from 1", self.days > 0)
    }
}

/// What a user took.
#[derive(Clone, Copy)]
struct Taken {
    key: f64,
    item: u64,
    /// Share of the time span.
    time: f64,
}

/// Draws the interactions of `users` (`[n, dim]`, known by row) with the items of `items`, and
/// writes them into the Parquet file `path`: columns `user_id`, `item_id` and `time`, by user and
/// then by time. Returns how many there are. Memory: the users, and 24 bytes for each row.
///
/// # Errors
/// A parameter that cannot be, what is wrong with the items, or what the system refuses.
pub fn write_interactions(
    items: &mut dyn VectorReader,
    users: &[f32],
    params: &InteractionParams,
    path: &Path,
    advance: Advance<'_>,
) -> Result<u64, GenerateError> {
    params.check()?;
    let shape = items.shape();
    let dim = shape.dim as usize;
    check("users", users.len(), "a whole number of vectors", users.len().is_multiple_of(dim))?;
    let count = users.len() / dim;
    check("items", shape.rows, "at least one", shape.rows > 0)?;
    let mut taken: Vec<Vec<Taken>> = vec![Vec::new(); count];
    let mut batch = Batch::default();
    while items.next_batch(&mut batch)? {
        let vectors = batch.to_f32().map_err(|e| GenerateError::Parameter {
            name: "items",
            expected: "components within the range of f32",
            found: e.to_string(),
        })?;
        for (at, vector) in vectors.chunks_exact(dim).enumerate() {
            let row = batch.first_row + at as u64;
            let id = batch.ids.as_ref().map_or(row, |ids| ids[at]);
            meet(params, shape.rows, id, vector, users, &mut taken);
        }
        tell(advance, batch.rows as u64)?;
    }
    write(params, path, taken)
}

/// Lets an item meet the users that chance sends, and each of them take it for now.
fn meet(
    params: &InteractionParams,
    items: u64,
    id: u64,
    vector: &[f32],
    users: &[f32],
    taken: &mut [Vec<Taken>],
) {
    let popularity = params.popularity * normal_of(params.seed, "popularity", id);
    let drift = params.drift * normal_of(params.seed, "drift", id);
    // The mean over the items of exp(popularity) is exp(variance / 2).
    let more = libm::exp(popularity - params.popularity * params.popularity / 2.0);
    let chance = (f64::from(params.met) / items as f64 * more).min(1.0);
    let mut random = Random::new(params.seed, "meetings", id);
    let mut user = skipped(&mut random, chance);
    while let Some(list) = taken.get_mut(user) {
        let score = dot(&users[user * vector.len()..][..vector.len()], vector);
        let time = random.unit();
        let gumbel = -libm::log(random.exponential());
        let key = f64::from(score) / params.temperature + drift * (time - 0.5) + gumbel;
        let place = list.partition_point(|taken| taken.key >= key);
        if place < params.per_user as usize {
            list.insert(place, Taken { key, item: id, time });
            list.truncate(params.per_user as usize);
        }
        user = user.saturating_add(1).saturating_add(skipped(&mut random, chance));
    }
}

/// How many users pass by before the next is met.
fn skipped(random: &mut Random, chance: f64) -> usize {
    if chance >= 1.0 {
        return 0;
    }
    // A geometric number; the cast saturates where the chance is next to nothing.
    (random.exponential() / -libm::log1p(-chance)) as usize
}

fn write(
    params: &InteractionParams,
    path: &Path,
    taken: Vec<Vec<Taken>>,
) -> Result<u64, GenerateError> {
    let field = |name: &str, kind| AttributeField { name: name.to_owned(), kind };
    let fields = [field("item_id", AttributeKind::I64), field("time", AttributeKind::Timestamp)];
    let mut writer = create_table(path, Some("user_id"), &fields)?;
    let span = f64::from(params.days) * 86_400e6;
    let (mut users, mut items, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut written = 0;
    let last = taken.len().saturating_sub(1);
    for (user, mut list) in taken.into_iter().enumerate() {
        list.sort_unstable_by(|a, b| a.time.total_cmp(&b.time).then(a.item.cmp(&b.item)));
        for taken in list {
            users.push(user as u64);
            let id = i64::try_from(taken.item);
            let fits = id.is_ok();
            check("items", taken.item, "ids up to 9223372036854775807", fits)?;
            items.push(id.ok());
            times.push(Some(params.from.saturating_add((taken.time * span) as i64)));
        }
        if users.len() >= WRITTEN || user == last {
            let rows = users.len();
            let column = |name: &str, values| AttributeBatch { name: name.to_owned(), values };
            let attributes = vec![
                column("item_id", AttributeValues::I64(std::mem::take(&mut items))),
                column("time", AttributeValues::Timestamp(std::mem::take(&mut times))),
            ];
            let ids = Some(std::mem::take(&mut users));
            writer.write(&TableBatch { first_row: written, rows, ids, attributes })?;
            written += rows as u64;
        }
    }
    writer.finish()?;
    Ok(written)
}
