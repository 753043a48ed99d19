//! A share group (KIP-932): its member, where it begins, what a member fetches, and what share coordinators keep.

use kafka_protocol::messages::alter_share_group_offsets_request::*;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::*;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use ottla_core::log::checkpoint::print_uuid;
use ottla_core::record::{BatchBuilder, Compression};
use ottla_core::time::Timestamp;

use super::groups::{id, pause};
use super::{Exchange, Learned, ask, name, produce_to, text, versions};

const GROUP: &str = "sharers";

pub(super) fn exchanges(script: &mut Vec<Exchange>) {
    let topic = CreatableTopic::default().with_name(name("shared")).with_num_partitions(1).with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    ask(script, "a topic to share", ApiKey::CreateTopics, 7, move |_| create.clone());
    ask(script, "its id", ApiKey::Metadata, 12, |_| {
        let shared = MetadataRequestTopic::default().with_name(Some(name("shared")));
        MetadataRequest::default().with_topics(Some(vec![shared]))
    });
    find(script);
    states(script);
    members(script);
    fetches(script);
    offsets(script);
}

fn find(script: &mut Vec<Exchange>) {
    let find = |keys: Vec<_>| FindCoordinatorRequest::default().with_key_type(2).with_coordinator_keys(keys);
    ask(script, "of no share-partition", ApiKey::FindCoordinator, 6, move |_| find(vec![text("g"), text("g:x:0")]));
    let key = |learned: &Learned| text(&format!("{GROUP}:{}:0", print_uuid(learned.ids["shared"])));
    ask(script, "a share-partition's", ApiKey::FindCoordinator, 6, move |learned| find(vec![key(learned)]));
    pause(script);
    pause(script);
    ask(script, "a share-partition's, again", ApiKey::FindCoordinator, 6, move |learned| find(vec![key(learned)]));
}

/// What is asked of one share-partition, of a group of its own.
macro_rules! state {
    ($script:expr, $what:expr, $api:ident, $version:expr, $module:ident, $data:ident, $request:ident, $with:expr) => {
        ask($script, $what, ApiKey::$api, $version, |learned| {
            use $module::{PartitionData, $data};
            let partition: PartitionData = $with(PartitionData::default());
            let topic = $data::default().with_topic_id(learned.ids["shared"]).with_partitions(vec![partition]);
            $request::default().with_group_id(text("kept")).with_topics(vec![topic])
        })
    };
}

fn states(script: &mut Vec<Exchange>) {
    macro_rules! initialize {
        ($what:expr, $epoch:expr) => {
            state!(
                script,
                $what,
                InitializeShareGroupState,
                0,
                initialize_share_group_state_request,
                InitializeStateData,
                InitializeShareGroupStateRequest,
                |partition: initialize_share_group_state_request::PartitionData| partition
                    .with_state_epoch($epoch)
                    .with_start_offset(5)
            );
        };
    }
    macro_rules! read {
        ($what:expr, $epoch:expr) => {
            state!(
                script,
                $what,
                ReadShareGroupState,
                0,
                read_share_group_state_request,
                ReadStateData,
                ReadShareGroupStateRequest,
                |partition: read_share_group_state_request::PartitionData| partition.with_leader_epoch($epoch)
            );
        };
    }
    macro_rules! write {
        ($what:expr, $state:expr, $leader:expr) => {
            state!(
                script,
                $what,
                WriteShareGroupState,
                0,
                write_share_group_state_request,
                WriteStateData,
                WriteShareGroupStateRequest,
                |partition: write_share_group_state_request::PartitionData| {
                    let batch = write_share_group_state_request::StateBatch::default()
                        .with_first_offset(6)
                        .with_last_offset(9)
                        .with_delivery_state(2)
                        .with_delivery_count(1);
                    partition
                        .with_state_epoch($state)
                        .with_leader_epoch($leader)
                        .with_start_offset(-1)
                        .with_state_batches(vec![batch])
                }
            );
        };
    }
    macro_rules! summary {
        ($what:expr) => {
            state!(
                script,
                $what,
                ReadShareGroupStateSummary,
                0,
                read_share_group_state_summary_request,
                ReadStateSummaryData,
                ReadShareGroupStateSummaryRequest,
                |partition| partition
            );
        };
    }
    read!("what is not there", 0);
    initialize!("it begins", 3);
    initialize!("an older state", 2);
    read!("its leader's epoch", 7);
    read!("an older leader", 6);
    write!("what was settled", 3, 7);
    write!("by an older leader", 3, 6);
    write!("of an older state", 2, 7);
    summary!("in short");
    read!("all of it", 7);
    for what in ["it goes", "it has gone"] {
        state!(
            script,
            what,
            DeleteShareGroupState,
            0,
            delete_share_group_state_request,
            DeleteStateData,
            DeleteShareGroupStateRequest,
            |partition| partition
        );
    }
    summary!("of what has gone");
}

