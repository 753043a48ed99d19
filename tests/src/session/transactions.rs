//! Idempotent and transactional producers, how their transactions end, and what is read and told of them.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;
use ottla_core::record::{BatchBuilder, Compression};
use ottla_core::time::Timestamp;

use super::groups::{id as group_id, pause};
use super::{Exchange, Learned, ask, fetch_from, name, produce_to, text, versions};

/// Where they write: two partitions.
const TOPIC: &str = "written";

/// The producers that a script has asked for, each known by when it was: its id and epoch come with the answer.
#[derive(Default)]
struct Producers(usize);

/// One of them.
#[derive(Clone, Copy)]
struct Producer(usize);

impl Producer {
    fn of(self, learned: &Learned) -> (i64, i16) {
        learned.producers.get(self.0).copied().unwrap_or((-1, -1))
    }
}

impl Producers {
    fn asked(&mut self, script: &mut Vec<Exchange>, what: &str, version: i16, body: InitProducerIdRequest) -> Producer {
        ask(script, what, ApiKey::InitProducerId, version, move |_| body.clone());
        self.0 += 1;
        Producer(self.0 - 1)
    }

    /// The producer of a transactional id.
    fn of(&mut self, script: &mut Vec<Exchange>, id: &str) -> Producer {
        self.asked(script, &format!("the producer of {id}"), 5, init(Some(id), 60_000))
    }
}

fn transactional(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

fn init(id: Option<&str>, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(id.map(transactional))
        .with_transaction_timeout_ms(timeout_ms)
}

pub fn exchanges(script: &mut Vec<Exchange>) {
    // What is written is old from the beginning, and must not go while it is read.
    let keep = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("-1")));
    let topic = CreatableTopic::default()
        .with_name(name(TOPIC))
        .with_num_partitions(2)
        .with_replication_factor(1)
        .with_configs(vec![keep]);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    ask(script, "a topic to write", ApiKey::CreateTopics, 7, move |_| create.clone());
    ask(script, "its id", ApiKey::Metadata, 12, |_| {
        let topic = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    });
    let find = |_: &Learned| FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text("tx")]);
    ask(script, "the first to ask for transactions", ApiKey::FindCoordinator, 6, find);
    pause(script);
    pause(script);
    ask(script, "a transactional id's", ApiKey::FindCoordinator, 6, find);
    let mut producers = Producers::default();
    // Kafka takes its first block of ids then, and asks to come again.
    producers.asked(script, "the first to ask for a producer id", 5, init(None, 60_000));
    pause(script);
    identify(script, &mut producers);
    sequences(script, &mut producers);
    add(script, &mut producers);
    write(script, &mut producers);
    read(script, &mut producers);
    commit_offsets(script, &mut producers);
    end(script, &mut producers);
    mark(script, &mut producers);
    tell(script);
}

fn identify(script: &mut Vec<Exchange>, producers: &mut Producers) {
    for version in versions(ApiKey::InitProducerId) {
        let id = format!("i{version}");
        producers.asked(script, "without an id", version, init(None, 60_000));
        producers.asked(script, "an empty id", version, init(Some(""), 60_000));
        producers.asked(script, "no time", version, init(Some(&id), 0));
        producers.asked(script, "too much time", version, init(Some(&id), 900_001));
        let first = producers.asked(script, "a new one", version, init(Some(&id), 60_000));
        producers.asked(script, "the next", version, init(Some(&id), 60_000));
        if version >= 3 {
            for (what, epochs) in [("one that was fenced goes on", 0), ("the last one goes on", 1), ("again", 1)] {
                let goes_on = init(Some(&id), 60_000);
                ask(script, what, ApiKey::InitProducerId, version, move |learned| {
                    let (id, epoch) = first.of(learned);
                    goes_on.clone().with_producer_id(id.into()).with_producer_epoch(epoch + epochs)
                });
                producers.0 += 1;
            }
            let odd = init(Some(&id), 60_000).with_producer_epoch(3);
            producers.asked(script, "an epoch of nobody", version, odd);
        }
    }
}

