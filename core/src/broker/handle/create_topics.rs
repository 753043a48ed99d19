//! CreateTopics.

use kafka_protocol::messages::CreateTopicsRequest;

use super::{Asked, unsupported};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: CreateTopicsRequest, out: &mut Vec<Effect>) {
    unsupported::handle(broker, asked, body.into(), out);
}
