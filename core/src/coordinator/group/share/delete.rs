//! DeleteGroups of a share group: the states of its partitions go first, and then the group.
//!
//! ```text
//! Empty ─[everything that has a state is written as deleting]─▶ DeleteShareGroupState ─[all are gone]─▶ tombstones
//!                                                                    └[one is not: the group stays, to be deleted again]
//! ```

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsResponse, GroupId};

use super::super::delete::Delete;
use super::super::turn::Turn;
use super::super::{Groups, wire_text};
use super::calls::{ShareCall, Then, What};
use super::states::{Named, States, combine};
use super::{Share, states};
use crate::coordinator::{Around, Decision, Reply};
use crate::error::{self, ErrorCode};

impl Groups {
    /// The states that there may be are to be deleted; `None` where there are none.
    pub(in super::super) fn delete_states(
        &self,
        around: &Around<'_>,
        group: &Share,
        delete: &Delete,
    ) -> Option<Decision<Groups>> {
        let before = group.states.as_deref()?;
        let mut all = before.initialized.clone();
        combine(&mut all, &before.initializing);
        // What could not be deleted the last time.
        let again: Named = before
            .deleting
            .iter()
            .filter_map(|id| {
                let name = around.topic_names.get(id)?;
                let topic = states::topic(around.cluster, name)?;
                Some((*id, (name.as_str().into(), (0..topic.partitions.len() as i32).collect())))
            })
            .collect();
        combine(&mut all, &again);
        if all.is_empty() {
            return None;
        }
        let mut turn = Turn::new(around, Share::clone(group));
        turn.write_states(&States { deleting: all.keys().copied().collect(), ..States::default() });
        turn.call(ShareCall::of(&group.id, &all, What::Delete, Then::GroupDeleted(delete.clone())));
        Some(turn.decision)
    }

    /// The states are gone, or one of them is not.
    pub(super) fn states_deleted(&self, delete: Delete, error: Option<ErrorCode>) -> Decision<Groups> {
        match error {
            None => self.delete_now(delete),
            Some(error) => Decision { response: Some(answer(delete, Some(error))), ..Decision::default() },
        }
    }
}

pub fn answer(delete: Delete, error: Option<ErrorCode>) -> Reply {
    let result = DeletableGroupResult::default()
        .with_group_id(GroupId(wire_text(&delete.group)))
        .with_error_code(error.map_or(error::NONE, |error| error.code()));
    delete.waiter.reply(DeleteGroupsResponse::default().with_results(vec![result]))
}