fn beat(member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest::default().with_group_id(id(GROUP)).with_member_id(text(member)).with_member_epoch(epoch)
}

fn coming(member: &str) -> ShareGroupHeartbeatRequest {
    beat(member, 0).with_subscribed_topic_names(Some(vec![name("shared")]))
}

fn members(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::ShareGroupHeartbeat) {
        let wrong: [(&str, fn() -> ShareGroupHeartbeatRequest); 6] = [
            ("no group", || coming("m").with_group_id(id(""))),
            ("no member", || coming("")),
            ("no subscription", || beat("m", 0)),
            ("an epoch that is none", || beat("m", -2)),
            ("a member of a group that is not", || beat("m", 5)),
            ("a leave of a group that is not", || beat("m", -1)),
        ];
        for (what, request) in wrong {
            ask(script, what, ApiKey::ShareGroupHeartbeat, version, move |_| request());
        }
    }
    ask(script, "of a consumer group", ApiKey::ShareGroupHeartbeat, 1, |_| coming("m").with_group_id(id("cg")));
    ask(script, "the first", ApiKey::ShareGroupHeartbeat, 1, |_| coming("m1"));
    // What it reads is initialised meanwhile.
    pause(script);
    ask(script, "a sign of life", ApiKey::ShareGroupHeartbeat, 1, |_| beat("m1", 2));
    ask(script, "a greater epoch", ApiKey::ShareGroupHeartbeat, 1, |_| beat("m1", 9));
    ask(script, "a stranger", ApiKey::ShareGroupHeartbeat, 1, |_| beat("stranger", 1));
    for version in versions(ApiKey::ShareGroupDescribe) {
        ask(script, "with one", ApiKey::ShareGroupDescribe, version, |_| {
            ShareGroupDescribeRequest::default().with_group_ids(vec![id(GROUP), id("nobody")])
        });
    }
}

fn fetch(learned: &Learned, member: &str, epoch: i32) -> ShareFetchRequest {
    use share_fetch_request::{FetchPartition, FetchTopic};
    let shared = FetchTopic::default().with_topic_id(learned.ids["shared"]);
    ShareFetchRequest::default()
        .with_group_id(Some(id(GROUP)))
        .with_member_id(Some(text(member)))
        .with_share_session_epoch(epoch)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_max_records(500)
        .with_batch_size(500)
        .with_topics(vec![shared.with_partitions(vec![FetchPartition::default()])])
}

fn acknowledge(learned: &Learned, epoch: i32, (first, last): (i64, i64), types: &[i8]) -> ShareAcknowledgeRequest {
    use share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch};
    let batch = AcknowledgementBatch::default().with_first_offset(first).with_last_offset(last);
    let partition = AcknowledgePartition::default()
        .with_acknowledgement_batches(vec![batch.with_acknowledge_types(types.to_vec())]);
    let topic = AcknowledgeTopic::default().with_topic_id(learned.ids["shared"]).with_partitions(vec![partition]);
    ShareAcknowledgeRequest::default()
        .with_group_id(Some(id(GROUP)))
        .with_member_id(Some(text("m1")))
        .with_share_session_epoch(epoch)
        .with_topics(vec![topic])
}

