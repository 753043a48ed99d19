//! ElectLeaders: decided by the controller ([`crate::controller::elect`]); any broker takes it and passes it on.
//!
//! v1: unclean elections, and an error for the answer as a whole. Before that every partition that was named carries it.

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::{Asked, NOT_CONTROLLER};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ElectLeadersRequest, out: &mut Vec<Effect>) {
    let (version, topics) = (asked.version, body.topic_partitions.clone().unwrap_or_default());
    let unreachable = || {
        if version >= 1 {
            return ElectLeadersResponse::default().with_error_code(NOT_CONTROLLER).into();
        }
        let results = topics.into_iter().map(|topic| {
            let partition = |index| PartitionResult::default().with_partition_id(index).with_error_code(NOT_CONTROLLER);
            let partitions = topic.partitions.into_iter().map(partition).collect();
            ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(partitions)
        });
        ElectLeadersResponse::default().with_replica_election_results(results.collect()).into()
    };
    broker.forward(asked, body, unreachable, out);
}
