//! The only types that know the wire: what JSON requests and replies look like. The OpenAPI
//! document is derived from them. Replies borrow from the index, so nothing is copied to be sent.

use std::borrow::Cow;
use std::cell::RefCell;

use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use crate::error::Corruption;
use crate::index::{self, AttributeValue, Hit, Index};
use crate::types::{ElementType, Metric};

/// One search call: several queries, one set of parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SearchRequest)]
pub(super) struct SearchRequest<'a> {
    /// The queries; each gets its own result, in this order.
    #[serde(borrow)]
    #[schema(min_items = 1, example = json!([{"item_id": 7}]))]
    pub(super) queries: Vec<Query<'a>>,
    /// How many items to return for each query.
    #[schema(minimum = 1, example = 10)]
    pub(super) k: usize,
    /// Size of the candidate list: larger finds more and takes longer. Below `k` it still finds `k`, of
    /// which more are not among the nearest.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 16384, example = 200)]
    pub(super) ef: Option<usize>,
    /// Share of the true neighbors to find, in place of `ef`: searches as hard as was measured to
    /// find it, when the index was built or tuned.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1, example = 0.95)]
    pub(super) target_recall: Option<f32>,
    /// Compare with every vector that passes instead of searching the graph.
    #[serde(default)]
    pub(super) exact: bool,
    /// Which items may be in the results: JSON, or text in a string; see docs/filters.md.
    #[serde(default, borrow)]
    #[schema(schema_with = filter_schema)]
    pub(super) filter: Option<&'a RawValue>,
    /// Ids of items that must not be in the results: seen, bought, blocked. Those that the index does
    /// not hold are no error.
    #[serde(default)]
    #[schema(max_items = 100000)]
    pub(super) exclude: Vec<u64>,
    /// Also say what each way to answer was estimated to cost, where there is a `filter` or `exclude`.
    #[serde(default)]
    pub(super) explain: bool,
    /// Names of the attributes to return with each item.
    #[serde(default)]
    pub(super) attributes: Vec<String>,
    /// The embedding space that the vectors are of, as `space_id` of the index has it. Another one than
    /// that of the index is refused: what such vectors are near to means nothing.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>, example = "jobs@2026-11-25/ip/64/none")]
    pub(super) space_id: Option<Text<'a>>,
    /// Milliseconds from the arrival of the call. A search that runs out of them returns the best
    /// found so far and says so; a call still waiting for its turn then gets 504. None: no limit.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10000)]
    pub(super) timeout_ms: Option<u64>,
}

/// A filter is an object or a string, for which there is no Rust type.
fn filter_schema() -> Schema {
    let either = [Type::Object, Type::String, Type::Null];
    let filter = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter(either))
        .description(Some(
            "Which items may be in the results: JSON, or text in a string; see docs/filters.md.",
        ))
        .examples([json!({"eq": {"language": "eng"}}), json!("language == \"eng\"")]);
    filter.build().into()
}

/// One query: exactly one of the three fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Query)]
pub(super) struct Query<'a> {
    /// As many finite numbers as the index has dimensions.
    #[serde(default, deserialize_with = "components")]
    pub(super) vector: Option<Vec<f32>>,
    /// The same as little-endian 32-bit floats in base64 (standard alphabet).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) vector_b64: Option<Text<'a>>,
    /// Search with the stored vector of this item, which is left out of the result.
    #[serde(default)]
    pub(super) item_id: Option<u64>,
}

/// Reads numbers as f64 and rounds them. serde_json's own f32 takes a number beyond f32 for bad
/// JSON, or for infinity, by which features other crates turn on; an infinity has a pointer and a
/// reason of its own.
fn components<'de, D: Deserializer<'de>>(numbers: D) -> Result<Option<Vec<f32>>, D::Error> {
    let numbers = Option::<Vec<f64>>::deserialize(numbers)?;
    Ok(numbers.map(|numbers| numbers.into_iter().map(|number| number as f32).collect()))
}

/// Text, borrowed from the request where it has no escapes (an `Option<Cow>` would copy).
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The answer to a search call.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchReply)]
pub(super) struct SearchReply<'a> {
    /// One result for each query, in the order of the queries.
    pub(super) results: Vec<QueryResult<'a>>,
    /// The generation of the index that answered.
    pub(super) generation: u64,
    /// The embedding space of the index; null where its build was not told.
    pub(super) space_id: Option<&'a str>,
    /// What to look into although the call was answered; null where there is nothing.
    pub(super) warning: Option<String>,
    /// With what was searched; there where the call had a `target_recall`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<Effort<'a>>,
    pub(super) took_us: Took,
}

