//! Every way a request can fail, and what the client is told: RFC 9457 problem documents.
//!
//! Handlers return [`ApiError`]. It travels as an extension of an empty response to
//! [`finish`], which knows the request's path and id and writes the document.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Corruption;

/// A request that cannot be answered.
#[derive(Clone, Debug)]
pub(super) enum ApiError {
    /// The body is not JSON.
    InvalidJson { reason: String },
    /// The body is JSON and asks for something that cannot be.
    InvalidArgument { faults: Vec<Fault> },
    /// A query by item, and the index does not hold the item.
    ItemNotFound { fault: Fault },
    /// The vectors are of another space than the index.
    SpaceMismatch { fault: Fault },
    /// The call must say of what space its vectors are.
    SpaceRequired { fault: Fault },
    /// No index of that name is served.
    IndexNotFound { name: String },
    /// Nothing is at that path.
    RouteNotFound,
    /// Something is at that path, for another method.
    MethodNotAllowed,
    /// The body is declared as something else than JSON.
    UnsupportedMediaType { found: String },
    /// The body exceeds the limit.
    BodyTooLarge { limit_bytes: usize },
    /// The body did not arrive in time.
    BodyTimeout { limit_s: u64 },
    /// The connection broke while the body was read.
    BodyBroken,
    /// The answer would exceed the limit.
    ReplyTooLarge { limit_bytes: usize },
    /// As many requests as allowed are being answered.
    Overloaded { limit: usize },
    /// The caller's time ran out before the search began.
    DeadlineExceeded { timeout_ms: u64 },
    /// The index is damaged.
    IndexCorrupt(Corruption),
    /// A bug; the log has the details.
    Internal,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Fault {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a parameter of the query string.
    #[schema(example = "/queries/0/vector/3")]
    pub(super) pointer: String,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(pointer: impl Into<String>, reason: impl Into<String>) -> Fault {
        Fault { pointer: pointer.into(), reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.reason),
            pointer => write!(f, "{pointer}: {}", self.reason),
        }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> ApiError {
        ApiError::InvalidArgument { faults: vec![fault] }
    }
}

/// An error reply (`application/problem+json`, RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Problem<'a> {
    /// Names the kind of problem; the same for the same `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:vicinage:problem:INVALID_ARGUMENT")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: String,
    /// The path of the request.
    instance: &'a str,
    /// Stable; meant for programs.
    #[schema(example = "INVALID_ARGUMENT")]
    code: &'a str,
    /// The client's `x-request-id`, or one made here; also in the log and in the reply's header.
    request_id: &'a str,
    /// What is wrong with the request, piece by piece.
    errors: &'a [Fault],
}

