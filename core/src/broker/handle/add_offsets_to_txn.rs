//! AddOffsetsToTxn: the partition where a group's offsets are kept becomes part of a transaction; decided by the
//! transactional id's coordinator ([`crate::coordinator::transaction::partitions`]). From `transaction.version` 2 on no
//! producer asks for it: TxnOffsetCommit adds it.

use kafka_protocol::messages::AddOffsetsToTxnRequest;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Producer;
use crate::coordinator::topic::{Internal, partition_for};
use crate::coordinator::transaction::Ask;
use crate::coordinator::transaction::partitions::{Add, Form};
use crate::id::TopicPartition;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: AddOffsetsToTxnRequest, out: &mut Vec<Effect>) {
    let offsets = Internal::Groups;
    // The topic need not be there yet: whoever then looks for the group's coordinator has it created.
    let partition = broker.coordinator_partition(offsets, &body.group_id).unwrap_or_else(|| {
        let partitions = offsets.creatable(&broker.settings).num_partitions;
        partition_for(&body.group_id, usize::try_from(partitions).unwrap_or(0))
    });
    let id = body.transactional_id.0;
    let add = Add {
        waiter: asked.into(),
        id: id.as_str().into(),
        producer: Producer { id: body.producer_id.0, epoch: body.producer_epoch },
        partitions: [TopicPartition::new(offsets.name(), partition)].into(),
        client_version: 0,
        verify_only: false,
        form: Form::Offsets,
    };
    broker.ask_transaction(&id, Ask::Add(add), out);
}
