//! UpdateFeatures (KIP-584, KIP-1022), as Kafka's controller decides it: one update that cannot be made fails them all.
//!
//! The features are `transaction.version`, at the level that the brokers' settings say, and `share.version`, at its last. To
//! ask for that level succeeds; another is refused, with Kafka's reason where Kafka would refuse it, too.

use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use super::api_versions::{MAX_SHARE_VERSION, MAX_TRANSACTION_VERSION, SHARE_VERSION, TRANSACTION_VERSION};
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::vec_map::VecMap;

/// Kafka's `FeatureUpdate.UpgradeType`. Version 0 has another field for it, which Kafka does not look at.
const UPGRADE: i8 = 1;
const UNSAFE_DOWNGRADE: i8 = 3;
/// The last version that answers for each feature.
const LAST_WITH_RESULTS: i16 = 1;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: UpdateFeaturesRequest, out: &mut Vec<Effect>) {
    let (controller, level) = (broker.cluster.controller, i16::from(broker.settings.transactions.version));
    // Of two updates of one feature Kafka takes the later one.
    let updates: VecMap<&str, (i16, i8)> = body
        .feature_updates
        .iter()
        .map(|update| (update.feature.as_str(), (update.max_version_level, update.upgrade_type)))
        .collect();
    let refused = updates.iter().find_map(|(feature, &(to, upgrade_type))| {
        let why = refusal(controller, level, feature, to, upgrade_type)?;
        Some(format!("Invalid update version {to} for feature {feature}. {why}"))
    });
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    let response = match refused {
        Some(why) => response.with_error_code(ErrorCode::InvalidUpdateVersion.code()).with_error_message(Some(
            StrBytes::from_string(format!(
                "The update failed for all features since the following feature had an error: {why}"
            )),
        )),
        None if asked.version > LAST_WITH_RESULTS => response,
        None => {
            let done = body.feature_updates.into_iter().map(|update| {
                UpdatableFeatureResult::default()
                    .with_feature(update.feature)
                    .with_error_message(Some(StrBytes::from_static_str("NONE")))
            });
            response.with_results(done.collect())
        }
    };
    asked.reply(response, out);
}

/// In the words of Kafka's `FeatureControlManager`, but for the last.
fn refusal(controller: BrokerId, level: i16, feature: &str, to: i16, upgrade_type: i8) -> Option<String> {
    let known = match feature {
        TRANSACTION_VERSION => {
            let why = "The setting ottla.transaction.version says it, when a broker starts.";
            Some((MAX_TRANSACTION_VERSION, level, why))
        }
        SHARE_VERSION => Some((MAX_SHARE_VERSION, MAX_SHARE_VERSION, "Share groups are always there.")),
        _ => None,
    };
    let (max, level, otherwise) = known.unwrap_or_default();
    let why = if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&upgrade_type) {
        "The controller does not support the given upgrade type.".to_owned()
    } else if to < 0 {
        "A feature version cannot be less than 0.".to_owned()
    } else if known.is_none() && to == 0 {
        format!("Feature {feature} not found.")
    } else if known.is_none() {
        format!("Local controller {} does not support this feature.", controller.0)
    } else if to > max {
        format!("Local controller {} only supports versions 0-{max}", controller.0)
    } else if to < level && upgrade_type == UPGRADE {
        "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
            .to_owned()
    } else if to > level && upgrade_type != UPGRADE {
        "Can't downgrade to a newer version.".to_owned()
    } else if to != level {
        otherwise.to_owned()
    } else {
        return None;
    };
    Some(why)
}
