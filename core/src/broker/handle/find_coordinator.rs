//! FindCoordinator: which broker leads the partition in which a group, or a transactional id, is kept.
//!
//! The topic is created when it is first needed; meanwhile, and while nobody leads, it is COORDINATOR_NOT_AVAILABLE. From
//! version 4 several keys are asked for at once, from 6 on those of share-partitions: `group:topic id:partition`.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId as WireBroker, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::share::Key;
use crate::coordinator::topic::Internal;
use crate::error::{self, ErrorCode};
use crate::protocol::cluster::Registration;

/// The first version that knows of share-partitions.
const FIRST_WITH_SHARES: i16 = 6;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: FindCoordinatorRequest, out: &mut Vec<Effect>) {
    let kind = match body.key_type {
        0 => Ok(Internal::Groups),
        1 => Ok(Internal::Transactions),
        2 if asked.version >= FIRST_WITH_SHARES => Ok(Internal::ShareStates),
        _ => Err(ErrorCode::InvalidRequest),
    };
    if let Ok(kind) = kind
        && !broker.cluster.topics.contains_key(&kind.name())
    {
        broker.create_internal(asked.now, kind, out);
    }
    let find = |key: &StrBytes| match kind? {
        Internal::ShareStates if !Key::is_one(key) => Err(ErrorCode::InvalidRequest),
        kind => find(broker, kind, key),
    };
    let response = if asked.version >= 4 {
        let coordinators = body.coordinator_keys.iter().map(|key| {
            let coordinator = Coordinator::default().with_key(key.clone());
            match find(key) {
                Ok(leader) => coordinator
                    .with_node_id(WireBroker(leader.id.0))
                    .with_host(StrBytes::from_string(leader.host.clone()))
                    .with_port(i32::from(leader.port)),
                Err(error) => {
                    // Kafka gives no reason where clients only have to come again, nor of a share-partition's key that is none.
                    let told = Some(error).filter(|error| *error == ErrorCode::InvalidRequest && kind.is_err());
                    let message = told.map(error::message).unwrap_or_default().into_owned();
                    coordinator
                        .with_node_id(WireBroker(-1))
                        .with_port(-1)
                        .with_error_code(error.code())
                        .with_error_message(Some(StrBytes::from_string(message)))
                }
            }
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    } else {
        match find(&body.key) {
            Ok(leader) => FindCoordinatorResponse::default()
                // Kafka's message of no error.
                .with_error_message(Some(StrBytes::from_static_str("NONE")))
                .with_node_id(WireBroker(leader.id.0))
                .with_host(StrBytes::from_string(leader.host.clone()))
                .with_port(i32::from(leader.port)),
            Err(error) => FindCoordinatorResponse::default()
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(error::message(error).into_owned())))
                .with_node_id(WireBroker(-1))
                .with_port(-1),
        }
    };
    asked.reply(response, out);
}

fn find<'a>(broker: &'a Broker, kind: Internal, key: &str) -> Result<&'a Registration, ErrorCode> {
    let partition = broker.coordinator_partition(kind, key);
    let leader = partition.and_then(|partition| broker.leader_of(&kind.name(), partition).1);
    leader.ok_or(ErrorCode::CoordinatorNotAvailable)
}
