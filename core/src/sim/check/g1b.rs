//! **G1b**, intermediate read: who reads what is committed gets no record of a transaction that goes on, and may write more.
//!
//! As in G1a both sides are asked, the log and the application. **G1c** without write-write edges, a circle of transactions
//! each of which has read what the next one wrote, is not looked for by itself: one of them has read what was not committed
//! then, which is told here.

use std::sync::Arc;

use super::ledger::Ledger;
use super::writers::{Transaction, Writer};
use super::{Received, Verdict};
use crate::client::TransactionStage;

pub(super) fn by_log(ledger: &Ledger, received: &Received<'_>, consumer: &Arc<str>) -> Verdict {
    let Received { topic, partition, offset } = received;
    if !ledger.transactions.is_open(*offset) {
        return Ok(());
    }
    let found = format!("{consumer} got offset {offset} of {}-{partition}, of a transaction that is open", topic.0);
    Err(("G1b", found, None))
}

pub(super) fn by_application(
    received: &Received<'_>,
    consumer: &Arc<str>,
    (producer, writer, number): (&Arc<str>, &Writer, u64),
) -> Verdict {
    let Some(Transaction { stage: TransactionStage::Initialized | TransactionStage::Begun, .. }) =
        writer.transaction_of(number)
    else {
        return Ok(());
    };
    let Received { topic, partition, offset } = received;
    let found = format!(
        "{consumer} got record {number} of {producer} at {}-{partition} offset {offset}, of a transaction that \
         {producer} has not committed",
        topic.0
    );
    Err(("G1b", found, None))
}
