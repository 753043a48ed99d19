//! ApiVersions.

use kafka_protocol::messages::ApiVersionsRequest;

use super::{Asked, unsupported};
use crate::broker::{Broker, Effect};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ApiVersionsRequest, out: &mut Vec<Effect>) {
    unsupported::handle(broker, asked, body.into(), out);
}
