//! OffsetFetch, of one group: the offsets that it has committed.

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::offsets::{Committed, Partitions};
use super::record::OffsetKey;
use super::{Group, Groups, State};
use crate::coordinator::{Around, Decision, Waiter};
use crate::error::ErrorCode;
use crate::protocol::by_id;
use crate::protocol::cluster::ClusterState;

/// A group of an OffsetFetch that asks for stable offsets.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub waiter: Waiter,
    pub group: OffsetFetchRequestGroup,
}

impl Groups {
    /// The answer waits for every write that it was read from.
    pub(super) fn fetch_stable(&self, around: &Around<'_>, fetch: Fetch) -> Decision<Groups> {
        let Fetch { waiter, group } = fetch;
        let by_id = (waiter.asked.version >= by_id::FIRST).then_some(around.cluster);
        let answer = self.state.fetch(&group, true, by_id).unwrap_or_else(|error| refused(&group, error));
        let body = OffsetFetchResponse::default().with_groups(vec![answer]);
        Decision { response: Some(waiter.reply(body)), ..Decision::default() }
    }
}

impl State {
    /// What the group has committed of the topics that are asked for, or of all. A partition of which it has nothing has the
    /// offset −1; with `stable`, one of which an open transaction has something is UNSTABLE_OFFSET_COMMIT. Where topics are
    /// asked for `by_id`, those without a name are not there, and of all, those without an id cannot be told.
    ///
    /// Errors: of one who says that it is a member of a consumer group, and is none: `UnknownMemberId`, `StaleMemberEpoch`,
    /// `IllegalGeneration`.
    pub fn fetch(
        &self,
        asked: &OffsetFetchRequestGroup,
        stable: bool,
        by_id: Option<&ClusterState>,
    ) -> Result<OffsetFetchResponseGroup, ErrorCode> {
        match self.groups.get(asked.group_id.as_str()) {
            Some(Group::Consumer(group)) => group.may_fetch(asked.member_id.as_deref(), asked.member_epoch)?,
            Some(Group::Share(_)) => return Err(ErrorCode::GroupIdNotFound),
            Some(Group::Classic(_)) | None => {}
        }
        let answer = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
        let key = |topic: &str, partition| OffsetKey {
            group: asked.group_id.as_str().into(),
            topic: topic.into(),
            partition,
        };
        let one = |topic: &str, partition, committed: Option<&Committed>| {
            let none = nothing(partition);
            match committed {
                _ if stable && self.offsets.is_pending(&key(topic, partition)) => {
                    none.with_error_code(ErrorCode::UnstableOffsetCommit.code())
                }
                Some(committed) => none
                    .with_committed_offset(committed.value.offset)
                    .with_committed_leader_epoch(committed.value.leader_epoch)
                    .with_metadata(Some(StrBytes::from_string(committed.value.metadata.to_string()))),
                None => none,
            }
        };
        let known = self.offsets.of(&asked.group_id);
        let topics = match &asked.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| {
                    let partitions: Option<&Partitions> = known.and_then(|topics| topics.get(topic.name.as_str()));
                    let is_there = by_id.is_none() || !topic.name.is_empty();
                    let answers = topic.partition_indexes.iter().map(|&partition| {
                        if !is_there {
                            return nothing(partition).with_error_code(ErrorCode::UnknownTopicId.code());
                        }
                        one(&topic.name, partition, partitions.and_then(|known| known.get(&partition)).map(|it| &**it))
                    });
                    OffsetFetchResponseTopics::default()
                        .with_name(topic.name.clone())
                        .with_topic_id(topic.topic_id)
                        .with_partitions(answers.collect())
                })
                .collect(),
            None => known
                .into_iter()
                .flatten()
                .filter_map(|(topic, partitions)| {
                    let name = TopicName(StrBytes::from_string(topic.to_string()));
                    let id = match by_id {
                        Some(cluster) => cluster.topics.get(&name)?.id,
                        None => Uuid::nil(),
                    };
                    let answers =
                        partitions.iter().map(|(&partition, committed)| one(topic, partition, Some(committed)));
                    let answer = OffsetFetchResponseTopics::default().with_name(name).with_topic_id(id);
                    Some(answer.with_partitions(answers.collect()))
                })
                .collect(),
        };
        Ok(answer.with_topics(topics))
    }
}

/// The answer that says why not.
pub fn refused(asked: &OffsetFetchRequestGroup, error: ErrorCode) -> OffsetFetchResponseGroup {
    let topics = asked.topics.iter().flatten().map(|topic| {
        let refused = |&index| nothing(index).with_error_code(error.code());
        OffsetFetchResponseTopics::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partition_indexes.iter().map(refused).collect())
    });
    OffsetFetchResponseGroup::default()
        .with_group_id(asked.group_id.clone())
        .with_error_code(error.code())
        .with_topics(topics.collect())
}

/// The answer for a partition of which nothing is known.
pub fn nothing(partition: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
}
