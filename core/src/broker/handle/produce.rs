//! Produce.

use kafka_protocol::messages::ProduceRequest;

use super::{Asked, unsupported};
use crate::broker::{Broker, Effect};
use crate::record::Checked;
use crate::record::check::Invalid;

pub(super) fn handle(
    broker: &mut Broker,
    asked: Asked,
    body: ProduceRequest,
    _batches: Vec<Result<Checked, Invalid>>,
    out: &mut Vec<Effect>,
) {
    unsupported::handle(broker, asked, body.into(), out);
}
