//! `POST /api/actions`: lines as they stand in a scenario, done on this server; one JSON result a line.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ottla_core::sim::scenario::{Action, parse};
use serde::Serialize;

use crate::live::hand;
use crate::serve::Server;

#[derive(Serialize)]
struct Outcome {
    line: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub async fn act(State(server): State<Arc<Server>>, text: String) -> impl IntoResponse {
    let mut outcomes = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let result = match parse::action(line) {
            Ok(Action::Send(record)) => hand::send(&server, record).await,
            Ok(Action::Topic { name, partitions, replication_factor, configs }) => {
                hand::create_topic(&server, name, partitions, replication_factor, configs).await
            }
            Ok(_) => Err("not on a live server yet".into()),
            Err(error) => Err(format!("column {}: {}", error.column, error.message)),
        };
        let (done, error) = match result {
            Ok(done) => (Some(done), None),
            Err(error) => (None, Some(error)),
        };
        outcomes.push(Outcome { line: line.to_owned(), done, error });
    }
    let failed = outcomes.iter().any(|outcome| outcome.error.is_some());
    let status = if failed { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let lines = outcomes.iter().map(|outcome| serde_json::to_string(outcome).expect("strings only") + "\n");
    (status, [(header::CONTENT_TYPE, "application/x-ndjson")], lines.collect::<String>())
}
