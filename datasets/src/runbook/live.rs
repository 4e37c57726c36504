//! Which tags are live.

use std::collections::BTreeMap;

use super::{Tags, Update};

/// The live tags as intervals: an update costs the logarithm of their number, whatever its length,
/// and a runbook that claims billions of tags takes no more memory than one of a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveTags {
    /// Start to end; neither overlapping nor touching.
    intervals: BTreeMap<u32, u32>,
    count: u64,
}

/// What was expected, and what is there.
type Refused = (String, String);

impl LiveTags {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Does a step.
    pub(super) fn apply(&mut self, update: &Update) -> Result<(), Refused> {
        let found = |tag: u32, is: &str| format!("tag {tag}, which is {is}");
        match update {
            Update::Insert(tags) => {
                not_empty(tags)?;
                if let Some(tag) = self.first_live(tags) {
                    return Err(("tags that are not live".to_owned(), found(tag, "live")));
                }
                self.insert(tags);
            }
            Update::Delete(tags) => {
                not_empty(tags)?;
                if let Some(tag) = self.first_not_live(tags) {
                    return Err(("live tags".to_owned(), found(tag, "not live")));
                }
                self.remove(tags);
            }
            Update::Replace { tags, rows } => {
                not_empty(tags)?;
                if tags.len() != rows.len() {
                    let expected = format!("{} rows, one a tag", tags.len());
                    return Err((expected, format!("rows {} to {}", rows.start, rows.end)));
                }
                if let Some(tag) = self.first_not_live(tags) {
                    return Err(("live tags".to_owned(), found(tag, "not live")));
                }
            }
            Update::Search => {
                if self.count == 0 {
                    return Err(("live tags to search".to_owned(), "none".to_owned()));
                }
            }
        }
        Ok(())
    }

    /// The interval that begins at or before a tag.
    fn before(&self, tag: u32) -> Option<Tags> {
        self.intervals.range(..=tag).next_back().map(|(&start, &end)| start..end)
    }

    fn first_live(&self, tags: &Tags) -> Option<u32> {
        let inside = self.before(tags.start).filter(|interval| interval.end > tags.start);
        let next = || self.intervals.range(tags.clone()).next().map(|(&start, _)| start);
        inside.map(|_| tags.start).or_else(next)
    }

    fn first_not_live(&self, tags: &Tags) -> Option<u32> {
        // Intervals do not touch, so live tags in a row are all in one.
        match self.before(tags.start).filter(|interval| interval.end > tags.start) {
            None => Some(tags.start),
            Some(interval) => (interval.end < tags.end).then_some(interval.end),
        }
    }

    /// Adds tags that are not live.
    fn insert(&mut self, tags: &Tags) {
        let (mut start, mut end) = (tags.start, tags.end);
        if let Some(touching) = self.before(start).filter(|interval| interval.end == start) {
            start = touching.start;
        }
        if let Some(after) = self.intervals.remove(&end) {
            end = after;
        }
        self.intervals.insert(start, end);
        self.count += tags.len() as u64;
    }

    /// Takes out tags that are live, which are part of one interval.
    fn remove(&mut self, tags: &Tags) {
        let Some(interval) = self.before(tags.start) else { return };
        self.intervals.remove(&interval.start);
        for rest in [interval.start..tags.start, tags.end..interval.end] {
            if !rest.is_empty() {
                self.intervals.insert(rest.start, rest.end);
            }
        }
        self.count -= tags.len() as u64;
    }
}

fn not_empty(tags: &Tags) -> Result<(), Refused> {
    if tags.is_empty() {
        let found = format!("{} to {}", tags.start, tags.end);
        return Err(("a range that ends after its start".to_owned(), found));
    }
    Ok(())
}
