//! Groups, of both protocols, and the offsets that they commit.

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use super::{Exchange, Learned, ask, name, text, versions};

pub fn exchanges(script: &mut Vec<Exchange>) {
    let topic = CreatableTopic::default().with_name(name("read")).with_num_partitions(2).with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    ask(script, "a topic to read", ApiKey::CreateTopics, 7, move |_| create.clone());
    ask(script, "its id", ApiKey::Metadata, 12, |_| {
        let read = MetadataRequestTopic::default().with_name(Some(name("read")));
        MetadataRequest::default().with_topics(Some(vec![read]))
    });
    find(script);
    offsets_from_outside(script);
    join(script);
    generation(script);
    leave(script);
    consumers(script);
    tell(script);
    remove(script);
}

pub(super) fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

/// Three seconds, in which others finish what they are at.
pub(super) fn pause(script: &mut Vec<Exchange>) {
    ask(script, "nothing, for a while", ApiKey::Fetch, 12, |_| {
        let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(name("defaults")).with_partitions(vec![partition]);
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(3_000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![topic])
    });
}

fn find(script: &mut Vec<Exchange>) {
    let one = |version: i16, key: &'static str, kind: i8| {
        let request = FindCoordinatorRequest::default();
        let request = if version >= 1 { request.with_key_type(kind) } else { request };
        match version {
            4.. => request.with_coordinator_keys(vec![text(key)]),
            _ => request.with_key(text(key)),
        }
    };
    ask(script, "the first to ask", ApiKey::FindCoordinator, 6, move |_| one(6, "sg", 0));
    // A Kafka on a busy machine takes its time to make fifty partitions.
    pause(script);
    pause(script);
    for version in versions(ApiKey::FindCoordinator) {
        ask(script, "a group's", ApiKey::FindCoordinator, version, move |_| one(version, "sg", 0));
        ask(script, "of no group", ApiKey::FindCoordinator, version, move |_| one(version, "", 0));
        if version >= 1 {
            ask(script, "of something else", ApiKey::FindCoordinator, version, move |_| one(version, "sg", 7));
        }
        if version >= 4 {
            ask(script, "of several", ApiKey::FindCoordinator, version, move |_| {
                FindCoordinatorRequest::default().with_coordinator_keys(vec![text("a"), text("b"), text("a")])
            });
        }
    }
}

/// Offsets of `read`, and of what is not there.
pub(super) fn commit(version: i16, group: &str, generation: i32, member: &str) -> OffsetCommitRequest {
    let partition = |index: i32, metadata: &str| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(i64::from(version) + 40)
            .with_committed_leader_epoch(if version >= 6 { 3 } else { -1 })
            .with_committed_metadata(Some(text(metadata)))
    };
    let long = "m".repeat(4_097);
    let topic = |topic: &str, partitions| {
        OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(partitions)
    };
    let read = vec![partition(0, "here"), partition(1, &long), partition(2, "")];
    let request = OffsetCommitRequest::default()
        .with_group_id(id(group))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![topic("read", read), topic("nowhere", vec![partition(0, "")])]);
    if (2..=4).contains(&version) { request.with_retention_time_ms(-1) } else { request }
}

fn fetch(version: i16, group: &str, all: bool) -> OffsetFetchRequest {
    let indexes = vec![0, 1, 7];
    if version >= 8 {
        let topics = [("read", indexes), ("nowhere", vec![0])].map(|(topic, partitions)| {
            OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(partitions)
        });
        let one = |group: &str| {
            OffsetFetchRequestGroup::default()
                .with_group_id(id(group))
                .with_member_epoch(-1)
                .with_topics((!all).then(|| topics.to_vec()))
        };
        return OffsetFetchRequest::default().with_groups(vec![one(group), one("another")]);
    }
    let topics = [("read", indexes), ("nowhere", vec![0])].map(|(topic, partitions)| {
        OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(partitions)
    });
    OffsetFetchRequest::default().with_group_id(id(group)).with_topics((!all).then(|| topics.to_vec()))
}

fn offsets_from_outside(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::OffsetCommit) {
        for (what, group, generation, member) in [
            ("from outside", "outside", -1, ""),
            ("of a generation that is not", "unheard", 3, "m"),
            ("of no group", "", -1, ""),
        ] {
            ask(script, what, ApiKey::OffsetCommit, version, move |_| commit(version, group, generation, member));
        }
    }
    for version in versions(ApiKey::OffsetFetch) {
        ask(script, "what was committed", ApiKey::OffsetFetch, version, move |_| fetch(version, "outside", false));
        ask(script, "of a group that is not", ApiKey::OffsetFetch, version, move |_| fetch(version, "unheard", false));
        ask(script, "of no group", ApiKey::OffsetFetch, version, move |_| fetch(version, "", false));
        if version >= 2 {
            ask(script, "all", ApiKey::OffsetFetch, version, move |_| fetch(version, "outside", true));
        }
        if version >= 7 {
            ask(script, "stable ones", ApiKey::OffsetFetch, version, move |_| {
                fetch(version, "outside", false).with_require_stable(true)
            });
        }
    }
}

