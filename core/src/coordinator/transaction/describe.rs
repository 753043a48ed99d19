//! What is told of transactional ids: DescribeTransactions, ListTransactions.

use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{ListTransactionsRequest, ProducerId, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use regex_lite::{Regex, RegexBuilder};

use super::State;
use super::record::{Stage, Transaction};
use crate::error::ErrorCode;
use crate::time::Timestamp;
use crate::view::TransactionView;

/// A compiled pattern takes so many bytes at most.
const PATTERN_LIMIT: usize = 64 * 1024;

/// Which transactional ids are wanted.
pub struct Filter {
    producers: Vec<i64>,
    /// `None` is all of them.
    stages: Option<Vec<Stage>>,
    /// What it says of states that there are none of.
    pub unknown_states: Vec<StrBytes>,
    /// Their transactions began before.
    before: Option<i64>,
    pattern: Option<Regex>,
}

impl Filter {
    /// Errors: `InvalidRegularExpression`.
    pub fn new(body: &ListTransactionsRequest, now: Timestamp) -> Result<Filter, ErrorCode> {
        let stage = |name: &StrBytes| Stage::ALL.into_iter().find(|stage| stage.name() == &**name);
        // Kafka's states that no listed one is in.
        let known = |name: &StrBytes| stage(name).is_some() || matches!(&**name, "Dead" | "PrepareEpochFence");
        let names = &body.state_filters;
        let pattern = body.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        let compiled =
            pattern.map(|pattern| RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(PATTERN_LIMIT).build());
        Ok(Filter {
            producers: body.producer_id_filters.iter().map(|id| id.0).collect(),
            stages: (!names.is_empty()).then(|| names.iter().filter_map(stage).collect()),
            unknown_states: names.iter().filter(|name| !known(name)).cloned().collect(),
            before: (body.duration_filter >= 0).then(|| now.0.saturating_sub(body.duration_filter)),
            pattern: compiled.transpose().map_err(|_| ErrorCode::InvalidRegularExpression)?,
        })
    }

    fn wants(&self, id: &str, transaction: &Transaction) -> bool {
        (self.producers.is_empty() || self.producers.contains(&transaction.producer_id))
            && self.stages.as_ref().is_none_or(|stages| stages.contains(&transaction.stage))
            && self.before.is_none_or(|before| transaction.start_ms < before)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    }
}

impl State {
    pub fn list(&self, filter: &Filter) -> impl Iterator<Item = Listed> {
        let wanted = self.ids.iter().filter(|(id, transaction)| filter.wants(id, transaction));
        wanted.map(|(id, transaction)| {
            Listed::default()
                .with_transactional_id(TransactionalId(StrBytes::from_string(id.to_string())))
                .with_producer_id(ProducerId(transaction.producer_id))
                .with_transaction_state(StrBytes::from_static_str(transaction.stage.name()))
        })
    }

    /// For the page.
    pub fn views(&self) -> impl Iterator<Item = TransactionView> {
        self.ids.iter().map(|(id, transaction)| TransactionView {
            id: id.to_string(),
            state: transaction.stage.name().to_owned(),
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            coordinator: -1,
            partitions: transaction.partitions.iter().map(|one| (one.topic.0.to_string(), one.partition)).collect(),
            timeout_ms: transaction.timeout_ms,
        })
    }

    pub fn describe(&self, id: &str) -> Option<Described> {
        let transaction = self.ids.get(id)?;
        let mut topics: Vec<TopicData> = Vec::new();
        for one in &transaction.partitions {
            match topics.last_mut().filter(|last| last.topic == one.topic) {
                Some(last) => last.partitions.push(one.partition),
                None => {
                    topics.push(TopicData::default().with_topic(one.topic.clone()).with_partitions(vec![one.partition]))
                }
            }
        }
        let described = Described::default()
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_producer_epoch(transaction.producer_epoch)
            .with_transaction_state(StrBytes::from_static_str(transaction.stage.name()))
            .with_transaction_timeout_ms(transaction.timeout_ms)
            .with_transaction_start_time_ms(transaction.start_ms)
            .with_topics(topics);
        Some(described)
    }
}
