//! From the bytes of a search call to something that can be searched: parsing, limits, and the
//! pointer to whatever is wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::config::Limits;
use super::error::{ApiError, Fault};
use super::host::Host;
use super::wire::{Query, SearchRequest};
use crate::index::{
    Effort, Expression, FilterError, FilterProblem, Index, Restriction, SearchError, SpaceError,
};
use crate::types::NodeId;

/// Largest `ef` a call may ask for.
pub(super) const MAX_EF: usize = 16_384;
/// Longest `timeout_ms` a call may ask for.
const MAX_TIMEOUT_MS: u64 = 10_000;
/// Most items a call may ask for, all queries together: bounds the memory of one call.
const MAX_HITS: usize = 1_000_000;
/// Most items a call may exclude.
const MAX_EXCLUDED: usize = 100_000;
/// Faults reported for one call; a client that got 1,024 vectors wrong needs no more to see why.
const MAX_FAULTS: usize = 16;

/// Parses a call and checks everything that can be checked without looking at the vectors.
pub(super) fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<SearchRequest<'a>, ApiError> {
    let request = match serde_json::from_slice::<SearchRequest<'a>>(body) {
        Ok(request) => request,
        Err(error) => return Err(explain(body, &error)),
    };
    let mut faults = Vec::new();
    let mut check = |ok: bool, pointer: &str, reason: &dyn Fn() -> String| {
        if !ok {
            faults.push(Fault::new(pointer, reason()));
        }
    };
    let (queries, k) = (request.queries.len(), request.k);
    check((1..=limits.max_queries).contains(&queries), "/queries", &|| {
        format!("{queries} queries; a call takes 1 to {}", limits.max_queries)
    });
    check((1..=limits.max_k).contains(&k), "/k", &|| {
        format!("k is {k}; it must be 1 to {}", limits.max_k)
    });
    check(queries.saturating_mul(k) <= MAX_HITS.max(limits.max_k), "/k", &|| {
        format!("{queries} queries of {k} items; a call returns at most {MAX_HITS} in all")
    });
    if let Some(ef) = request.ef {
        check((1..=MAX_EF).contains(&ef), "/ef", &|| {
            format!("ef is {ef}; it must be 1 to {MAX_EF}")
        });
    }
    if let Some(recall) = request.target_recall {
        check((0.0..=1.0).contains(&recall), "/target_recall", &|| {
            format!("target_recall is {recall}; it must be 0 to 1")
        });
        check(request.ef.is_none(), "/target_recall", &|| {
            "target_recall chooses ef by itself: give one of them".to_owned()
        });
    }
    if let Some(ms) = request.timeout_ms {
        check((1..=MAX_TIMEOUT_MS).contains(&ms), "/timeout_ms", &|| {
            format!("timeout_ms is {ms}; it must be 1 to {MAX_TIMEOUT_MS}")
        });
    }
    let excluded = request.exclude.len();
    check(excluded <= MAX_EXCLUDED, "/exclude", &|| {
        format!("{excluded} items to exclude; a call takes up to {MAX_EXCLUDED}")
    });
    if queries <= limits.max_queries {
        check_one_of(&request.queries, &mut faults);
    }
    match faults.is_empty() {
        true => Ok(request),
        false => Err(ApiError::InvalidArgument { faults }),
    }
}

fn check_one_of(queries: &[Query<'_>], faults: &mut Vec<Fault>) {
    for (at, query) in queries.iter().enumerate() {
        let given = usize::from(query.vector.is_some())
            + usize::from(query.vector_b64.is_some())
            + usize::from(query.item_id.is_some());
        if given != 1 && faults.len() < MAX_FAULTS {
            faults.push(Fault::new(
                format!("/queries/{at}"),
                format!("give exactly one of vector, vector_b64 and item_id; found {given}"),
            ));
        }
    }
}

/// Parses once more, slowly, to find out where the fault is. Only for bodies already refused.
fn explain(body: &[u8], error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return ApiError::InvalidJson { reason: error.to_string() };
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, SearchRequest<'_>>(&mut json) {
        Ok(_) => ApiError::InvalidJson { reason: error.to_string() },
        Err(error) => {
            let pointer = pointer(error.path());
            Fault::new(pointer, error.into_inner().to_string()).into()
        }
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |mut pointer, segment| {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
        pointer
    })
}

/// The effort that a call's `target_recall` stands for; none where it has none, or asks for an exact
/// search, which finds everything.
pub(super) fn effort(
    request: &SearchRequest<'_>,
    index: &Index,
) -> Result<Option<Effort>, ApiError> {
    let Some(recall) = request.target_recall.filter(|_| !request.exact) else { return Ok(None) };
    match index.effort(request.k, recall) {
        Ok(effort) => Ok(Some(effort)),
        Err(error) => Err(Fault::new("/target_recall", error.to_string()).into()),
    }
}