/// A batch of a producer, of as many records, made at a fixed time.
fn batch((id, epoch): (i64, i16), sequence: i32, count: i32, is_transactional: bool) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_producer(id, epoch, sequence);
    if is_transactional {
        builder.set_transactional();
    }
    for _ in 0..count {
        builder.append(Timestamp(1_700_000_000_000), Some(b"k"), Some(b"v"), &[]);
    }
    Some(builder.build().bytes)
}

fn sequences(script: &mut Vec<Exchange>, producers: &mut Producers) {
    for version in versions(ApiKey::Produce) {
        let own = producers.asked(script, "an idempotent producer", 5, init(None, 60_000));
        for (what, epochs, sequence, count) in [
            ("its first records", 0, 0, 2),
            ("the next", 0, 2, 3),
            ("the first again", 0, 0, 2),
            ("a gap", 0, 7, 1),
            ("half of what was there", 0, 3, 1),
            ("another epoch, in the middle", 1, 5, 1),
            ("another epoch, from the beginning", 1, 0, 1),
            ("the epoch before", 0, 5, 1),
        ] {
            ask(script, what, ApiKey::Produce, version, move |learned| {
                let (id, epoch) = own.of(learned);
                let records = batch((id, epoch + epochs), sequence, count, false);
                produce_to(version, learned, TOPIC, 0, -1, records)
            });
        }
    }
}

/// The partitions of [`TOPIC`] that are added, or asked about.
fn adding(
    version: i16,
    id: &str,
    (producer, epoch): (i64, i16),
    indexes: &[i32],
    verify_only: bool,
) -> AddPartitionsToTxnRequest {
    let topics = vec![AddPartitionsToTxnTopic::default().with_name(name(TOPIC)).with_partitions(indexes.to_vec())];
    let request = AddPartitionsToTxnRequest::default();
    if version >= 4 {
        let one = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(transactional(id))
            .with_producer_id(producer.into())
            .with_producer_epoch(epoch)
            .with_verify_only(verify_only)
            .with_topics(topics);
        return request.with_transactions(vec![one]);
    }
    request
        .with_v3_and_below_transactional_id(transactional(id))
        .with_v3_and_below_producer_id(producer.into())
        .with_v3_and_below_producer_epoch(epoch)
        .with_v3_and_below_topics(topics)
}

fn add(script: &mut Vec<Exchange>, producers: &mut Producers) {
    for version in versions(ApiKey::AddPartitionsToTxn) {
        let id = format!("a{version}");
        let own = producers.of(script, &id);
        for (what, known, ids, epochs, indexes) in [
            ("an id that is not there", false, 0, 0, &[0][..]),
            ("another producer", true, 1, 0, &[0]),
            ("another epoch", true, 0, 1, &[0]),
            ("a partition that is not there", true, 0, 0, &[0, 9]),
            ("a partition", true, 0, 0, &[0]),
            ("the same and another", true, 0, 0, &[0, 1]),
            ("again", true, 0, 0, &[1]),
        ] {
            let id = if known { id.clone() } else { "nobody".to_owned() };
            ask(script, what, ApiKey::AddPartitionsToTxn, version, move |learned| {
                let (producer, epoch) = own.of(learned);
                adding(version, &id, (producer + ids, epoch + epochs), indexes, false)
            });
        }
        if version >= 4 {
            let other = format!("v{version}");
            let another = producers.of(script, &other);
            ask(script, "only verified", ApiKey::AddPartitionsToTxn, version, move |learned| {
                let mut both = adding(version, &id, own.of(learned), &[0, 1], true);
                both.transactions.extend(adding(version, &other, another.of(learned), &[1], true).transactions);
                both
            });
        }
    }
    for version in versions(ApiKey::AddOffsetsToTxn) {
        let id = format!("o{version}");
        let own = producers.of(script, &id);
        for (what, known, ids, epochs) in [
            ("an id that is not there", false, 0, 0),
            ("another producer", true, 1, 0),
            ("another epoch", true, 0, 1),
            ("a group's", true, 0, 0),
            ("again", true, 0, 0),
        ] {
            let id = if known { id.clone() } else { "nobody".to_owned() };
            ask(script, what, ApiKey::AddOffsetsToTxn, version, move |learned| {
                let (producer, epoch) = own.of(learned);
                AddOffsetsToTxnRequest::default()
                    .with_transactional_id(transactional(&id))
                    .with_producer_id((producer + ids).into())
                    .with_producer_epoch(epoch + epochs)
                    .with_group_id(group_id("tg"))
            });
        }
    }
}

