//! What there is to tell of groups: ListGroups, DescribeGroups.
//!
//! Which groups there are is told as it is committed; a classic group's members as they are at the moment, since the log
//! knows of stable generations alone.

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest};
use kafka_protocol::protocol::StrBytes;

use super::classic::{CONSUMER, ClassicState, Member};
use super::share::SHARE;
use super::{Group, Groups, State, wire_text};
use crate::error::ErrorCode;
use crate::vec_set::VecSet;

/// The state of a group that is not there.
const DEAD: &str = "Dead";

/// Which groups are to be listed.
pub struct Filter {
    /// In lower case; empty for all.
    states: VecSet<String>,
    types: VecSet<String>,
}

impl Filter {
    pub fn new(body: &ListGroupsRequest) -> Filter {
        Filter {
            states: body.states_filter.iter().map(|state| state.trim().to_lowercase()).collect(),
            types: body.types_filter.iter().map(|kind| kind.to_lowercase()).collect(),
        }
    }

    fn takes(&self, state: &str, kind: &str) -> bool {
        (self.states.is_empty() || self.states.contains(&state.to_lowercase()))
            && (self.types.is_empty() || self.types.contains(kind))
    }
}

impl Groups {
    pub fn list(&self, committed: &State, filter: &Filter) -> Vec<ListedGroup> {
        let listed = committed.groups.iter().filter_map(|(id, group)| {
            let (state, kind, protocol_type) = match group {
                Group::Classic(value) => {
                    let group = self.classic_as_of(id, value);
                    (group.state.name(), "classic", group.protocol_type.clone().unwrap_or_default())
                }
                Group::Consumer(group) => (group.state(), "consumer", CONSUMER.into()),
                Group::Share(group) => (group.state(), "share", SHARE.into()),
            };
            filter.takes(state, kind).then(|| {
                ListedGroup::default()
                    .with_group_id(GroupId(wire_text(id)))
                    .with_protocol_type(wire_text(&protocol_type))
                    .with_group_state(StrBytes::from_static_str(state))
                    .with_group_type(StrBytes::from_static_str(kind))
            })
        });
        listed.collect()
    }

    pub fn describe(&self, committed: &State, id: &GroupId, version: i16) -> DescribedGroup {
        let answer = DescribedGroup::default().with_group_id(id.clone());
        let Some((known, Group::Classic(value))) = committed.groups.get_key_value(id.as_str()) else {
            let answer = answer.with_group_state(StrBytes::from_static_str(DEAD));
            if version < 6 {
                return answer;
            }
            return answer
                .with_error_code(ErrorCode::GroupIdNotFound.code())
                .with_error_message(Some(StrBytes::from_string(committed.no_classic_group(id))));
        };
        let group = self.classic_as_of(known, value);
        let stable = group.state == ClassicState::Stable;
        let member = |member: &Member| {
            let metadata = if stable { member.metadata(group.protocol.as_deref()) } else { Default::default() };
            DescribedGroupMember::default()
                .with_member_id(wire_text(&member.id))
                .with_group_instance_id(member.instance_id.as_ref().map(wire_text))
                .with_client_id(wire_text(&member.client_id))
                .with_client_host(wire_text(&member.client_host))
                .with_member_metadata(metadata)
                .with_member_assignment(member.assignment.clone())
        };
        let protocol = group.protocol.as_ref().filter(|_| stable).map(wire_text);
        answer
            .with_group_state(StrBytes::from_static_str(group.state.name()))
            .with_protocol_type(group.protocol_type.as_ref().map(wire_text).unwrap_or_default())
            .with_protocol_data(protocol.unwrap_or_default())
            .with_members(group.members.values().map(|one| member(one)).collect())
    }
}

impl State {
    fn no_classic_group(&self, id: &str) -> String {
        match self.groups.get(id) {
            None => format!("Group {id} not found."),
            Some(_) => format!("Group {id} is not a classic group."),
        }
    }
}
