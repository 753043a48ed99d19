//! What the transaction coordinator can be set to, and those who write as part of transactions.

use super::broker::Reader;
use super::setting::Value;
use crate::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct TransactionSettings {
    /// The level of `transaction.version` that the cluster has: 1 has flexible records, 2 an epoch for each transaction.
    pub version: i8,
    pub max_timeout_ms: i32,
    /// How often transactions are looked for that are open for too long.
    pub abort_timed_out_interval: Duration,
    /// How long an id is kept that is not used.
    pub id_expiration_ms: i64,
    /// How often ids are looked for that are not used.
    pub remove_expired_interval: Duration,
    /// A producer's transaction is verified with its coordinator before its first batch is appended to a partition.
    pub verification_enable: bool,
    /// A partition that cannot be added to a transaction because the one before it has not ended is added again after so
    /// long, and for no longer than that.
    pub add_partitions_retry_backoff: Duration,
    pub add_partitions_retry_backoff_max: Duration,
}

impl TransactionSettings {
    pub(super) fn read(reader: &Reader<'_>) -> TransactionSettings {
        TransactionSettings {
            version: match reader.value("ottla.transaction.version") {
                Value::Integer(level) => level as i8,
                _ => 0,
            },
            max_timeout_ms: reader.integer("transaction.max.timeout.ms") as i32,
            abort_timed_out_interval: reader.millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            id_expiration_ms: reader.integer("transactional.id.expiration.ms"),
            remove_expired_interval: reader.millis("transaction.remove.expired.transaction.cleanup.interval.ms"),
            verification_enable: reader.boolean("transaction.partition.verification.enable"),
            add_partitions_retry_backoff: reader.millis("add.partitions.to.txn.retry.backoff.ms"),
            add_partitions_retry_backoff_max: reader.millis("add.partitions.to.txn.retry.backoff.max.ms"),
        }
    }
}