/// A subscription of version 1 to `read`, by which nothing is owned.
const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x01\0\x04read\xff\xff\xff\xff\0\0\0\0";
/// Both partitions of `read`.
pub(super) const ASSIGNMENT: &[u8] = b"\0\x01\0\0\0\x01\0\x04read\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff";

pub(super) fn joining(version: i16, group: &str, member: &str) -> JoinGroupRequest {
    let protocol = |protocol: &str| {
        JoinGroupRequestProtocol::default().with_name(text(protocol)).with_metadata(Bytes::from_static(SUBSCRIPTION))
    };
    let request = JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_session_timeout_ms(30_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol("range"), protocol("roundrobin")]);
    let request = if version >= 1 { request.with_rebalance_timeout_ms(30_000) } else { request };
    if version >= 8 { request.with_reason(Some(text("why not"))) } else { request }
}

fn join(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::JoinGroup) {
        let wrong: [(&str, Box<dyn Fn() -> JoinGroupRequest>); 4] = [
            ("no group", Box::new(move || joining(version, "", ""))),
            ("a short session", Box::new(move || joining(version, "sg", "").with_session_timeout_ms(10))),
            ("a member of a group that is not", Box::new(move || joining(version, "unheard", "m"))),
            ("no protocols", Box::new(move || joining(version, "sg", "").with_protocols(Vec::new()))),
        ];
        for (what, request) in wrong {
            ask(script, what, ApiKey::JoinGroup, version, move |_| request());
        }
    }
    ask(script, "without an id", ApiKey::JoinGroup, 9, |_| joining(9, "sg", ""));
    ask(script, "the first", ApiKey::JoinGroup, 9, |learned| joining(9, "sg", &learned.member));
    // The leader joins again, and is the only one.
    for version in versions(ApiKey::JoinGroup) {
        ask(script, "the leader, again", ApiKey::JoinGroup, version, move |learned| {
            joining(version, "sg", &learned.member)
        });
        ask(script, "other protocols", ApiKey::JoinGroup, version, move |learned| {
            let mut request = joining(version, "sg", &learned.member);
            request.protocols[0].name = text("another");
            request.protocols.truncate(1);
            if version >= 5 { request.with_group_instance_id(Some(text("nobody"))) } else { request }
        });
        ask(script, "a stranger", ApiKey::JoinGroup, version, move |_| joining(version, "sg", "stranger"));
    }
}

fn generation(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::SyncGroup) {
        let sync = move |learned: &Learned, group: &str, member: &str, generation: i32| {
            let assignment = SyncGroupRequestAssignment::default()
                .with_member_id(text(&learned.member))
                .with_assignment(Bytes::from_static(ASSIGNMENT));
            let request = SyncGroupRequest::default()
                .with_group_id(id(group))
                .with_generation_id(generation)
                .with_member_id(text(member))
                .with_assignments(vec![assignment]);
            match version {
                5.. => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
                _ => request,
            }
        };
        ask(script, "the leader", ApiKey::SyncGroup, version, move |learned| {
            sync(learned, "sg", &learned.member, learned.generation)
        });
        ask(script, "another generation", ApiKey::SyncGroup, version, move |learned| {
            sync(learned, "sg", &learned.member, learned.generation + 1)
        });
        ask(script, "a stranger", ApiKey::SyncGroup, version, move |learned| {
            sync(learned, "sg", "stranger", learned.generation)
        });
        ask(script, "a group that is not", ApiKey::SyncGroup, version, move |learned| sync(learned, "unheard", "m", 1));
        ask(script, "no group", ApiKey::SyncGroup, version, move |learned| sync(learned, "", "m", 1));
        if version >= 5 {
            ask(script, "another protocol", ApiKey::SyncGroup, version, move |learned| {
                sync(learned, "sg", &learned.member, learned.generation).with_protocol_name(Some(text("another")))
            });
        }
    }
    for version in versions(ApiKey::Heartbeat) {
        let beat = |group: &str, member: &str, generation: i32| {
            HeartbeatRequest::default()
                .with_group_id(id(group))
                .with_generation_id(generation)
                .with_member_id(text(member))
        };
        ask(script, "a member", ApiKey::Heartbeat, version, move |learned| {
            beat("sg", &learned.member, learned.generation)
        });
        ask(script, "another generation", ApiKey::Heartbeat, version, move |learned| {
            beat("sg", &learned.member, learned.generation - 1)
        });
        ask(script, "a stranger", ApiKey::Heartbeat, version, move |_| beat("sg", "stranger", 1));
        ask(script, "a group that is not", ApiKey::Heartbeat, version, move |_| beat("unheard", "m", 1));
        ask(script, "no group", ApiKey::Heartbeat, version, move |_| beat("", "m", 1));
    }
    for version in versions(ApiKey::OffsetCommit) {
        ask(script, "a member", ApiKey::OffsetCommit, version, move |learned| {
            commit(version, "sg", learned.generation, &learned.member)
        });
        ask(script, "another generation", ApiKey::OffsetCommit, version, move |learned| {
            commit(version, "sg", learned.generation + 1, &learned.member)
        });
        ask(script, "a stranger", ApiKey::OffsetCommit, version, move |_| commit(version, "sg", 1, "stranger"));
        ask(script, "nobody", ApiKey::OffsetCommit, version, move |_| commit(version, "sg", -1, ""));
    }
}