fn ending(id: &str, (producer, epoch): (i64, i16), commit: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(transactional(id))
        .with_producer_id(producer.into())
        .with_producer_epoch(epoch)
        .with_committed(commit)
}

fn write(script: &mut Vec<Exchange>, producers: &mut Producers) {
    for version in versions(ApiKey::Produce) {
        let id = format!("w{version}");
        let own = producers.of(script, &id);
        let (added, index) = (version < 12, 1);
        if added {
            let id = id.clone();
            ask(script, "its partition", ApiKey::AddPartitionsToTxn, 3, move |learned| {
                adding(3, &id, own.of(learned), &[index], false)
            });
        }
        for (what, id, epochs, sequence, to) in [
            ("without an id", None, 0, 0, index),
            ("in a transaction", Some(&id), 0, 0, index),
            ("and more", Some(&id), 0, 1, index),
            ("the same again", Some(&id), 0, 0, index),
            ("where it was not added", Some(&id), 0, 0, 0),
            ("of another id", Some(&"nobody".to_owned()), 0, 0, 0),
            ("in a later epoch", Some(&id), 1, 0, 0),
        ] {
            let id = id.cloned();
            ask(script, what, ApiKey::Produce, version, move |learned| {
                let (producer, epoch) = own.of(learned);
                let records = batch((producer, epoch + epochs), sequence, 1, true);
                produce_to(version, learned, TOPIC, to, -1, records)
                    .with_transactional_id(id.as_deref().map(transactional))
            });
        }
        let id = id.clone();
        ask(script, "abort", ApiKey::EndTxn, if added { 4 } else { 5 }, move |learned| {
            ending(&id, own.of(learned), false)
        });
        // Until the markers are written nobody agrees on what is there.
        pause(script);
        ask(script, "of the epoch that was", ApiKey::Produce, version, move |learned| {
            let (producer, epoch) = own.of(learned);
            let id = Some(transactional(&format!("w{version}")));
            produce_to(version, learned, TOPIC, 1, -1, batch((producer, epoch), 2, 1, true)).with_transactional_id(id)
        });
    }
}

/// What is open, and what was aborted, by both isolation levels.
fn read(script: &mut Vec<Exchange>, producers: &mut Producers) {
    let open = producers.of(script, "open");
    ask(script, "it stays open", ApiKey::Produce, 12, move |learned| {
        let records = batch(open.of(learned), 0, 1, true);
        produce_to(12, learned, TOPIC, 1, -1, records).with_transactional_id(Some(transactional("open")))
    });
    for version in versions(ApiKey::Fetch) {
        for (what, isolation) in [("uncommitted", 0), ("committed", 1)] {
            ask(script, what, ApiKey::Fetch, version, move |learned| {
                fetch_from(version, learned, TOPIC, 1, 0, (0, -1)).with_isolation_level(isolation)
            });
        }
    }
    for version in versions(ApiKey::ListOffsets).filter(|version| *version >= 2) {
        for (what, timestamp, isolation) in
            [("the end", -1, 0), ("the stable end", -1, 1), ("by time, stable", 1_700_000_000_000, 1)]
        {
            ask(script, what, ApiKey::ListOffsets, version, move |_| {
                let partition = ListOffsetsPartition::default().with_partition_index(1).with_timestamp(timestamp);
                let topic = ListOffsetsTopic::default().with_name(name(TOPIC)).with_partitions(vec![partition]);
                ListOffsetsRequest::default()
                    .with_replica_id(BrokerId(-1))
                    .with_isolation_level(isolation)
                    .with_topics(vec![topic])
            });
        }
    }
}

fn offsets(version: i16, id: &str, (producer, epoch): (i64, i16), generation: i32) -> TxnOffsetCommitRequest {
    let partition = |index: i32, metadata: &str| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(i64::from(version) + 40)
            .with_committed_metadata(Some(text(metadata)))
    };
    let topic = |topic: &str, partitions| {
        TxnOffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(partitions)
    };
    let long = "m".repeat(4_097);
    let written = topic(TOPIC, vec![partition(0, "here"), partition(1, &long), partition(9, "")]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional(id))
        .with_group_id(group_id("tg"))
        .with_producer_id(producer.into())
        .with_producer_epoch(epoch)
        .with_topics(vec![written, topic("nowhere", vec![partition(0, "")])]);
    if version >= 3 { request.with_generation_id(generation) } else { request }
}

