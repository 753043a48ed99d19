//! `POST /api/actions`: lines as they stand in a scenario, done on this server.
//!
//! | status | a JSON object for each | |
//! | --- | --- | --- |
//! | 200 | line | `{"line":1,"action":"kill broker-2","done":"…"}`: all were done |
//! | 409 | line | the same, but for those with `"error"` instead of `"done"`: they were not done, the others were |
//! | 400 | wrong line | `{"line":2,"column":6,"error":"…"}`: nothing was done |
//!
//! The text's type must be one that this says it is: a page of another site can send others without being asked.

use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ottla_core::sim::scenario::ParseError;
use serde::Serialize;

use super::patience::Asker;
use crate::fault;
use crate::serve::Server;

/// What `curl -d` says, and what a page or `ottla do` says.
const TYPES: [&str; 2] = ["text/plain", "application/x-www-form-urlencoded"];

#[derive(Serialize)]
struct Outcome {
    line: usize,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Wrong {
    line: usize,
    column: usize,
    error: String,
}

pub async fn act(
    State(server): State<Arc<Server>>,
    ConnectInfo(asker): ConnectInfo<Asker>,
    headers: HeaderMap,
    text: String,
) -> Response {
    // A broker that stops may take its time.
    asker.waits();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        let why = format!("send the lines as Content-Type: {}", TYPES[0]);
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response();
    }
    let lines = match fault::read(&server, &text) {
        Ok(lines) => lines,
        Err(errors) => {
            let wrong = |ParseError { line, column, message }| Wrong { line, column, error: message };
            return answer(StatusCode::BAD_REQUEST, errors.into_iter().map(wrong));
        }
    };
    // What has begun is done to its end, also where nobody waits for it any more.
    let Ok(outcomes) = tokio::spawn(async move { fault::act(&server, lines).await }).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let all = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    let status = if all { StatusCode::OK } else { StatusCode::CONFLICT };
    let outcomes = outcomes.into_iter().map(|(line, outcome)| {
        let (done, error) = match outcome {
            Ok(done) => (Some(done), None),
            Err(error) => (None, Some(error)),
        };
        Outcome { line: line.number, action: line.action.to_string(), done, error }
    });
    answer(status, outcomes)
}

fn answer(status: StatusCode, lines: impl Iterator<Item = impl Serialize>) -> Response {
    let lines = lines.map(|line| serde_json::to_string(&line).expect("strings and numbers only") + "\n");
    (status, [(header::CONTENT_TYPE, "application/x-ndjson")], lines.collect::<String>()).into_response()
}