fn leave(script: &mut Vec<Exchange>) {
    let delete = |group: &'static str| {
        let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
        let topic = |topic: &str| {
            OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition(0), partition(7)])
        };
        OffsetDeleteRequest::default().with_group_id(id(group)).with_topics(vec![topic("read"), topic("nowhere")])
    };
    for group in ["sg", "outside", "unheard", ""] {
        ask(script, &format!("offsets of {group:?}"), ApiKey::OffsetDelete, 0, move |_| delete(group));
    }
    describe(script, "while somebody is in it");
    for version in versions(ApiKey::LeaveGroup) {
        let leave = move |group: &str, member: &str, instance: Option<&str>| {
            let request = LeaveGroupRequest::default().with_group_id(id(group));
            match version {
                3.. => {
                    let member = MemberIdentity::default()
                        .with_member_id(text(member))
                        .with_group_instance_id(instance.map(text));
                    request.with_members(vec![member])
                }
                _ => request.with_member_id(text(member)),
            }
        };
        ask(script, "a stranger", ApiKey::LeaveGroup, version, move |_| leave("sg", "stranger", None));
        ask(script, "a group that is not", ApiKey::LeaveGroup, version, move |_| leave("unheard", "m", None));
        ask(script, "no group", ApiKey::LeaveGroup, version, move |_| leave("", "m", None));
        if version >= 3 {
            ask(script, "an instance that is not", ApiKey::LeaveGroup, version, move |_| leave("sg", "", Some("i")));
            ask(script, "nobody", ApiKey::LeaveGroup, version, |_| {
                LeaveGroupRequest::default().with_group_id(id("sg"))
            });
        }
        if version == 5 {
            ask(script, "the member", ApiKey::LeaveGroup, version, move |learned| leave("sg", &learned.member, None));
        }
    }
    describe(script, "when nobody is in it");
}

fn describe(script: &mut Vec<Exchange>, when: &'static str) {
    for version in versions(ApiKey::DescribeGroups) {
        for group in ["sg", "outside", "unheard", "cg", ""] {
            let what = format!("{group:?} {when}");
            ask(script, &what, ApiKey::DescribeGroups, version, move |_| {
                let request = DescribeGroupsRequest::default().with_groups(vec![id(group)]);
                if version >= 3 { request.with_include_authorized_operations(true) } else { request }
            });
        }
    }
}

pub(super) fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(id("cg"))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

pub(super) fn coming(member: &str) -> ConsumerGroupHeartbeatRequest {
    beat(member, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![name("read"), name("nowhere")]))
        .with_topic_partitions(Some(Vec::new()))
}

