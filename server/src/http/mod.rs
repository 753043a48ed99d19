//! The page, the live view, actions and metrics.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::serve::Server;

pub async fn serve(listener: TcpListener, server: Arc<Server>, _page: Option<PathBuf>) {
    let router = Router::new().route("/metrics", get(metrics)).with_state(server);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the page is gone");
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> String {
    server.metrics.text()
}
