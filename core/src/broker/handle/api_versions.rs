//! ApiVersions: what this broker serves.
//!
//! A client does not know our versions when it asks, so a version that we lack is answered all the same: as version 0,
//! UNSUPPORTED_VERSION, with the range of ApiVersions itself (KIP-511). From version 3 the client names its software,
//! and a name that is not a plain word is an INVALID_REQUEST.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::protocol::version::{self, SERVED, Served};

pub(super) fn handle(_broker: &mut Broker, mut asked: Asked, body: ApiVersionsRequest, out: &mut Vec<Effect>) {
    let known = version::of(ApiKey::ApiVersions).expect("ApiVersions is served");
    let response = if asked.version < known.min || known.max < asked.version {
        asked.version = 0;
        ApiVersionsResponse::default()
            .with_error_code(ErrorCode::UnsupportedVersion.code())
            .with_api_keys(vec![entry(known)])
    } else if asked.version >= 3 && !(is_word(&body.client_software_name) && is_word(&body.client_software_version)) {
        ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code())
    } else {
        // No features: what Kafka lists there (metadata.version, group.version, …) are levels of protocols between its
        // own brokers, and a client takes an absent one as 0.
        ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(entry).collect())
    };
    asked.reply(response, out);
}

fn entry(served: &Served) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(served.api as i16)
        .with_min_version(version::advertised_min(served))
        .with_max_version(served.max)
}

/// Kafka's `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
