//! The admin port: is it alive, is it ready, its metrics. It answers no searches and shows no data.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::error::ApiError;
use super::routes::is_stopping;
use super::state::App;
use super::wire::{IndexReadiness, Readiness};

/// Everything on the admin port.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(|| std::future::ready("alive\n")))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| std::future::ready(ApiError::RouteNotFound))
        .method_not_allowed_fallback(|| std::future::ready(ApiError::MethodNotAllowed))
        .with_state(app)
}

/// 200 when every index is warm; 503 with the progress before, and when the server is stopping.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let indexes: Vec<_> = app
        .hosts
        .values()
        .map(|host| {
            let (bytes_done, bytes_total) = host.warmth.progress();
            let ready = host.warmth.is_ready();
            IndexReadiness { name: &host.name, ready, bytes_done, bytes_total }
        })
        .collect();
    let (code, status) = match (is_stopping(&app), indexes.iter().all(|index| index.ready)) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "warming"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    (code, Json(Readiness { status, indexes })).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let inflight = app.max_concurrent - app.permits.available_permits();
    app.metrics.inflight.set(i64::try_from(inflight).unwrap_or(i64::MAX));
    let text = app.metrics.encode().map_err(|_| ApiError::Internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