/// The items that may be in the results of a call: evaluates the filter, or finds what it passed before,
/// and looks the excluded items up.
pub(super) fn restriction(
    request: &SearchRequest<'_>,
    index: &Index,
) -> Result<Restriction, ApiError> {
    let is_text = request.filter.is_some_and(|filter| filter.get().starts_with('"'));
    let fault = |error| filter_fault(error, is_text);
    let read = |filter: &RawValue| Expression::from_json_or_text(filter.get());
    let filter = request.filter.map(read).transpose().map_err(fault)?;
    index.restriction(filter.as_ref(), &request.exclude).map_err(fault)
}

fn filter_fault(error: FilterError, is_text: bool) -> ApiError {
    if let FilterProblem::Corrupt(corruption) = error.problem {
        return ApiError::IndexCorrupt(*corruption);
    }
    match error.place.pointer().filter(|_| !is_text) {
        Some(pointer) => Fault::new(format!("/filter{pointer}"), error.problem.to_string()),
        // Nothing within a string has a pointer: the message says where.
        None => Fault::new("/filter", error.to_string()),
    }
    .into()
}

/// Holds the space that a call names against that of the index; what to warn of, if anything. A call whose
/// vectors are all the index's own need not name it.
pub(super) fn space(request: &SearchRequest<'_>, host: &Host) -> Result<Option<String>, ApiError> {
    let named = request.space_id.as_ref().map(|id| &*id.0);
    if named.is_none() && request.queries.iter().all(|query| query.item_id.is_some()) {
        return Ok(None);
    }
    match host.space_policy.check(host.index.info().space_id.as_deref(), named) {
        Ok(doubt) => Ok(doubt.map(|doubt| doubt.to_string())),
        Err(error) => {
            let fault = Fault::new("/space_id", error.to_string());
            Err(match error {
                SpaceError::Unnamed { .. } => ApiError::SpaceRequired { fault },
                _ => ApiError::SpaceMismatch { fault },
            })
        }
    }
}

/// The columns of the attributes asked for, by name.
pub(super) fn columns(names: Vec<String>, index: &Index) -> Result<Vec<(String, usize)>, ApiError> {
    let mut columns: Vec<(String, usize)> = Vec::with_capacity(names.len().min(64));
    for (at, name) in names.into_iter().enumerate() {
        let pointer = || format!("/attributes/{at}");
        let Some(column) = index.attribute(&name) else {
            let known: Vec<&str> = index
                .info()
                .attributes
                .iter()
                .map(|attribute| attribute.schema.name.as_str())
                .collect();
            let reason = match known.as_slice() {
                [] => format!("no attribute {name:?}; this index has none"),
                _ => format!("no attribute {name:?}; this index has {}", known.join(", ")),
            };
            return Err(Fault::new(pointer(), reason).into());
        };
        // Duplicate names would be duplicate keys in the reply. This also bounds the list.
        if columns.iter().any(|(_, seen)| *seen == column) {
            return Err(Fault::new(pointer(), format!("{name:?} is asked for twice")).into());
        }
        columns.push((name, column));
    }
    Ok(columns)
}

/// Puts the vector of a query into `vector` (cleared first); tells the node that it is the vector
/// of and that must not be returned.
pub(super) fn vector(
    query: &mut Query<'_>,
    at: usize,
    index: &Index,
    vector: &mut Vec<f32>,
) -> Result<Option<NodeId>, ApiError> {
    vector.clear();
    if let Some(numbers) = query.vector.take() {
        *vector = numbers;
        return Ok(None);
    }
    if let Some(text) = query.vector_b64.take() {
        let fault = |reason| Fault::new(format!("/queries/{at}/vector_b64"), reason);
        let bytes = STANDARD
            .decode(text.0.as_bytes())
            .map_err(|error| fault(format!("not base64 (standard alphabet, padded): {error}")))?;
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            let reason = format!("{} bytes are not a whole number of 4-byte floats", bytes.len());
            return Err(fault(reason).into());
        }
        vector.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        return Ok(None);
    }
    // parse() has seen to it that it is one of the three.
    let Some(item) = query.item_id else { return Err(ApiError::Internal) };
    match index.find(item) {
        Some(node) => {
            index.vector(node, vector);
            Ok(Some(node))
        }
        None => Err(ApiError::ItemNotFound {
            fault: Fault::new(format!("/queries/{at}/item_id"), format!("no item {item}")),
        }),
    }
}

/// What the engine says about query `at`, with its pointer; `field` is how the vector was given.
pub(super) fn search_fault(error: &SearchError, at: usize, field: &str) -> ApiError {
    let pointer = match error {
        SearchError::NotFinite { component, .. } if field == "vector" => {
            format!("/queries/{at}/vector/{component}")
        }
        SearchError::ZeroK => "/k".to_owned(),
        _ => format!("/queries/{at}/{field}"),
    };
    Fault::new(pointer, error.to_string()).into()
}

impl Query<'_> {
    /// The name of the field that says what is asked.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Query { vector: Some(_), .. } => "vector",
            Query { vector_b64: Some(_), .. } => "vector_b64",
            _ => "item_id",
        }
    }
}
