//! UpdateFeatures (KIP-584), as Kafka with ZooKeeper answers it: it has no feature that could be finalized.

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

/// Kafka's `UpgradeType.UPGRADE`.
const UPGRADE: i8 = 1;

pub(super) fn handle(_broker: &mut Broker, asked: Asked, body: UpdateFeaturesRequest, out: &mut Vec<Effect>) {
    let results = body.feature_updates.iter().map(|update| {
        UpdatableFeatureResult::default()
            .with_feature(update.feature.clone())
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_error_message(Some(StrBytes::from_string(refusal(asked.version, update))))
    });
    asked.clone().reply(UpdateFeaturesResponse::default().with_results(results.collect()), out);
}

/// In the words of Kafka's `KafkaController`.
fn refusal(version: i16, update: &FeatureUpdateKey) -> String {
    let downgrades = if version == 0 { update.allow_downgrade } else { update.upgrade_type != UPGRADE };
    let level = update.max_version_level;
    if update.feature.is_empty() {
        "Feature name can not be empty.".to_owned()
    } else if level < 1 && downgrades {
        "Can not delete non-existing finalized feature.".to_owned()
    } else if level < 1 {
        format!(
            "Can not provide versionLevel: {level} less than 1 without setting the SAFE downgradeType in the request."
        )
    } else {
        "Could not apply finalized feature update because the provided feature is not supported.".to_owned()
    }
}
