//! **G1a**, aborted read: who reads what is committed gets no record of a transaction that was aborted.
//!
//! Both sides are asked: the log, whose markers say how a transaction ended, and the application that made it. Where they
//! disagree, a record is in the wrong transaction.

use std::sync::Arc;

use super::ledger::Ledger;
use super::writers::{Transaction, Writer};
use super::{Received, Verdict};
use crate::client::TransactionStage;

pub(super) fn by_log(ledger: &Ledger, received: &Received<'_>, consumer: &Arc<str>) -> Verdict {
    let Received { topic, partition, offset } = received;
    if !ledger.transactions.aborted.contains(*offset) {
        return Ok(());
    }
    let found = format!("{consumer} got offset {offset} of {}-{partition}, of a transaction that was aborted", topic.0);
    Err(("G1a", found, None))
}

pub(super) fn by_application(
    received: &Received<'_>,
    consumer: &Arc<str>,
    (producer, writer, number): (&Arc<str>, &Writer, u64),
) -> Verdict {
    let Some(Transaction { stage: TransactionStage::Aborting | TransactionStage::Aborted, .. }) =
        writer.transaction_of(number)
    else {
        return Ok(());
    };
    let Received { topic, partition, offset } = received;
    let found = format!(
        "{consumer} got record {number} of {producer} at {}-{partition} offset {offset}, of a transaction that \
         {producer} has aborted",
        topic.0
    );
    Err(("G1a", found, None))
}