impl ApiError {
    /// Status, code and title of every error: the one place that decides them.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            ApiError::InvalidJson { .. } => {
                (S::BAD_REQUEST, "INVALID_JSON", "The body is not valid JSON")
            }
            ApiError::InvalidArgument { .. } => (
                S::UNPROCESSABLE_ENTITY,
                "INVALID_ARGUMENT",
                "The request asks for something that cannot be",
            ),
            ApiError::ItemNotFound { .. } => {
                (S::UNPROCESSABLE_ENTITY, "ITEM_NOT_FOUND", "The index does not hold this item")
            }
            ApiError::SpaceMismatch { .. } => (
                S::UNPROCESSABLE_ENTITY,
                "SPACE_MISMATCH",
                "The vectors are of another embedding space than the index",
            ),
            ApiError::SpaceRequired { .. } => (
                S::UNPROCESSABLE_ENTITY,
                "SPACE_REQUIRED",
                "The call must name the embedding space of its vectors",
            ),
            ApiError::IndexNotFound { .. } => {
                (S::NOT_FOUND, "INDEX_NOT_FOUND", "No index has this name")
            }
            ApiError::RouteNotFound => (S::NOT_FOUND, "ROUTE_NOT_FOUND", "Nothing is here"),
            ApiError::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path has another method")
            }
            ApiError::UnsupportedMediaType { .. } => {
                (S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "The body must be JSON")
            }
            ApiError::BodyTooLarge { .. } => {
                (S::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "The body is too large")
            }
            ApiError::BodyTimeout { .. } => {
                (S::REQUEST_TIMEOUT, "BODY_TIMEOUT", "The body took too long to arrive")
            }
            ApiError::BodyBroken => (S::BAD_REQUEST, "BODY_BROKEN", "The body could not be read"),
            ApiError::ReplyTooLarge { .. } => {
                (S::UNPROCESSABLE_ENTITY, "REPLY_TOO_LARGE", "The answer would be too large")
            }
            ApiError::Overloaded { .. } => {
                (S::SERVICE_UNAVAILABLE, "OVERLOADED", "The server is at its limit")
            }
            ApiError::DeadlineExceeded { .. } => {
                (S::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", "The time for this request ran out")
            }
            ApiError::IndexCorrupt(_) => {
                (S::INTERNAL_SERVER_ERROR, "INDEX_CORRUPT", "The index is damaged")
            }
            ApiError::Internal => {
                (S::INTERNAL_SERVER_ERROR, "INTERNAL", "The server made a mistake")
            }
        }
    }

    /// The HTTP status of this error.
    pub(super) fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// What was wrong and what to do about it, for a person.
    fn detail(&self) -> String {
        match self {
            ApiError::InvalidJson { reason } => reason.clone(),
            ApiError::InvalidArgument { faults } => match faults.as_slice() {
                [only] => only.to_string(),
                several => format!("{} faults; see errors", several.len()),
            },
            ApiError::ItemNotFound { fault }
            | ApiError::SpaceMismatch { fault }
            | ApiError::SpaceRequired { fault } => fault.to_string(),
            ApiError::IndexNotFound { name } => {
                format!("there is no index {name:?}; GET /v1/indexes lists those served")
            }
            ApiError::RouteNotFound => "GET /openapi.json lists what is served".to_owned(),
            ApiError::MethodNotAllowed => "the allow header lists the methods".to_owned(),
            ApiError::UnsupportedMediaType { found } => {
                format!("content-type is {found:?}; send application/json")
            }
            ApiError::BodyTooLarge { limit_bytes } => {
                format!("the limit is {limit_bytes} bytes; send fewer queries a call, or base64")
            }
            ApiError::BodyTimeout { limit_s } => {
                format!("the whole body must arrive within {limit_s} s")
            }
            ApiError::BodyBroken => "the body ended early or was malformed".to_owned(),
            ApiError::ReplyTooLarge { limit_bytes } => {
                format!(
                    "the limit is {limit_bytes} bytes; ask for fewer queries, items or attributes"
                )
            }
            ApiError::Overloaded { limit } => {
                format!("{limit} requests are being answered; try again after a moment")
            }
            ApiError::DeadlineExceeded { timeout_ms } => {
                format!("{timeout_ms} ms passed before a search thread was free")
            }
            // Not the path: clients need not know where files are. The log has it.
            ApiError::IndexCorrupt(corruption) => format!(
                "{} at byte {}: expected {}, found {}; run index-tools verify",
                corruption.section, corruption.offset, corruption.expected, corruption.found
            ),
            ApiError::Internal => "the log has the details under this request_id".to_owned(),
        }
    }

    fn faults(&self) -> &[Fault] {
        match self {
            ApiError::InvalidArgument { faults } => faults,
            ApiError::ItemNotFound { fault }
            | ApiError::SpaceMismatch { fault }
            | ApiError::SpaceRequired { fault } => std::slice::from_ref(fault),
            ApiError::InvalidJson { .. }
            | ApiError::IndexNotFound { .. }
            | ApiError::RouteNotFound
            | ApiError::MethodNotAllowed
            | ApiError::UnsupportedMediaType { .. }
            | ApiError::BodyTooLarge { .. }
            | ApiError::BodyTimeout { .. }
            | ApiError::BodyBroken
            | ApiError::ReplyTooLarge { .. }
            | ApiError::Overloaded { .. }
            | ApiError::DeadlineExceeded { .. }
            | ApiError::IndexCorrupt(_)
            | ApiError::Internal => &[],
        }
    }

    fn into_problem(self, instance: &str, request_id: &str) -> Response<Body> {
        let (status, code, title) = self.kind();
        let problem = Problem {
            kind: format!("urn:vicinage:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            instance,
            code,
            request_id,
            errors: self.faults(),
        };
        match &self {
            ApiError::IndexCorrupt(corruption) => tracing::error!(request_id, %corruption),
            ApiError::Internal => tracing::error!(request_id, instance, "internal error"),
            _ => tracing::debug!(request_id, instance, code, detail = problem.detail),
        }
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-request-id", id);
        }
        if matches!(self, ApiError::Overloaded { .. }) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What of a request its error reply needs.
pub(super) struct RequestNote {
    uri: Uri,
    id: Option<HeaderValue>,
}

impl RequestNote {
    pub(super) fn of<B>(request: &Request<B>) -> RequestNote {
        RequestNote {
            uri: request.uri().clone(),
            id: request.headers().get("x-request-id").cloned(),
        }
    }
}

/// Turns an [`ApiError`] on its way out into a problem document; leaves other replies alone.
/// `new_id` makes a request id where the client sent none that is fit to repeat.
pub(super) fn finish(
    mut response: Response<Body>,
    note: RequestNote,
    new_id: impl FnOnce() -> String,
) -> Response<Body> {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let given = note.id.as_ref().and_then(|id| id.to_str().ok());
    let request_id = match given {
        Some(id) if (1..=128).contains(&id.len()) => id.to_owned(),
        _ => new_id(),
    };
    let mut problem = error.into_problem(note.uri.path(), &request_id);
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}