/// How hard a search looks that names a recall.
#[derive(Serialize, ToSchema)]
#[schema(as = Effort)]
pub(super) struct Effort<'a> {
    /// Size of the candidate list.
    pub(super) ef: usize,
    /// Ends a search where what is left is so many times as far as the last result; null: only the
    /// candidate list does.
    pub(super) slack: Option<f32>,
    /// Candidates that are scored on their vectors.
    pub(super) rerank: usize,
    /// The recall to expect: what was asked for, or the best that was measured where that is less.
    pub(super) expected_recall: f32,
    /// `queries` that were given, or `items` in place of them, which flatter an index whose users
    /// are distributed otherwise.
    #[schema(example = "queries")]
    pub(super) calibrated_on: &'a str,
}

impl<'a> Effort<'a> {
    pub(super) fn new(effort: index::Effort, calibrated_on: &'a str) -> Self {
        let index::Effort { ef, slack, rerank, recall, .. } = effort;
        Effort { ef, slack, rerank, expected_recall: recall, calibrated_on }
    }
}

/// Where the time went, in microseconds.
#[derive(Serialize, ToSchema)]
pub(super) struct Took {
    /// Waiting for a search thread.
    pub(super) queue: u64,
    /// Searching, all queries together.
    pub(super) search: u64,
}

/// The items found for one query as columns: position `i` of each is the same item, best first.
#[derive(Serialize, ToSchema)]
#[schema(as = QueryResult)]
pub(super) struct QueryResult<'a> {
    /// Ids of the items, best first.
    #[schema(value_type = Vec<u64>)]
    pub(super) ids: Ids<'a>,
    /// Larger is better: −squared L2, dot product or cosine. Null when it overflows an f32.
    #[schema(value_type = Vec<f32>)]
    pub(super) scores: Scores<'a>,
    /// The values of each attribute asked for. Timestamps are RFC 3339 in UTC.
    #[schema(value_type = HashMap<String, Vec<Attribute>>)]
    pub(super) attributes: Attributes<'a>,
    pub(super) account: Account,
    /// There where `explain` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explain: Option<Explain>,
}

/// What each way to answer was estimated to cost, in microseconds, on the thread that searches.
#[derive(Serialize, ToSchema)]
#[schema(as = Explain)]
pub(super) struct Explain {
    /// The share of all items that pass.
    pub(super) pass_rate: f32,
    pub(super) exact_us: f32,
    pub(super) two_hop_us: f32,
    pub(super) walk_us: f32,
}

impl From<index::Planned> for Explain {
    fn from(planned: index::Planned) -> Self {
        let us = |ns: f32| ns / 1e3;
        Explain {
            pass_rate: planned.estimate.pass_rate,
            exact_us: us(planned.exact_ns),
            two_hop_us: us(planned.two_hop_ns),
            walk_us: us(planned.walk_ns),
        }
    }
}

/// The ids of some hits, as a JSON array.
pub(super) struct Ids<'a>(pub(super) &'a [Hit]);

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|hit| hit.item_id))
    }
}

/// The scores of some hits, as a JSON array.
pub(super) struct Scores<'a>(pub(super) &'a [Hit]);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|hit| hit.score))
    }
}

/// The attributes of some hits, read from the index while they are written out.
pub(super) struct Attributes<'a> {
    pub(super) index: &'a Index,
    pub(super) hits: &'a [Hit],
    /// Name and column number.
    pub(super) columns: &'a [(String, usize)],
    /// Where the typed error goes that serde would turn into text.
    pub(super) corruption: &'a RefCell<Option<Corruption>>,
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (name, column) in self.columns {
            map.serialize_entry(name, &AttributeColumn { of: self, column: *column })?;
        }
        map.end()
    }
}

struct AttributeColumn<'a> {
    of: &'a Attributes<'a>,
    column: usize,
}

impl Serialize for AttributeColumn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut values = serializer.serialize_seq(Some(self.of.hits.len()))?;
        for hit in self.of.hits {
            match self.of.index.attribute_value(self.column, hit.node) {
                Ok(value) => values.serialize_element(&Attribute::from(value))?,
                Err(corruption) => {
                    self.of.corruption.replace(Some(corruption));
                    return Err(S::Error::custom("corrupt attribute column"));
                }
            }
        }
        values.end()
    }
}

/// One attribute value; its JSON type follows the kind of the attribute.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Attribute)]
pub(super) enum Attribute<'a> {
    Null,
    Bool(bool),
    I64(i64),
    F64(f64),
    Timestamp(String),
    Category(&'a str),
    Tags(Vec<&'a str>),
}

impl<'a> From<AttributeValue<'a>> for Attribute<'a> {
    fn from(value: AttributeValue<'a>) -> Self {
        match value {
            AttributeValue::Null => Attribute::Null,
            AttributeValue::Bool(value) => Attribute::Bool(value),
            AttributeValue::I64(value) => Attribute::I64(value),
            AttributeValue::F64(value) => Attribute::F64(value),
            AttributeValue::Timestamp(micros) => Attribute::Timestamp(rfc3339(micros)),
            AttributeValue::Text(text) => Attribute::Category(text),
            AttributeValue::Tags(tags) => Attribute::Tags(tags),
        }
    }
}

