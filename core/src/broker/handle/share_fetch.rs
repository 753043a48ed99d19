use kafka_protocol::messages::{ShareFetchRequest, ShareFetchResponse};

use super::Asked;
use crate::broker::{Broker, Effect};

pub(super) fn handle(_broker: &mut Broker, asked: Asked, _body: ShareFetchRequest, out: &mut Vec<Effect>) {
    asked.reply(ShareFetchResponse::default(), out);
}
