//! The page, the live view, actions and metrics.
//!
//! `page.rs` static files | `live.rs` the WebSocket that sends views | `actions.rs` lines of a scenario, done here |
//! `guard.rs` who may ask | `patience.rs` for how long they may take to ask

mod actions;
mod guard;
mod live;
mod page;
mod patience;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use ottla_core::sim::scenario::parse::MAX_TEXT;
use ottla_core::view::Target;
use ottla_core::zookeeper::path::wrong;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::live::detail;
use crate::serve::Server;
use patience::{Asker, PATIENCE, Patient};

pub async fn serve(listener: TcpListener, server: Arc<Server>, page: Option<PathBuf>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/live", get(live::upgrade))
        .route("/api/detail", get(show))
        .route("/api/actions", post(actions::act).layer(DefaultBodyLimit::max(MAX_TEXT)))
        .route("/api/zk", get(znode))
        .with_state(server.clone())
        .merge(page::router(page))
        // By this the page knows that there is a server to watch; a static host has none.
        .layer(middleware::map_response(async |mut response: Response| {
            response.headers_mut().insert("ottla-server", HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
            response
        }))
        .layer(middleware::from_fn_with_state(Arc::new(guard::Guard::of(&server)), guard::check))
        .layer(middleware::from_fn(patience::heard));
    let listener = Patient { listener, patience: PATIENCE };
    if let Err(error) = axum::serve(listener, router.into_make_service_with_connect_info::<Asker>()).await {
        tracing::error!(%error, "the page is gone");
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> impl IntoResponse {
    server.measure().await;
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], server.metrics.text())
}

#[derive(Deserialize)]
struct Asked {
    /// A [`Target`] as JSON.
    target: String,
}

#[derive(Deserialize)]
struct Path {
    path: String,
}

/// A znode as JSON.
async fn znode(State(server): State<Arc<Server>>, Query(Path { path }): Query<Path>) -> Response {
    if let Some(why) = wrong(&path) {
        return (StatusCode::BAD_REQUEST, why).into_response();
    }
    match detail::znode(&server, path.clone()).await {
        Some(znode) => Json(znode).into_response(),
        None => (StatusCode::NOT_FOUND, format!("Node does not exist: {path}")).into_response(),
    }
}

/// The detail of a target as JSON; `null` where there is none (any more).
async fn show(State(server): State<Arc<Server>>, Query(asked): Query<Asked>) -> Response {
    match serde_json::from_str::<Target>(&asked.target) {
        Ok(target) => Json(detail::of(&server, &target).await).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("target: {error}")).into_response(),
    }
}