fn consumers(script: &mut Vec<Exchange>) {
    const API: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    for version in versions(API) {
        let wrong: [(&str, Box<dyn Fn() -> ConsumerGroupHeartbeatRequest>); 11] = [
            ("no group", Box::new(|| coming("m").with_group_id(id("")))),
            ("no instance", Box::new(|| coming("m").with_instance_id(Some(text(""))))),
            ("no rack", Box::new(|| coming("m").with_rack_id(Some(text(""))))),
            ("no timeout", Box::new(|| coming("m").with_rebalance_timeout_ms(-1))),
            ("partitions at once", Box::new(|| coming("m").with_topic_partitions(None))),
            ("no subscription", Box::new(|| coming("m").with_subscribed_topic_names(None))),
            ("an assignor that is not", Box::new(|| coming("m").with_server_assignor(Some(text("mine"))))),
            ("an epoch that is none", Box::new(|| beat("m", -3))),
            ("a leave without an instance", Box::new(|| beat("m", -2))),
            ("a member of a group that is not", Box::new(|| beat("m", 5))),
            ("a leave of a group that is not", Box::new(|| beat("m", -1))),
        ];
        for (what, request) in wrong {
            ask(script, what, API, version, move |_| request());
        }
    }
    ask(script, "no id", API, 1, |_| coming(""));
    ask(script, "a regular expression that is none", API, 1, |_| {
        coming("m1").with_subscribed_topic_regex(Some(text("re(ad"))).with_group_id(id("rg"))
    });
    ask(script, "the first", API, 1, |_| coming("m1"));
    ask(script, "a sign of life", API, 1, |_| beat("m1", 2));
    ask(script, "all that there is to say", API, 1, |learned| {
        let read = TopicPartitions::default().with_topic_id(learned.ids["read"]).with_partitions(vec![0, 1]);
        coming("m1").with_member_epoch(2).with_topic_partitions(Some(vec![read]))
    });
    ask(script, "a greater epoch", API, 1, |_| beat("m1", 7));
    ask(script, "a smaller epoch", API, 1, |_| beat("m1", 1));
    ask(script, "a stranger", API, 1, |_| beat("stranger", 2));
    // Who reads what is decided anew once a second at most.
    pause(script);
    ask(script, "a static one", API, 1, |_| coming("m2").with_instance_id(Some(text("i"))));
    ask(script, "another with its instance", API, 1, |_| coming("m3").with_instance_id(Some(text("i"))));
    ask(script, "a leave by another", API, 1, |_| beat("m3", -1).with_instance_id(Some(text("i"))));
    ask(script, "one partition too many", API, 1, |_| beat("m1", 2));
    ask(script, "none too many", API, 1, |learned| {
        let read = TopicPartitions::default().with_topic_id(learned.ids["read"]).with_partitions(vec![1]);
        beat("m1", 2).with_topic_partitions(Some(vec![read]))
    });
    ask(script, "another has what was let go", API, 1, |_| beat("m2", 3).with_instance_id(Some(text("i"))));
    for version in versions(ApiKey::OffsetCommit) {
        ask(script, "by epoch", ApiKey::OffsetCommit, version, move |_| commit(version, "cg", 3, "m2"));
        ask(script, "by a newer epoch", ApiKey::OffsetCommit, version, move |_| commit(version, "cg", 4, "m2"));
        ask(script, "by an older epoch", ApiKey::OffsetCommit, version, move |_| commit(version, "cg", 1, "m2"));
    }
    for (what, member, epoch) in [("by epoch", "m2", 3), ("by another epoch", "m2", 2), ("a stranger", "m9", 3)] {
        ask(script, what, ApiKey::OffsetFetch, 9, move |_| {
            let mut request = fetch(9, "cg", false);
            request.groups.truncate(1);
            request.groups[0].member_id = Some(text(member));
            request.groups[0].member_epoch = epoch;
            request
        });
    }
    describe_consumers(script, "with two");
    ask(script, "a while away", API, 1, |_| beat("m2", -2).with_instance_id(Some(text("i"))));
    ask(script, "and back", API, 1, |_| coming("m4").with_instance_id(Some(text("i"))));
    ask(script, "gone", API, 1, |_| beat("m1", -1));
    ask(script, "gone for good", API, 1, |_| beat("m4", -1).with_instance_id(Some(text("i"))));
    describe_consumers(script, "with none");
}

fn describe_consumers(script: &mut Vec<Exchange>, when: &'static str) {
    for version in versions(ApiKey::ConsumerGroupDescribe) {
        for group in ["cg", "sg", "unheard", ""] {
            ask(script, &format!("{group:?} {when}"), ApiKey::ConsumerGroupDescribe, version, move |_| {
                let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![id(group)]);
                request.with_include_authorized_operations(true)
            });
        }
    }
}

fn tell(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::ListGroups) {
        ask(script, "all", ApiKey::ListGroups, version, |_| ListGroupsRequest::default());
        if version >= 4 {
            for state in ["Empty", "emptY", "Stable", "what"] {
                ask(script, state, ApiKey::ListGroups, version, move |_| {
                    ListGroupsRequest::default().with_states_filter(vec![text(state)])
                });
            }
        }
        if version >= 5 {
            for kind in ["Classic", "consumer", "what"] {
                ask(script, kind, ApiKey::ListGroups, version, move |_| {
                    ListGroupsRequest::default().with_types_filter(vec![text(kind)])
                });
            }
        }
    }
}

fn remove(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::DeleteGroups) {
        let groups = ["outside", "sg", "cg"];
        ask(script, "groups", ApiKey::DeleteGroups, version, move |_| {
            DeleteGroupsRequest::default().with_groups_names(vec![id(groups[version as usize]), id("unheard"), id("")])
        });
    }
}
