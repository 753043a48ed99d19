//! A member on its way from what it has to what it should have: first it lets go, then it takes what others have let go of.

use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::assignment::{self, Owned, Partitions};
use super::{Consumer, Member, MemberState};
use crate::controller::Refusal;
use crate::error::ErrorCode;
use crate::protocol::cluster::ClusterState;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// What a member is brought to.
pub struct Reconciliation<'a> {
    pub group: &'a Consumer,
    pub cluster: &'a ClusterState,
    pub target_epoch: i32,
    pub target: &'a Partitions,
    /// It wants other topics than before.
    pub wants_other: bool,
    /// What the member says that it has; `None` where it does not say.
    pub owned: Option<&'a [TopicPartitions]>,
}

impl Reconciliation<'_> {
    /// The member as it is now.
    pub fn apply(&self, member: &Member) -> Result<Member, Refusal> {
        match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => Ok(self.next(member, member.epoch)),
            MemberState::Stable if self.wants_other => Ok(self.drop_unwanted(member)),
            MemberState::Stable => Ok(member.clone()),
            // It may have to let go of more, where it wants other topics.
            MemberState::UnrevokedPartitions if self.still_owns(&member.revoking) => {
                Ok(if self.wants_other { self.drop_unwanted(member) } else { member.clone() })
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => Ok(self.next(member, member.epoch)),
            MemberState::Unknown if self.owned.is_none_or(|owned| !owned.is_empty()) => Err((
                ErrorCode::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
                    .to_owned(),
            )),
            MemberState::Unknown => Ok(self.next(member, self.target_epoch)),
        }
    }

    /// The step towards the target that can be made.
    fn next(&self, member: &Member, epoch: i32) -> Member {
        let wanted = self.wanted_topics(member);
        let (mut assigned, mut revoking): (Owned, Owned) = Default::default();
        let mut free: VecMap<Uuid, VecSet<i32>> = VecMap::new();
        let mut unreleased = false;
        let nothing = VecSet::new();
        let topics: VecSet<Uuid> = self.target.keys().chain(member.assigned.keys()).copied().collect();
        for topic in topics {
            let target = self.target.get(&topic).filter(|_| wanted.contains(&topic)).unwrap_or(&nothing);
            let none = VecMap::new();
            let has = member.assigned.get(&topic).unwrap_or(&none);
            for (&partition, &since) in has {
                let keeps = target.contains(&partition);
                let to = if keeps { &mut assigned } else { &mut revoking };
                to.entry(topic).or_default().insert(partition, since);
            }
            for &partition in target.iter().filter(|partition| !has.contains_key(partition)) {
                // What this member itself has to let go of it may as well keep.
                let taken =
                    self.group.is_owned(topic, partition) && !assignment::holds(&member.revoking, topic, partition);
                if taken {
                    unreleased = true;
                } else {
                    free.entry(topic).or_default().insert(partition);
                }
            }
        }
        let mut member = member.clone();
        if !revoking.is_empty() && self.still_owns(&revoking) {
            member.state = MemberState::UnrevokedPartitions;
            member.advance(epoch);
            (member.assigned, member.revoking) = (Arc::new(assigned), Arc::new(revoking));
            return member;
        }
        for (topic, partitions) in free {
            let partitions = partitions.into_iter().map(|partition| (partition, self.target_epoch));
            assigned.entry(topic).or_default().extend(partitions);
        }
        member.state = if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        member.advance(self.target_epoch);
        (member.assigned, member.revoking) = (Arc::new(assigned), Arc::default());
        member
    }

    /// The member stays where it is, but for topics that it does not want any more.
    fn drop_unwanted(&self, member: &Member) -> Member {
        let wanted = self.wanted_topics(member);
        let (assigned, unwanted): (Owned, Owned) =
            member.assigned.iter().map(|(id, it)| (*id, it.clone())).partition(|(topic, _)| wanted.contains(topic));
        if unwanted.is_empty() {
            return member.clone();
        }
        let mut revoking = Owned::clone(&member.revoking);
        for (topic, partitions) in unwanted {
            revoking.entry(topic).or_default().extend(partitions);
        }
        let mut member = member.clone();
        member.advance(member.epoch);
        member.assigned = Arc::new(assigned);
        if self.still_owns(&revoking) {
            member.state = MemberState::UnrevokedPartitions;
            member.revoking = Arc::new(revoking);
        }
        member
    }

    /// Where the member does not say, it may.
    fn still_owns(&self, partitions: &Owned) -> bool {
        let Some(owned) = self.owned else { return true };
        owned
            .iter()
            .any(|topic| topic.partitions.iter().any(|&index| assignment::holds(partitions, topic.topic_id, index)))
    }

    fn wanted_topics(&self, member: &Member) -> VecSet<Uuid> {
        wanted_topics(self.group, member, self.cluster)
    }
}

/// The topics that a member wants and that there are. A regular expression means none until it is known which.
pub fn wanted_topics(group: &Consumer, member: &Member, cluster: &ClusterState) -> VecSet<Uuid> {
    let resolved = member.regex().and_then(|regex| group.regexes.get(regex));
    let by_regex = resolved.map(|resolved| &resolved.topics[..]).unwrap_or_default();
    let names: VecSet<&Arc<str>> = member.wants.subscribed_topic_names.iter().chain(by_regex).collect();
    let id = |name: &Arc<str>| {
        let name = TopicName(StrBytes::from_string(name.to_string()));
        cluster.topics.get(&name).map(|topic| topic.id)
    };
    names.into_iter().filter_map(id).collect()
}
