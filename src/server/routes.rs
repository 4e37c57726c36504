//! The data port: search, what is served, the OpenAPI document, the page.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::oneshot;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Fault, Problem};
use super::host::Host;
use super::metrics::resident_bytes;
use super::page;
use super::search::SearchJob;
use super::state::App;
use super::wire::{
    AttributeDetail, BuildDetail, Calibration, ExampleList, ExampleQuery, ExampleRange,
    IndexDetail, IndexList, IndexSummary, Memory, SearchReply, SearchRequest, SelfCheck, rfc3339,
};

/// A body must be complete this long after its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most examples in one reply.
const MAX_EXAMPLES: usize = 100;

#[derive(OpenApi)]
#[openapi(info(
    title = "vicinage",
    description = "Embedding retrieval: the nearest items to a vector.\n\nEvery error is a problem document (RFC 9457) with a stable `code`.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
))]
struct Document;

/// The routes of the data port and their OpenAPI document.
fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(search))
        .routes(routes!(list))
        .routes(routes!(detail))
        .routes(routes!(examples))
}

/// The OpenAPI document as JSON, the same that `GET /openapi.json` answers.
pub fn openapi() -> String {
    // A document made of maps and strings always serialises.
    api().into_openapi().to_pretty_json().unwrap_or_default()
}

/// Everything on the data port.
pub(super) fn router(app: Arc<App>) -> axum::Router {
    let document = Bytes::from(openapi());
    let serve_document = move || {
        let json = HeaderValue::from_static("application/json");
        std::future::ready(([(header::CONTENT_TYPE, json)], document.clone()))
    };
    axum::Router::from(api())
        .route("/openapi.json", get(serve_document))
        .merge(page::routes())
        .fallback(|| std::future::ready(ApiError::RouteNotFound))
        .method_not_allowed_fallback(|| std::future::ready(ApiError::MethodNotAllowed))
        .with_state(app)
}

type Name = Result<Path<String>, PathRejection>;

fn host<'a>(app: &'a App, name: &Name) -> Result<&'a Arc<Host>, ApiError> {
    // A name that is not UTF-8 is none of ours.
    let Ok(Path(name)) = name else { return Err(ApiError::RouteNotFound) };
    app.hosts.get(name).ok_or_else(|| ApiError::IndexNotFound { name: name.clone() })
}

/// Searches an index: for each query, the items nearest to it
#[utoipa::path(
    post,
    path = "/v1/indexes/{name}/search",
    operation_id = "search",
    params(("name" = String, Path, description = "Name of the index")),
    request_body = SearchRequest,
    responses(
        (status = 200, description = "One result for each query", body = SearchReply),
        (status = 400, description = "INVALID_JSON, BODY_BROKEN", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "INDEX_NOT_FOUND", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "BODY_TIMEOUT", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "BODY_TOO_LARGE", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_ARGUMENT, ITEM_NOT_FOUND, REPLY_TOO_LARGE, SPACE_MISMATCH, SPACE_REQUIRED", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "INTERNAL, INDEX_CORRUPT", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "OVERLOADED: try again after `Retry-After` seconds", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "DEADLINE_EXCEEDED", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn search(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let arrived = Instant::now();
    let host = match host(&app, &name) {
        Ok(host) => host,
        Err(error) => {
            app.metrics.count("", error.status().as_u16());
            return error.into_response();
        }
    };
    let answer = answer(&app, host, request, arrived).await;
    let status = answer.as_ref().map_or_else(ApiError::status, |_| StatusCode::OK);
    app.metrics.count(&host.name, status.as_u16());
    match answer {
        Ok(body) => json(body),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    app: &App,
    host: &Arc<Host>,
    request: Request,
    arrived: Instant,
) -> Result<Bytes, ApiError> {
    check_media_type(request.headers())?;
    let body = read_body(request.into_body(), app.limits.max_body_bytes).await?;
    // After the body has arrived, so that a slow client does not hold what others could use.
    let Ok(permit) = Arc::clone(&app.permits).try_acquire_owned() else {
        app.metrics.shed.inc();
        return Err(ApiError::Overloaded { limit: app.max_concurrent });
    };
    let (reply, answer) = oneshot::channel();
    app.pool.submit(SearchJob {
        host: Arc::clone(host),
        limits: app.limits,
        body,
        arrived,
        queued: Instant::now(),
        reply,
        permit,
    });
    // The sender is dropped without an answer when the search panicked.
    answer.await.unwrap_or(Err(ApiError::Internal))
}

fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Only JSON, and said so: a page of another site cannot send this type without being allowed to.
fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = found.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match essence.eq_ignore_ascii_case(b"application/json") {
        true => Ok(()),
        false => Err(ApiError::UnsupportedMediaType {
            found: String::from_utf8_lossy(&found[..found.len().min(100)]).into_owned(),
        }),
    }
}

async fn read_body(body: Body, limit_bytes: usize) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(ApiError::BodyTooLarge { limit_bytes });
    }
    let whole = Limited::new(body, limit_bytes).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::BodyTooLarge { limit_bytes })
        }
        Ok(Err(_)) => Err(ApiError::BodyBroken),
        Err(_) => Err(ApiError::BodyTimeout { limit_s: BODY_TIMEOUT.as_secs() }),
    }
}