fn commit_offsets(script: &mut Vec<Exchange>, producers: &mut Producers) {
    let fetch = |script: &mut Vec<Exchange>, when: &str, stable: bool| {
        ask(script, when, ApiKey::OffsetFetch, 9, move |_| {
            let topics = OffsetFetchRequestTopics::default().with_name(name(TOPIC)).with_partition_indexes(vec![0, 1]);
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(group_id("tg"))
                .with_member_epoch(-1)
                .with_topics(Some(vec![topics]));
            OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(stable)
        });
    };
    for version in versions(ApiKey::TxnOffsetCommit) {
        let id = format!("c{version}");
        let own = producers.of(script, &id);
        let added = version < 5;
        if added {
            let id = id.clone();
            ask(script, "not added", ApiKey::TxnOffsetCommit, version, move |learned| {
                offsets(version, &id, own.of(learned), -1)
            });
        }
        let group = id.clone();
        if added {
            ask(script, "its group", ApiKey::AddOffsetsToTxn, 4, move |learned| {
                let (producer, epoch) = own.of(learned);
                AddOffsetsToTxnRequest::default()
                    .with_transactional_id(transactional(&group))
                    .with_producer_id(producer.into())
                    .with_producer_epoch(epoch)
                    .with_group_id(group_id("tg"))
            });
        }
        if version >= 3 {
            let id = id.clone();
            ask(
                script,
                "a generation of a group that is not there",
                ApiKey::TxnOffsetCommit,
                version,
                move |learned| offsets(version, &id, own.of(learned), 7),
            );
        }
        for (what, epochs) in [("offsets", 0), ("in an epoch yet to come", 1)] {
            let id = id.clone();
            ask(script, what, ApiKey::TxnOffsetCommit, version, move |learned| {
                let (producer, epoch) = own.of(learned);
                offsets(version, &id, (producer, epoch + epochs), -1)
            });
        }
        fetch(script, "while they are open", false);
        fetch(script, "while they are open, stable ones", true);
        ask(script, "commit", ApiKey::EndTxn, if added { 4 } else { 5 }, move |learned| {
            ending(&format!("c{version}"), own.of(learned), true)
        });
        pause(script);
        fetch(script, "when they are committed", true);
    }
}

fn end(script: &mut Vec<Exchange>, producers: &mut Producers) {
    for version in versions(ApiKey::EndTxn) {
        let id = format!("e{version}");
        let own = producers.of(script, &id);
        let asked = |script: &mut Vec<Exchange>, what: &str, id: &str, ids: i64, epochs: i16, commit: bool| {
            let id = id.to_owned();
            ask(script, what, ApiKey::EndTxn, version, move |learned| {
                let (producer, epoch) = own.of(learned);
                ending(&id, (producer + ids, epoch + epochs), commit)
            });
        };
        asked(script, "an id that is not there", "nobody", 0, 0, true);
        asked(script, "an empty id", "", 0, 0, true);
        asked(script, "another producer", &id, 1, 0, true);
        asked(script, "another epoch", &id, 0, 1, true);
        asked(script, "nothing to commit", &id, 0, 0, true);
        let added = id.clone();
        ask(script, "a partition", ApiKey::AddPartitionsToTxn, 5, move |learned| {
            adding(5, &added, own.of(learned), &[0], false)
        });
        asked(script, "commit", &id, 0, 0, true);
        pause(script);
        asked(script, "commit again", &id, 0, 0, true);
        asked(script, "abort what was committed", &id, 0, 0, false);
        if version >= 5 {
            asked(script, "nothing to commit in the new epoch", &id, 0, 1, true);
            asked(script, "nothing to abort in the new epoch", &id, 0, 1, false);
            pause(script);
            asked(script, "abort again", &id, 0, 1, false);
            asked(script, "in the epoch before that", &id, 0, 0, true);
        }
    }
}

