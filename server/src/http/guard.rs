//! Who may ask. A page of another site, open in the same browser, can send requests here, and a name of its own can be
//! made to point here; neither may read the brokers or write to them.
//!
//! 1. The Host is an address, `localhost`, or the name that the server was told to advertise.
//! 2. Where a browser says which page asks (Origin), it is a page from this server.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::serve::Server;

pub struct Guard {
    /// Where clients find the brokers, and people the page.
    name: String,
}

impl Guard {
    pub fn of(server: &Server) -> Guard {
        Guard { name: server.hosts.first().map(|host| host.registration.host.clone()).unwrap_or_default() }
    }

    fn refuses(&self, headers: &HeaderMap) -> Option<&'static str> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let Some(host) = text(header::HOST) else { return Some("no Host") };
        let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_own = name.eq_ignore_ascii_case("localhost") || name.eq_ignore_ascii_case(&self.name);
        if address.is_err() && !is_own {
            return Some("this Host is not served");
        }
        match text(header::ORIGIN) {
            Some(origin) if !origin.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host)) => {
                Some("only the page of this server may ask")
            }
            _ => None,
        }
    }
}

pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.refuses(request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_page_may_ask() {
        let guard = Guard { name: "kafka.example".into() };
        let refused = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            guard.refuses(&headers).is_some()
        };
        assert!(!refused("127.0.0.1:8080", None));
        assert!(!refused("localhost:8080", Some("http://localhost:8080")));
        assert!(!refused("[::1]:8080", Some("http://[::1]:8080")));
        assert!(!refused("kafka.example", None));
        assert!(!refused("LOCALHOST:8080", Some("http://localhost:8080")));
        assert!(refused("127.0.0.1:8080", Some("http://evil.example")));
        assert!(refused("127.0.0.1:8080", Some("null")));
        assert!(refused("127.0.0.1:8080", Some("http://127.0.0.1:9999")));
        assert!(refused("rebound.example:8080", Some("http://rebound.example:8080")));
    }
}
