//! ApiVersions: what this broker serves.
//!
//! A client does not know our versions when it asks, so a version that we lack is answered all the same: as version 0,
//! UNSUPPORTED_VERSION, with the range of ApiVersions itself (KIP-511). From version 3 the client names its software,
//! and a name that is not a plain word is an INVALID_REQUEST.
//!
//! Of Kafka's features there are `share.version` and, at the level that the broker's settings say,
//! `transaction.version`; the others are levels of
//! protocols between Kafka's own brokers, and a client takes an absent one as 0. Clients look again when the epoch rises.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::protocol::version::{self, SERVED, Served};

pub(super) const SHARE_VERSION: &str = "share.version";
/// Kafka 4.3's, and the level that there is.
pub(super) const MAX_SHARE_VERSION: i16 = 1;
pub(super) const TRANSACTION_VERSION: &str = "transaction.version";
/// Kafka 4.3's.
pub(super) const MAX_TRANSACTION_VERSION: i16 = 2;
/// From this version on clients can read of a feature that may be at level 0 (KAFKA-17492).
const FIRST_WITH_LEVEL_0: i16 = 4;

pub(super) fn handle(broker: &mut Broker, mut asked: Asked, body: ApiVersionsRequest, out: &mut Vec<Effect>) {
    let known = version::of(ApiKey::ApiVersions).expect("ApiVersions is served");
    let response = if asked.version < known.min || known.max < asked.version {
        asked.version = 0;
        ApiVersionsResponse::default()
            .with_error_code(ErrorCode::UnsupportedVersion.code())
            .with_api_keys(vec![entry(known)])
    } else if asked.version >= 3 && !(is_word(&body.client_software_name) && is_word(&body.client_software_version)) {
        ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code())
    } else {
        let name = StrBytes::from_static_str(TRANSACTION_VERSION);
        let level = i16::from(broker.settings.transactions.version);
        let supported =
            SupportedFeatureKey::default().with_name(name.clone()).with_max_version(MAX_TRANSACTION_VERSION);
        let finalized =
            FinalizedFeatureKey::default().with_name(name).with_min_version_level(level).with_max_version_level(level);
        let share = StrBytes::from_static_str(SHARE_VERSION);
        let can_share = SupportedFeatureKey::default().with_name(share.clone()).with_max_version(MAX_SHARE_VERSION);
        let shares = FinalizedFeatureKey::default()
            .with_name(share)
            .with_min_version_level(MAX_SHARE_VERSION)
            .with_max_version_level(MAX_SHARE_VERSION);
        let supported = if asked.version >= FIRST_WITH_LEVEL_0 { vec![can_share, supported] } else { Vec::new() };
        let finalized = if level > 0 { vec![shares, finalized] } else { vec![shares] };
        ApiVersionsResponse::default()
            .with_api_keys(SERVED.iter().map(entry).collect())
            .with_supported_features(supported)
            .with_finalized_features(finalized)
            .with_finalized_features_epoch(broker.cluster.version as i64)
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