/// How a query was answered.
#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    /// What the search did.
    pub(super) plan: Plan,
    /// True only when proven: no item outside the result scores better than one in it.
    pub(super) exact: bool,
    /// Items that could have been returned.
    pub(super) matches: u64,
    /// Graph nodes whose neighbors were read, or items scanned.
    pub(super) visited: u64,
    /// Distances computed.
    pub(super) distances: u64,
    /// What stopped the search early, if anything did.
    pub(super) truncated_by: Option<TruncatedBy>,
}

/// `walk` over the graph, `two-hop` through the items of it that pass, `exact` scan of those that pass,
/// or `all` (no more of them than `k`).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Plan {
    Walk,
    TwoHop,
    Exact,
    All,
}

/// What stopped a search early.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TruncatedBy {
    Deadline,
}

impl From<&index::Account> for Account {
    fn from(account: &index::Account) -> Self {
        Account {
            plan: match account.plan {
                index::Plan::Walk => Plan::Walk,
                index::Plan::TwoHop => Plan::TwoHop,
                index::Plan::Exact => Plan::Exact,
                index::Plan::All => Plan::All,
            },
            exact: account.exact,
            matches: account.matches,
            visited: account.visited,
            distances: account.distances,
            truncated_by: account.truncated_by.map(|reason| match reason {
                index::TruncatedBy::Deadline => TruncatedBy::Deadline,
            }),
        }
    }
}

/// The indexes that are served.
#[derive(Serialize, ToSchema)]
pub(super) struct IndexList<'a> {
    #[schema(value_type = Vec<IndexSummary>)]
    pub(super) indexes: Vec<IndexSummary<'a>>,
}

/// The size and kind of one index.
#[derive(Serialize, ToSchema)]
#[schema(as = IndexSummary)]
pub(super) struct IndexSummary<'a> {
    pub(super) name: &'a str,
    /// Items in the index.
    pub(super) n: u64,
    pub(super) dim: usize,
    #[schema(value_type = String, example = "ip")]
    pub(super) metric: Metric,
    #[schema(value_type = String, example = "f16")]
    pub(super) element: ElementType,
    pub(super) generation: u64,
    /// The embedding space that queries have to be of; null where the build was not told.
    #[schema(example = "jobs@2026-11-25/ip/64/none")]
    pub(super) space_id: Option<&'a str>,
    /// Warm: its files are in memory.
    pub(super) ready: bool,
    /// Bundled example queries, see `/v1/indexes/{name}/examples`.
    pub(super) examples: usize,
}

/// Everything there is to know about one index.
#[derive(Serialize, ToSchema)]
#[schema(as = IndexDetail)]
pub(super) struct IndexDetail<'a> {
    #[serde(flatten)]
    pub(super) summary: IndexSummary<'a>,
    pub(super) build: BuildDetail<'a>,
    /// Items on each graph level, level 0 first.
    pub(super) levels: &'a [u64],
    pub(super) attributes: Vec<AttributeDetail<'a>>,
    /// Recall against exact search, measured when the index was built.
    pub(super) self_check: Option<SelfCheck<'a>>,
    /// What effort reaches which recall; null where that was not measured, and searches cannot name
    /// a recall.
    pub(super) calibration: Option<Calibration<'a>>,
    pub(super) memory: Memory,
}

/// How the index was built.
#[derive(Serialize, ToSchema)]
#[schema(as = BuildDetail)]
pub(super) struct BuildDetail<'a> {
    #[schema(example = "hnsw")]
    pub(super) builder: &'a str,
    pub(super) max_degree: u32,
    pub(super) ef_construction: u32,
    /// Pruning slack; null for a builder that has none.
    pub(super) alpha: Option<f32>,
    pub(super) backfill: bool,
    pub(super) seed: u64,
    /// The program that wrote the files.
    #[schema(example = "vicinage 0.1.0")]
    pub(super) writer: &'a str,
    /// RFC 3339; null for a deterministic build.
    pub(super) created: Option<String>,
}

/// An attribute column.
#[derive(Serialize, ToSchema)]
#[schema(as = AttributeDetail)]
pub(super) struct AttributeDetail<'a> {
    pub(super) name: &'a str,
    #[schema(value_type = String, example = "category")]
    pub(super) kind: index::ColumnKind,
    pub(super) nullable: bool,
    /// Of the column.
    pub(super) bytes: u64,
    /// Of what makes it fast to filter by.
    pub(super) index_bytes: u64,
}