/// Markers of no coordinator, as the tool for hanging transactions writes them.
fn mark(script: &mut Vec<Exchange>, producers: &mut Producers) {
    producers.of(script, "hangs");
    let hangs = producers.of(script, "hangs");
    ask(script, "it will hang", ApiKey::Produce, 12, move |learned| {
        let records = batch(hangs.of(learned), 0, 1, true);
        produce_to(12, learned, TOPIC, 0, -1, records).with_transactional_id(Some(transactional("hangs")))
    });
    for (what, epochs, coordinator_epoch) in [
        ("an epoch before", -1, 0),
        ("its end, and where it never was", 0, 0),
        ("again", 0, 0),
        ("a later epoch", 1, 7),
        ("an earlier coordinator", 1, 6),
    ] {
        ask(script, what, ApiKey::WriteTxnMarkers, 1, move |learned| {
            let (producer, epoch) = hangs.of(learned);
            let topic = |topic: &str, indexes: &[i32]| {
                WritableTxnMarkerTopic::default().with_name(name(topic)).with_partition_indexes(indexes.to_vec())
            };
            let marker = WritableTxnMarker::default()
                .with_producer_id(producer.into())
                .with_producer_epoch(epoch + epochs)
                .with_coordinator_epoch(coordinator_epoch)
                .with_topics(vec![topic(TOPIC, &[0]), topic("nowhere", &[0])]);
            WriteTxnMarkersRequest::default().with_markers(vec![marker])
        });
    }
    ask(script, "what is stable then", ApiKey::Fetch, 12, |learned| {
        fetch_from(12, learned, TOPIC, 0, 0, (0, -1)).with_isolation_level(1)
    });
}

fn tell(script: &mut Vec<Exchange>) {
    ask(script, "who wrote", ApiKey::DescribeProducers, 0, |_| {
        let topic = |topic: &str, indexes: &[i32]| {
            TopicRequest::default().with_name(name(topic)).with_partition_indexes(indexes.to_vec())
        };
        let topics = vec![topic(TOPIC, &[0, 1, 9]), topic("nowhere", &[0]), topic("a b", &[0])];
        DescribeProducersRequest::default().with_topics(topics)
    });
    ask(script, "what they are at", ApiKey::DescribeTransactions, 0, |_| {
        let ids = ["open", "i0", "e4", "e5", "w12", "a3", "o0", "nobody", ""].map(transactional);
        DescribeTransactionsRequest::default().with_transactional_ids(ids.to_vec())
    });
    for version in versions(ApiKey::ListTransactions) {
        let all = ListTransactionsRequest::default();
        let of = |states: &[&str]| all.clone().with_state_filters(states.iter().map(|state| text(state)).collect());
        for (what, body) in [
            ("all", all.clone()),
            ("those that are open", of(&["Ongoing"])),
            ("in states that there are not", of(&["Asleep", "Dead", "ongoing"])),
            ("of a producer that is none", all.clone().with_producer_id_filters(vec![ProducerId(99_999)])),
        ] {
            ask(script, what, ApiKey::ListTransactions, version, move |_| body.clone());
        }
        if version >= 1 {
            let long = of(&["Ongoing"]).with_duration_filter(100_000_000);
            ask(script, "open for more than a day", ApiKey::ListTransactions, version, move |_| long.clone());
        }
        if version >= 2 {
            for (what, pattern) in [("by a pattern", "[ew]1?[0-9]"), ("by no pattern", ""), ("by half a pattern", "(")]
            {
                let body = all.clone().with_transactional_id_pattern(Some(text(pattern)));
                ask(script, what, ApiKey::ListTransactions, version, move |_| body.clone());
            }
        }
    }
}

/// Makes batches in a record set what they are whoever their producer is, and markers whenever they were written.
pub fn mask_producers(records: &mut Bytes) {
    let mut masked = BytesMut::from(&records[..]);
    let mut at = 0;
    for (header, bytes) in ottla_core::record::batches(records) {
        let batch = &mut masked[at..at + bytes.len()];
        if header.producer_id >= 0 {
            // The checksum, and the id.
            batch[17..21].fill(0);
            batch[43..51].fill(0);
        }
        if header.is_control() {
            batch[27..43].fill(0);
        }
        at += bytes.len();
    }
    *records = masked.freeze();
}
