//! AddOffsetsToTxn: the partition where a group's offsets are kept becomes part of a transaction; decided by the
//! transactional id's coordinator ([`crate::coordinator::transaction::partitions`]). From `transaction.version` 2 on no
//! producer asks for it: TxnOffsetCommit adds it.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Producer;
use crate::coordinator::topic::Internal;
use crate::coordinator::transaction::Ask;
use crate::coordinator::transaction::partitions::{Add, Form};
use crate::error::ErrorCode;
use crate::id::TopicPartition;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: AddOffsetsToTxnRequest, out: &mut Vec<Effect>) {
    let Some(partition) = broker.coordinator_partition(Internal::Groups, &body.group_id) else {
        let error = ErrorCode::CoordinatorNotAvailable.code();
        return asked.reply(AddOffsetsToTxnResponse::default().with_error_code(error), out);
    };
    let id = body.transactional_id.0;
    let add = Add {
        waiter: asked.into(),
        id: id.as_str().into(),
        producer: Producer { id: body.producer_id.0, epoch: body.producer_epoch },
        partitions: [TopicPartition::new(Internal::Groups.name(), partition)].into(),
        client_version: 0,
        verify_only: false,
        form: Form::Offsets,
    };
    broker.ask_transaction(&id, Ask::Add(add), out);
}
