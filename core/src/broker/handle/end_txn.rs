//! EndTxn: decided by the transactional id's coordinator ([`crate::coordinator::transaction::end`]). From version 5 on the
//! producer knows that its epoch rises.

use kafka_protocol::messages::EndTxnRequest;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Producer;
use crate::coordinator::transaction::end::End;
use crate::coordinator::transaction::{Ask, FIRST_WITH_EPOCH_BUMP};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: EndTxnRequest, out: &mut Vec<Effect>) {
    let id = body.transactional_id.0;
    let end = End {
        client_version: if asked.version >= 5 { FIRST_WITH_EPOCH_BUMP } else { 0 },
        waiter: asked.into(),
        id: id.as_str().into(),
        producer: Producer { id: body.producer_id.0, epoch: body.producer_epoch },
        commit: body.committed,
        fresh: None,
    };
    broker.ask_transaction(&id, Ask::End(end), out);
}
