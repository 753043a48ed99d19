//! ListTransactions: the transactional ids that this broker coordinates. Version 1 asks for transactions that are open for
//! long, 2 for ids that look like a pattern (KIP-1152).

use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::transaction::describe::Filter;
use crate::error::ErrorCode;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ListTransactionsRequest, out: &mut Vec<Effect>) {
    let refused = |error: ErrorCode| ListTransactionsResponse::default().with_error_code(error.code());
    if broker.transactions.is_loading() {
        return asked.reply(refused(ErrorCode::CoordinatorLoadInProgress), out);
    }
    let now = asked.now.wall;
    let response = match Filter::new(&body, now) {
        Ok(filter) => {
            let shards = broker.transactions.active();
            let states = shards.flat_map(|(_, shard)| shard.committed().list(&filter)).collect();
            ListTransactionsResponse::default()
                .with_unknown_state_filters(filter.unknown_states)
                .with_transaction_states(states)
        }
        Err(error) => refused(error),
    };
    asked.reply(response, out);
}
