use kafka_protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};

use super::Asked;
use crate::broker::{Broker, Effect};

pub(super) fn handle(_broker: &mut Broker, asked: Asked, _body: ShareAcknowledgeRequest, out: &mut Vec<Effect>) {
    asked.reply(ShareAcknowledgeResponse::default(), out);
}
