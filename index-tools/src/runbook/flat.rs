//! An exact index that takes updates: the live vectors end to end, scanned for every query.

use std::collections::HashMap;

use vicinage::eval::truth::row_scales;
use vicinage::kernels::{Element, Isa, Operation, dispatch};
use vicinage::scan::{Found, TopK};
use vicinage::types::{Metric, NodeId};
use vicinage::vectors::{Form, RowScorer, Rows, Vectors, query_scale};
use vicinage_datasets::Update;

use super::base::Base;

/// Candidates beyond k that are scored once more, in the way that truth is: the kernels for one
/// query and for four differ in the last bits, and so could the last of the k nearest.
const SLACK: usize = 32;

/// The live vectors.
pub(super) struct Flat<'a, E> {
    base: &'a Base,
    metric: Metric,
    /// `[n, dim]`.
    components: Vec<E>,
    /// `[n]` for cosine, else empty.
    scales: Vec<f32>,
    /// `[n]`.
    tags: Vec<u32>,
    /// Where each tag is.
    slots: HashMap<u32, u32>,
}

impl<'a, E: Element> Flat<'a, E> {
    /// Without items; the base has elements of this type.
    pub(super) fn new(base: &'a Base, metric: Metric) -> Self {
        let (components, scales, tags) = (Vec::new(), Vec::new(), Vec::new());
        Self { base, metric, components, scales, tags, slots: HashMap::new() }
    }

    /// Items that are live.
    pub(super) fn len(&self) -> usize {
        self.tags.len()
    }

    /// Does a step that is not a search. Cost: a copy of each vector.
    pub(super) fn apply(&mut self, update: &Update) {
        match update {
            Update::Insert(tags) => tags.clone().for_each(|tag| self.put(tag, tag)),
            Update::Replace { tags, rows } => {
                tags.clone().zip(rows.clone()).for_each(|(tag, row)| self.put(tag, row));
            }
            Update::Delete(tags) => tags.clone().for_each(|tag| self.remove(tag)),
            Update::Search => {}
        }
    }

    fn vectors(&self) -> Vectors<'_> {
        let bytes = bytemuck::cast_slice(&self.components);
        Vectors { bytes, element: E::TYPE, dim: self.base.dim() }
    }

    /// Gives a tag, live or new, the vector of a row.
    fn put(&mut self, tag: u32, row: u32) {
        let vectors = self.base.vectors();
        let vector = vectors.rows::<E>().row(NodeId(row));
        let bytes = vectors.row_bytes(NodeId(row));
        let scale = row_scales(self.metric, Vectors { bytes, ..vectors });
        let dim = vectors.dim;
        match self.slots.get(&tag) {
            Some(&slot) => {
                let slot = slot as usize;
                self.components[slot * dim..][..dim].copy_from_slice(vector);
                if let [scale] = scale[..] {
                    self.scales[slot] = scale;
                }
            }
            None => {
                self.slots.insert(tag, self.tags.len() as u32);
                self.tags.push(tag);
                self.components.extend_from_slice(vector);
                self.scales.extend(scale);
            }
        }
    }

    /// The last vector takes the place of what goes.
    fn remove(&mut self, tag: u32) {
        let Some(slot) = self.slots.remove(&tag) else { return };
        let (slot, last, dim) = (slot as usize, self.tags.len() - 1, self.base.dim());
        self.components.copy_within(last * dim.., slot * dim);
        self.components.truncate(last * dim);
        if !self.scales.is_empty() {
            self.scales.swap_remove(slot);
        }
        self.tags.swap_remove(slot);
        if let Some(&moved) = self.tags.get(slot) {
            self.slots.insert(moved, slot as u32);
        }
    }

    /// Replaces the contents of `found` by the tags and distances of the `k` nearest, closest
    /// first. `top` is memory that it may use.
    pub(super) fn search(&self, query: &[f32], k: usize, top: &mut TopK, found: &mut Vec<Found>) {
        top.reset(k + SLACK);
        let (rows, tags) = (self.vectors().rows::<E>(), &self.tags[..]);
        let scale = query_scale(self.metric, query);
        let form = Form::of(self.metric, scale, &self.scales);
        dispatch(Scan { rows, tags, query, form, top });
        found.clear();
        found.extend_from_slice(top.sorted());
        let slots = found.iter().map(|found| NodeId(self.slots[&(found.id as u32)])).collect();
        dispatch(Rescore { rows, slots, query, scale, form, found });
        found.sort_unstable();
        found.truncate(k);
    }

    /// The distance of tags to a query, as truth computes it; none where one is not live.
    pub(super) fn distances(&self, query: &[f32], tags: &[u64]) -> Option<Vec<f32>> {
        let slot = |tag: &u64| Some(NodeId(*self.slots.get(&u32::try_from(*tag).ok()?)?));
        let slots = tags.iter().map(slot).collect::<Option<Vec<NodeId>>>()?;
        let scale = query_scale(self.metric, query);
        let form = Form::of(self.metric, scale, &self.scales);
        let mut found: Vec<Found> = tags.iter().map(|&id| Found { distance: 0.0, id }).collect();
        let rows = self.vectors().rows::<E>();
        dispatch(Rescore { rows, slots, query, scale, form, found: &mut found });
        Some(found.into_iter().map(|found| found.distance).collect())
    }
}

/// Every row, under its tag.
struct Scan<'a, E> {
    rows: Rows<'a, E>,
    tags: &'a [u32],
    query: &'a [f32],
    form: Form<'a>,
    top: &'a mut TopK,
}

impl<E: Element> Operation for Scan<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, tags, query, form, top } = self;
        let scorer = RowScorer { isa, rows, query, form };
        for (slot, tag) in (0..).zip(tags) {
            top.push(scorer.one(NodeId(slot)), u64::from(*tag));
        }
    }
}

/// The distances of some rows, from the kernel for four queries.
struct Rescore<'a, E> {
    rows: Rows<'a, E>,
    slots: Vec<NodeId>,
    query: &'a [f32],
    scale: f32,
    form: Form<'a>,
    found: &'a mut [Found],
}

impl<E: Element> Operation for Rescore<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, slots, query, scale, form, found } = self;
        let scorer = RowScorer { isa, rows, query, form };
        for (slot, found) in slots.into_iter().zip(found) {
            [found.distance, ..] = scorer.four([query; 4], [scale; 4], slot);
        }
    }
}
