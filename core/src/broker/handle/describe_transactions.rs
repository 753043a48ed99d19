//! DescribeTransactions: where the transactions of some transactional ids stand, as their coordinator knows.

use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, TransactionalId};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::transaction::Transactions;
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeTransactionsRequest, out: &mut Vec<Effect>) {
    let states = body.transactional_ids.iter().map(|id| {
        let described = describe(broker, id).unwrap_or_else(|error| {
            // Kafka leaves what it does not know at 0.
            TransactionState::default().with_error_code(error.code())
        });
        described.with_transactional_id(id.clone())
    });
    asked.reply(DescribeTransactionsResponse::default().with_transaction_states(states.collect()), out);
}

fn describe(broker: &mut Broker, id: &TransactionalId) -> Result<TransactionState, ErrorCode> {
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let (_, shard) = broker.coordinator_of::<Transactions>(id)?;
    shard.committed().describe(id).ok_or(ErrorCode::TransactionalIdNotFound)
}