/// Lists the indexes that are served
#[utoipa::path(
    get,
    path = "/v1/indexes",
    operation_id = "list_indexes",
    responses((status = 200, description = "Every index, by name", body = IndexList))
)]
async fn list(State(app): State<Arc<App>>) -> Response {
    Json(IndexList { indexes: app.hosts.values().map(|host| summary(host)).collect() })
        .into_response()
}

/// Describes an index: how it was built, its attributes, its self-check, its memory
#[utoipa::path(
    get,
    path = "/v1/indexes/{name}",
    operation_id = "describe_index",
    params(("name" = String, Path, description = "Name of the index")),
    responses(
        (status = 200, description = "The index", body = IndexDetail),
        (status = 404, description = "INDEX_NOT_FOUND", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn detail(State(app): State<Arc<App>>, name: Name) -> Result<Response, ApiError> {
    let host = host(&app, &name)?;
    let info = host.index.info();
    let build = &info.meta.build;
    let attributes = info.attributes.iter().map(|attribute| AttributeDetail {
        name: &attribute.schema.name,
        kind: attribute.schema.kind,
        nullable: attribute.schema.nullable,
        bytes: attribute.bytes,
        index_bytes: attribute.index_bytes,
    });
    let detail = IndexDetail {
        summary: summary(host),
        build: BuildDetail {
            builder: &build.builder,
            max_degree: build.max_degree,
            ef_construction: build.ef_construction,
            alpha: build.alpha,
            backfill: build.backfill,
            seed: info.seed,
            writer: &info.meta.writer,
            created: info
                .created_unix_s
                .map(|s| rfc3339(i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000))),
        },
        levels: &info.levels,
        attributes: attributes.collect(),
        self_check: info.meta.statistics.self_check.as_ref().map(|check| SelfCheck {
            queries: check.queries,
            queries_from: &check.queries_from,
            k: check.k,
            ef: check.ef,
            recall_id: check.recall_id,
            recall_distance: check.recall_distance,
        }),
        calibration: host.index.calibration().map(Calibration::from),
        memory: Memory {
            file_bytes: info.file_bytes,
            load: host.load.to_string(),
            process_resident_bytes: resident_bytes(),
        },
    };
    Ok(Json(detail).into_response())
}

fn summary(host: &Host) -> IndexSummary<'_> {
    let info = host.index.info();
    IndexSummary {
        name: &host.name,
        n: info.n,
        dim: info.dim,
        metric: info.metric,
        element: info.element,
        generation: info.generation,
        space_id: info.space_id.as_deref(),
        ready: host.warmth.is_ready(),
        examples: host.examples.len(),
    }
}

/// Bundled queries to try, where the index has any
#[utoipa::path(
    get,
    path = "/v1/indexes/{name}/examples",
    operation_id = "list_examples",
    params(("name" = String, Path, description = "Name of the index"), ExampleRange),
    responses(
        (status = 200, description = "Some of the examples", body = ExampleList),
        (status = 404, description = "INDEX_NOT_FOUND", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_ARGUMENT", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn examples(
    State(app): State<Arc<App>>,
    name: Name,
    range: Result<Query<ExampleRange>, QueryRejection>,
) -> Result<Response, ApiError> {
    let host = host(&app, &name)?;
    let Query(range) = range.map_err(|error| Fault::new("?", error.body_text()))?;
    if !(1..=MAX_EXAMPLES).contains(&range.count) {
        let reason = format!("count is {}; it must be 1 to {MAX_EXAMPLES}", range.count);
        return Err(Fault::new("?count", reason).into());
    }
    let examples = host.examples.iter().skip(range.from).take(range.count);
    let examples = examples.map(|example| ExampleQuery {
        label: &example.label,
        lines: &example.lines,
        vector_b64: STANDARD.encode(
            example.vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>(),
        ),
    });
    let (total, from) = (host.examples.len(), range.from);
    Ok(Json(ExampleList { total, from, examples: examples.collect() }).into_response())
}

/// Whether the server takes new work.
pub(super) fn is_stopping(app: &App) -> bool {
    app.stopping.load(Ordering::Acquire)
}