/// Recall of sampled queries against exact search.
#[derive(Serialize, ToSchema)]
#[schema(as = SelfCheck)]
pub(super) struct SelfCheck<'a> {
    pub(super) queries: u32,
    #[schema(example = "items")]
    pub(super) queries_from: &'a str,
    pub(super) k: u32,
    pub(super) ef: u32,
    pub(super) recall_id: f64,
    pub(super) recall_distance: f64,
}

/// What effort reaches which recall.
#[derive(Serialize, ToSchema)]
#[schema(as = Calibration)]
pub(super) struct Calibration<'a> {
    /// How many were asked.
    pub(super) queries: u32,
    /// `queries` that were given, or `items` in place of them, which flatter an index whose users
    /// are distributed otherwise.
    #[schema(example = "queries")]
    pub(super) queries_from: &'a str,
    /// For some numbers of results and some recalls.
    pub(super) efforts: Vec<Calibrated>,
}

/// What a search does that names a recall, and what to expect of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Calibrated {
    pub(super) k: usize,
    pub(super) target_recall: f32,
    pub(super) ef: usize,
    pub(super) slack: Option<f32>,
    pub(super) rerank: usize,
    pub(super) expected_recall: f32,
    /// Distances computed.
    pub(super) distances: f32,
    /// Median time of a query where it was measured; null for a deterministic build.
    pub(super) microseconds: Option<f32>,
}

/// The recalls whose efforts are told.
const RECALLS: [f32; 3] = [0.90, 0.95, 0.99];

impl<'a> From<&'a index::Calibration> for Calibration<'a> {
    fn from(calibration: &'a index::Calibration) -> Self {
        let pairs = calibration.ks().into_iter().flat_map(|k| RECALLS.map(|recall| (k, recall)));
        let efforts = pairs.filter_map(|(k, target_recall)| {
            let effort = calibration.effort(k, target_recall)?;
            let index::Effort { ef, slack, rerank, recall, distances, microseconds } = effort;
            let expected_recall = recall;
            Some(Calibrated {
                k,
                target_recall,
                ef,
                slack,
                rerank,
                expected_recall,
                distances,
                microseconds,
            })
        });
        Calibration {
            queries: calibration.queries,
            queries_from: &calibration.queries_from,
            efforts: efforts.collect(),
        }
    }
}

/// Where the bytes of an index are.
#[derive(Serialize, ToSchema)]
pub(super) struct Memory {
    pub(super) file_bytes: u64,
    /// `mmap`, `populate` or `copy`.
    #[schema(example = "mmap")]
    pub(super) load: String,
    /// Memory of the whole server process that is resident, all indexes together.
    pub(super) process_resident_bytes: Option<u64>,
}

/// A page of bundled example queries.
#[derive(Serialize, ToSchema)]
#[schema(as = ExampleList)]
pub(super) struct ExampleList<'a> {
    pub(super) total: usize,
    /// Position of the first one returned.
    pub(super) from: usize,
    pub(super) examples: Vec<ExampleQuery<'a>>,
}

/// A query that somebody could really ask.
#[derive(Serialize, ToSchema)]
#[schema(as = ExampleQuery)]
pub(super) struct ExampleQuery<'a> {
    pub(super) label: &'a str,
    /// What the query stands for, in words.
    pub(super) lines: &'a [String],
    /// For the field of the same name in a search.
    pub(super) vector_b64: String,
}

/// Which examples to return.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExampleRange {
    /// Position of the first one.
    #[serde(default)]
    pub(super) from: usize,
    /// How many, at most 100.
    #[serde(default = "default_example_count")]
    pub(super) count: usize,
}

fn default_example_count() -> usize {
    20
}

/// Progress towards being ready.
#[derive(Serialize)]
pub(super) struct Readiness<'a> {
    /// `ready`, `warming` or `stopping`.
    pub(super) status: &'static str,
    pub(super) indexes: Vec<IndexReadiness<'a>>,
}

/// How much of one index has been read into memory.
#[derive(Serialize)]
pub(super) struct IndexReadiness<'a> {
    pub(super) name: &'a str,
    pub(super) ready: bool,
    pub(super) bytes_done: u64,
    pub(super) bytes_total: u64,
}

/// Microseconds since 1970-01-01 UTC as an RFC 3339 timestamp, `2026-01-31T08:05:00.25Z`; as the
/// number where no year that is written with four digits holds it.
pub fn rfc3339(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| micros.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn timestamps_are_rfc_3339_over_the_whole_range() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_709_209_845_500_000), "2024-02-29T12:30:45.5Z");
        assert_eq!(rfc3339(253_402_000_000_000_000), "9999-12-28T12:26:40Z");
        assert_eq!(rfc3339(253_402_300_800_000_000), "253402300800000000");
        assert_eq!(rfc3339(-62_167_219_200_000_000), "0000-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MIN), i64::MIN.to_string());
    }
}
