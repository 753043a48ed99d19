//! The page's files: from this program, or from a directory (`--page`).

use std::path::PathBuf;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

struct File {
    /// Relative to the page.
    path: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
}

/// What was in `dist/` when this program was built.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

const HINT: &str = "<!doctype html><meta charset=utf-8><title>Ottla</title>\
    <p>The brokers run, but this program was built without its page.\
    <p><code>make run</code> builds both; <code>ottla serve --page DIR</code> takes a page that was built apart.";

pub fn router(directory: Option<PathBuf>) -> Router {
    match directory {
        Some(directory) => Router::new()
            .fallback_service(ServeDir::new(directory).precompressed_br().precompressed_gzip())
            .layer(CompressionLayer::new()),
        None => Router::new().fallback(get(built_in)),
    }
}

async fn built_in(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return if FILES.is_empty() && path == "index.html" {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], HINT).into_response()
        } else {
            (StatusCode::NOT_FOUND, "not found").into_response()
        };
    };
    // Trunk puts a hash of the contents into every name but those that a person types.
    let lasting = path.rsplit_once('-').is_some_and(|(_, hash)| hash.len() > 16);
    let cache = if lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let plain =
        [(header::CONTENT_TYPE, content_type(path)), (header::CACHE_CONTROL, cache), (header::VARY, "accept-encoding")];
    match file.brotli {
        Some(brotli) if accepted.split(',').any(|coding| coding.trim().split(';').next() == Some("br")) => {
            (plain, [(header::CONTENT_ENCODING, "br")], brotli).into_response()
        }
        _ => (plain, file.plain).into_response(),
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}
