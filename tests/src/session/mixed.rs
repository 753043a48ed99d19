//! A static member, whose group becomes a consumer group when a member of that protocol comes, and a classic group again
//! when that one has gone.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use super::groups::{ASSIGNMENT, beat, coming, commit, id, joining};
use super::{Exchange, Learned, ask, text};

/// Its member ids begin with the same word as those of dynamic members here.
const INSTANCE: &str = "session";

pub fn exchanges(script: &mut Vec<Exchange>) {
    alone(script);
    ask(script, "a consumer comes", ApiKey::ConsumerGroupHeartbeat, 1, |_| coming("c1").with_group_id(id("mg")));
    together(script);
    ask(script, "the consumer goes", ApiKey::ConsumerGroupHeartbeat, 1, |_| beat("c1", -1).with_group_id(id("mg")));
    alone_again(script);
}

/// A JoinGroup that says which partitions of `read` the member has.
fn joins(member: &str, owned: &[i32]) -> JoinGroupRequest {
    let mut subscription = BytesMut::from(&b"\0\x01\0\0\0\x01\0\x04read\xff\xff\xff\xff\0\0\0\x01\0\x04read"[..]);
    subscription.extend_from_slice(&(owned.len() as i32).to_be_bytes());
    owned.iter().for_each(|index| subscription.extend_from_slice(&index.to_be_bytes()));
    let mut request = joining(9, "mg", member).with_group_instance_id(Some(text(INSTANCE)));
    request.protocols.truncate(1);
    request.protocols[0].metadata = subscription.freeze();
    request
}

fn syncs(learned: &Learned) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(text(&learned.member))
        .with_assignment(Bytes::from_static(ASSIGNMENT));
    SyncGroupRequest::default()
        .with_group_id(id("mg"))
        .with_generation_id(learned.generation)
        .with_member_id(text(&learned.member))
        .with_group_instance_id(Some(text(INSTANCE)))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(vec![assignment])
}

fn lives(member: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(id("mg"))
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_group_instance_id(Some(text(INSTANCE)))
}

fn live(script: &mut Vec<Exchange>, when: &str) {
    ask(script, when, ApiKey::Heartbeat, 4, |learned| lives(&learned.member, learned.generation));
}

fn alone(script: &mut Vec<Exchange>) {
    ask(script, "a static member", ApiKey::JoinGroup, 9, |_| joins("", &[]));
    ask(script, "it leads", ApiKey::SyncGroup, 5, syncs);
    ask(script, "it comes again", ApiKey::JoinGroup, 9, |_| joins("", &[0, 1]));
    ask(script, "under another id", ApiKey::JoinGroup, 9, |_| joins("another-x", &[0, 1]));
    ask(script, "it has what it had", ApiKey::SyncGroup, 5, syncs);
    live(script, "a static member");
    ask(script, "under another id", ApiKey::Heartbeat, 4, |learned| lives("another-x", learned.generation));
    for version in [7, 9] {
        ask(script, "by another id", ApiKey::OffsetCommit, version, move |learned| {
            commit(version, "mg", learned.generation, "another-x").with_group_instance_id(Some(text(INSTANCE)))
        });
    }
    ask(script, "a consumer that is not there", ApiKey::ConsumerGroupHeartbeat, 1, |_| {
        beat("c1", 3).with_group_id(id("mg"))
    });
}

fn together(script: &mut Vec<Exchange>) {
    live(script, "it is to let go");
    ask(script, "it has both", ApiKey::JoinGroup, 9, |learned| joins(&learned.member, &[0, 1]));
    ask(script, "it may keep one", ApiKey::SyncGroup, 5, syncs);
    live(script, "it is to say so");
    ask(script, "it has one", ApiKey::JoinGroup, 9, |learned| joins(&learned.member, &[0]));
    ask(script, "it keeps that", ApiKey::SyncGroup, 5, syncs);
    live(script, "all is well");
    ask(script, "of another generation", ApiKey::Heartbeat, 4, |learned| {
        lives(&learned.member, learned.generation + 1)
    });
    ask(script, "under another id", ApiKey::Heartbeat, 4, |learned| lives("another-x", learned.generation));
    ask(script, "by the other protocol", ApiKey::Heartbeat, 4, |_| lives("c1", 2).with_group_instance_id(None));
    ask(script, "another protocol", ApiKey::SyncGroup, 5, |learned| {
        syncs(learned).with_protocol_name(Some(text("another")))
    });
    ask(script, "another protocol", ApiKey::JoinGroup, 9, |learned| {
        let mut request = joins(&learned.member, &[0]);
        request.protocols[0].name = text("another");
        request
    });
    ask(script, "without an id", ApiKey::JoinGroup, 9, |_| joining(9, "mg", ""));
    ask(script, "what was let go", ApiKey::ConsumerGroupHeartbeat, 1, |_| beat("c1", 2).with_group_id(id("mg")));
    for version in [8, 9] {
        ask(script, "by both", ApiKey::OffsetCommit, version, move |learned| {
            commit(version, "mg", learned.generation, &learned.member)
        });
        ask(script, "by an older generation", ApiKey::OffsetCommit, version, move |learned| {
            commit(version, "mg", 0, &learned.member)
        });
        ask(script, "by the consumer", ApiKey::OffsetCommit, version, move |_| commit(version, "mg", 2, "c1"));
    }
    ask(script, "its leave, by the other protocol", ApiKey::ConsumerGroupHeartbeat, 1, |_| {
        beat("c2", -1).with_group_id(id("mg")).with_instance_id(Some(text(INSTANCE)))
    });
    describe(script, "of both");
}

fn describe(script: &mut Vec<Exchange>, when: &'static str) {
    ask(script, when, ApiKey::ConsumerGroupDescribe, 1, |_| {
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![id("mg")])
    });
    ask(script, when, ApiKey::DescribeGroups, 6, |_| DescribeGroupsRequest::default().with_groups(vec![id("mg")]));
    ask(script, when, ApiKey::ListGroups, 5, |_| ListGroupsRequest::default());
}

fn alone_again(script: &mut Vec<Exchange>) {
    describe(script, "classic again");
    live(script, "it is to join");
    ask(script, "it joins", ApiKey::JoinGroup, 9, |learned| joins(&learned.member, &[0]));
    ask(script, "it leads again", ApiKey::SyncGroup, 5, syncs);
    describe(script, "in the next generation");
    ask(script, "by its instance", ApiKey::LeaveGroup, 5, |_| {
        let member = MemberIdentity::default().with_group_instance_id(Some(text(INSTANCE)));
        let stranger = MemberIdentity::default().with_group_instance_id(Some(text("stranger")));
        LeaveGroupRequest::default().with_group_id(id("mg")).with_members(vec![member, stranger])
    });
    // A group without members takes whatever protocol is spoken next.
    ask(script, "a consumer alone", ApiKey::ConsumerGroupHeartbeat, 1, |_| coming("c1").with_group_id(id("mg")));
    describe(script, "a consumer alone");
    ask(script, "it goes", ApiKey::ConsumerGroupHeartbeat, 1, |_| beat("c1", -1).with_group_id(id("mg")));
    ask(script, "without members", ApiKey::JoinGroup, 9, |_| joining(9, "mg", ""));
    describe(script, "without members");
}
