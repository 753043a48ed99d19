//! Metadata.

use kafka_protocol::messages::MetadataRequest;

use super::{Asked, unsupported};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: MetadataRequest, out: &mut Vec<Effect>) {
    unsupported::handle(broker, asked, body.into(), out);
}