fn fetches(script: &mut Vec<Exchange>) {
    const FETCH: ApiKey = ApiKey::ShareFetch;
    const ACKNOWLEDGE: ApiKey = ApiKey::ShareAcknowledge;
    ask(script, "no session", FETCH, 1, |learned| fetch(learned, "m1", 4));
    ask(script, "no session either", ACKNOWLEDGE, 1, |learned| acknowledge(learned, 4, (0, 0), &[1]));
    // It begins with what comes.
    ask(script, "nothing yet", FETCH, 1, |learned| fetch(learned, "m1", 0));
    let mut one = BatchBuilder::new(Compression::None);
    one.append(Timestamp(1_700_000_000_000), None, Some(b"one"), &[]);
    let one = one.build().bytes;
    ask(script, "one record", ApiKey::Produce, 9, move |learned| {
        produce_to(9, learned, "shared", 0, 1, Some(one.clone()))
    });
    ask(script, "what has come", FETCH, 1, |learned| fetch(learned, "m1", 1));
    ask(script, "an older epoch", FETCH, 1, |learned| fetch(learned, "m1", 1));
    ask(script, "a type that is none", ACKNOWLEDGE, 1, |learned| acknowledge(learned, 2, (0, 0), &[9]));
    ask(script, "it comes back", ACKNOWLEDGE, 1, |learned| acknowledge(learned, 2, (0, 0), &[2]));
    ask(script, "once more", FETCH, 1, |learned| fetch(learned, "m1", 3));
    ask(script, "it is done with", ACKNOWLEDGE, 1, |learned| acknowledge(learned, 4, (0, 0), &[1]));
    ask(script, "what it has not", ACKNOWLEDGE, 1, |learned| acknowledge(learned, 5, (0, 0), &[1]));
    ask(script, "the session ends", ACKNOWLEDGE, 1, |learned| {
        acknowledge(learned, -1, (0, 0), &[]).with_topics(Vec::new())
    });
}

fn offsets(script: &mut Vec<Exchange>) {
    let described = |_: &Learned| {
        let topic = DescribeShareGroupOffsetsRequestTopic::default()
            .with_topic_name(name("shared"))
            .with_partitions(vec![0, 4]);
        let group =
            DescribeShareGroupOffsetsRequestGroup::default().with_group_id(id(GROUP)).with_topics(Some(vec![topic]));
        let nobody = DescribeShareGroupOffsetsRequestGroup::default().with_group_id(id("nobody")).with_topics(None);
        DescribeShareGroupOffsetsRequest::default().with_groups(vec![group, nobody])
    };
    let altered = |_: &Learned| {
        let partition =
            |index| AlterShareGroupOffsetsRequestPartition::default().with_partition_index(index).with_start_offset(3);
        let topic = AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(name("shared"))
            .with_partitions(vec![partition(0), partition(4)]);
        AlterShareGroupOffsetsRequest::default().with_group_id(id(GROUP)).with_topics(vec![topic])
    };
    let deleted = |topic: &'static str| {
        move |_: &Learned| {
            let topic = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(name(topic));
            DeleteShareGroupOffsetsRequest::default().with_group_id(id(GROUP)).with_topics(vec![topic])
        }
    };
    ask(script, "of members", ApiKey::AlterShareGroupOffsets, 0, altered);
    ask(script, "of members", ApiKey::DeleteShareGroupOffsets, 0, deleted("shared"));
    ask(script, "who goes", ApiKey::ShareGroupHeartbeat, 1, |_| beat("m1", -1));
    ask(script, "it begins elsewhere", ApiKey::AlterShareGroupOffsets, 0, altered);
    ask(script, "where it begins", ApiKey::DescribeShareGroupOffsets, 0, described);
    ask(script, "of a topic that is not", ApiKey::DeleteShareGroupOffsets, 0, deleted("nothing"));
    ask(script, "of the topic", ApiKey::DeleteShareGroupOffsets, 0, deleted("shared"));
    ask(script, "a share group goes", ApiKey::DeleteGroups, 2, |_| {
        DeleteGroupsRequest::default().with_groups_names(vec![id(GROUP)])
    });
}
