//! How a member of the classic protocol joins: JoinGroup, what the leader assigns, SyncGroup, and what comes of it.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, GroupId, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::super::assignor::{Member, Strategy, Topics};
use super::super::settings::GroupSettings;
use super::classic::{Classic, NONE, Stage, is_cooperative, partitions, strategies, times};
use super::coordinator::Coordinator;
use super::offsets::Offsets;
use super::{Around, Ask, Shared, subscription};
use crate::arrange::Arrange;
use crate::client::connection::LinkId;
use crate::client::exception::Exception;
use crate::error::{self, ErrorCode};
use crate::time::Duration;
use crate::vec_set::VecSet;

/// Beyond the time that a rebalance may take.
const JOIN_GRACE: Duration = Duration::from_secs(5);

const PROTOCOL_TYPE: &str = "consumer";

/// The longest reason that is sent.
const MAX_REASON: usize = 255;

impl Classic {
    pub(super) fn join(&mut self, around: &mut Around<'_>, settings: &GroupSettings, shared: &Shared, link: LinkId) {
        self.joined_topics = shared.subscription(around);
        let rack = Some(&around.settings.rack).filter(|rack| !rack.is_empty());
        let protocol = |strategy: &Strategy| {
            let last = self.last.as_ref().map(|(generation, partitions)| (*generation, &partitions[..]));
            let member = Member {
                topics: self.joined_topics.clone(),
                rack: rack.map(|rack| StrBytes::from_string(rack.clone())),
                owned: shared.owned.clone(),
                generation: last.map(|(generation, _)| generation),
                user_data: strategy.user_data(last),
                ..Member::default()
            };
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(strategy.name()))
                .with_metadata(subscription::subscription(&member))
        };
        let (session_timeout, _) = times(settings);
        let reason = self.rejoin.filter(|why| !why.is_empty()).map(|why| &why[..why.len().min(MAX_REASON)]);
        let body = JoinGroupRequest::default()
            .with_group_id(GroupId(shared.id.clone()))
            .with_session_timeout_ms(session_timeout.as_millis() as i32)
            .with_rebalance_timeout_ms(settings.max_poll_interval.as_millis() as i32)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(settings.instance_id.clone())
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(strategies(settings).iter().map(protocol).collect())
            .with_reason(reason.map(StrBytes::from_static_str));
        let (latest, patience) = (ApiKey::JoinGroup.valid_versions().max, settings.max_poll_interval + JOIN_GRACE);
        if around.ask(link, ApiKey::JoinGroup, latest, Ask::Join, patience, body.into()) {
            self.stage = Stage::Joining;
            self.rejoin = None;
        }
    }

    pub fn joined(
        &mut self,
        around: &mut Around<'_>,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        body: JoinGroupResponse,
    ) {
        if self.stage != Stage::Joining {
            return;
        }
        let Some(error) = ErrorCode::try_from_code(body.error_code) else {
            let Some(settings) = &around.settings.group else { return };
            self.failures = 0;
            self.generation = body.generation_id;
            self.member_id.clone_from(&body.member_id);
            self.strategy = body.protocol_name.as_ref().and_then(|name| Strategy::named(name));
            self.is_leader = body.leader == body.member_id;
            self.begin_heartbeats(around.now, settings);
            if self.strategy.is_none() {
                let name = body.protocol_name.unwrap_or_default();
                return shared.fail(
                    around,
                    Exception::illegal_state(format!("Coordinator selected invalid assignment protocol: {name}")),
                );
            }
            self.stage = Stage::Assigning(Box::new(body));
            if let Some(link) = coordinator.link() {
                self.assign(around, settings, shared, link);
            }
            return;
        };
        if coordinator.is_elsewhere(error) {
            return self.join_again(around, "rebalance failed: the coordinator is elsewhere");
        }
        match error {
            ErrorCode::MemberIdRequired => {
                self.member_id = body.member_id;
                self.stage = Stage::Ready;
                self.rejoin = Some("need to re-join with the given member-id");
            }
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::RebalanceInProgress => {
                self.join_again(around, "rebalance failed: the coordinator is not ready");
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                around.note(format!("resets its generation: {}", error::name(error.code())));
                self.reset(error);
            }
            error => {
                self.stage = Stage::Out;
                shared.fail(around, Exception::of(error, None));
            }
        }
    }

    /// A leader shares the partitions out, as soon as it knows all members' topics; whoever follows asks for its own.
    pub(super) fn assign(&mut self, around: &mut Around<'_>, settings: &GroupSettings, shared: &Shared, link: LinkId) {
        let (Stage::Assigning(body), Some(strategy)) = (&self.stage, self.strategy) else { return };
        let mut assignments = Vec::new();
        if self.is_leader && body.skip_assignment {
            self.assigned_on = Some(counts(around, &self.joined_topics));
        } else if self.is_leader {
            let read = |member: &kafka_protocol::messages::join_group_response::JoinGroupResponseMember| {
                let (id, instance_id) = (member.member_id.clone(), member.group_instance_id.clone());
                subscription::read_subscription(id.clone(), instance_id.clone(), member.metadata.clone())
                    .unwrap_or_else(|| Member { id, instance_id, ..Member::default() })
            };
            let members: Vec<Member> = body.members.iter().map(read).collect();
            let topics: VecSet<&TopicName> = members.iter().flat_map(|member| &member.topics).collect();
            shared.keep_metadata(around, |topic| topics.contains(topic));
            let known = topics.iter().filter(|topic| {
                around.metadata.want(around.now, topic);
                let topic = around.metadata.topic(topic);
                topic.is_some_and(|topic| topic.error.is_some() || !topic.partitions.is_empty())
            });
            if known.count() < topics.len() {
                return;
            }
            let racks = |name: &TopicName| {
                let topic = around.metadata.topic(name)?;
                let racks = |at: usize| around.metadata.racks(topic, at).into_iter().collect();
                Some((name.clone(), (0..topic.partitions.len()).map(racks).collect()))
            };
            let known: Topics = topics.iter().filter_map(|name| racks(name)).collect();
            let topics: Vec<TopicName> = topics.into_iter().cloned().collect();
            let shares = strategy.assign(&known, &members, &mut self.max_generation);
            self.assigned_on = Some(counts(around, &topics));
            assignments.extend(shares.into_iter().map(|(member, partitions)| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(member)
                    .with_assignment(subscription::assignment(&partitions))
            }));
        } else {
            shared.keep_metadata(around, |_| false);
            self.assigned_on = None;
        }
        let body = SyncGroupRequest::default()
            .with_group_id(GroupId(shared.id.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(settings.instance_id.clone())
            .with_protocol_type(Some(StrBytes::from_static_str(PROTOCOL_TYPE)))
            .with_protocol_name(Some(StrBytes::from_static_str(strategy.name())))
            .with_assignments(assignments);
        let (latest, ask) = (ApiKey::SyncGroup.valid_versions().max, Ask::Sync { generation: self.generation });
        let patience = settings.max_poll_interval + JOIN_GRACE;
        if around.ask(link, ApiKey::SyncGroup, latest, ask, patience, body.into()) {
            self.stage = Stage::Syncing;
        }
    }

    pub fn synced(
        &mut self,
        around: &mut Around<'_>,
        shared: &mut Shared,
        coordinator: &mut Coordinator,
        generation: i32,
        body: SyncGroupResponse,
    ) {
        if self.stage != Stage::Syncing || generation != self.generation {
            return;
        }
        let Some(error) = ErrorCode::try_from_code(body.error_code) else {
            self.stage = Stage::Synced(body.assignment);
            return;
        };
        coordinator.is_elsewhere(error);
        match error {
            ErrorCode::FencedInstanceId | ErrorCode::GroupAuthorizationFailed => {
                self.stage = Stage::Out;
                shared.fail(around, Exception::of(error, None));
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                around.note(format!("resets its generation: {}", error::name(error.code())));
                self.reset(error);
            }
            ErrorCode::RebalanceInProgress => {
                self.stage = Stage::Out;
                self.request_rejoin("group is already rebalancing");
            }
            _ => self.join_again(around, "rebalance failed: SyncGroup failed"),
        }
    }

    /// The application hears, in poll(), what it may read from now on.
    pub(super) fn complete(
        &mut self,
        around: &mut Around<'_>,
        settings: &GroupSettings,
        shared: &mut Shared,
        offsets: &mut Offsets,
        assignment: Bytes,
    ) {
        self.stage = Stage::Stable;
        self.prepared = false;
        let Some(assigned) = subscription::read_assignment(assignment) else {
            let why = "There are insufficient bytes available to read assignment from the sync-group response";
            return shared.fail(around, Exception::illegal_state(why));
        };
        let subscribed = |topic: &TopicName| {
            let matches = around.settings.pattern.as_ref().is_some_and(|pattern| pattern.is_match(topic));
            matches || shared.topics.contains(topic)
        };
        if assigned.iter().any(|partition| !subscribed(&partition.topic)) {
            return self.request_rejoin("received assignment does not match the current subscription");
        }
        if is_cooperative(settings) {
            let revoked: Vec<_> = shared.owned.iter().filter(|one| !assigned.contains(one)).cloned().collect();
            if !revoked.is_empty() {
                shared.revoke(around, self.generation, revoked);
                self.request_rejoin("need to revoke partitions and re-join");
            }
        }
        for partition in &assigned {
            around.metadata.want(around.now, &partition.topic);
            // The leader knows more topics that match.
            if around.settings.pattern.is_some() && !self.joined_topics.contains(&partition.topic) {
                self.joined_topics.push(partition.topic.clone());
                self.joined_topics.arrange();
            }
        }
        let mut sorted = assigned.clone();
        sorted.arrange();
        self.last = Some((self.generation, sorted));
        debug_assert!(self.generation != NONE, "only who is in a generation is given something");
        offsets.begin(around.now, settings);
        shared.assign(around, self.member_id.clone(), self.generation, assigned);
    }
}

fn counts(around: &Around<'_>, topics: &[TopicName]) -> Vec<(TopicName, usize)> {
    topics.iter().map(|topic| (topic.clone(), partitions(around, topic))).collect()
}
