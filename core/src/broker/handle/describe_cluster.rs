//! DescribeCluster: the brokers, the controller, the cluster's id.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId as WireBroker, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Asked, CLUSTER_OPERATIONS};
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

/// KIP-919's endpoint types: brokers, and controllers, which are not told apart here.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeClusterRequest, out: &mut Vec<Effect>) {
    if body.endpoint_type != BROKERS {
        let response = wrong_endpoint(asked.version, body.endpoint_type);
        return asked.reply(response, out);
    }
    let brokers = broker.cluster.brokers.values().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(WireBroker(broker.id.0))
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string))
    });
    let response = DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(broker.cluster.cluster_id.clone()))
        .with_controller_id(WireBroker(broker.cluster.controller.0))
        .with_endpoint_type(BROKERS)
        .with_cluster_authorized_operations(if body.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        })
        .with_brokers(brokers.collect());
    asked.reply(response, out);
}

fn wrong_endpoint(version: i16, endpoint_type: i8) -> DescribeClusterResponse {
    let (error, message) = if endpoint_type == CONTROLLERS {
        let message =
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        (ErrorCode::MismatchedEndpointType, message.to_string())
    } else {
        (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {endpoint_type}"))
    };
    let error = if version == 0 { ErrorCode::InvalidRequest } else { error };
    DescribeClusterResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
