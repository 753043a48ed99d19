//! DeleteGroups: decided by the coordinator of each group ([`crate::coordinator::group::delete`]), answered when all of them
//! have.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, ResponseKind};

use super::Asked;
use crate::arrange::firsts;
use crate::broker::{Broker, Effect};
use crate::coordinator::group::delete::Delete;
use crate::coordinator::group::{Ask, Groups};
use crate::coordinator::{Event, Waiter};

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DeleteGroupsRequest, out: &mut Vec<Effect>) {
    let firsts = firsts(&body.groups_names);
    let groups = body.groups_names.into_iter().zip(firsts);
    let groups: Vec<_> = groups.filter_map(|(id, first)| first.then_some(id)).collect();
    broker.gathers.begin(asked.clone(), groups.len(), whole, out);
    for (part, id) in groups.into_iter().enumerate() {
        let waiter = Waiter::from(asked.clone()).part(part);
        match broker.coordinator_of::<Groups>(&id).map(|(partition, _)| partition) {
            Ok(partition) => {
                let ask = Ask::Delete(Delete { waiter, group: id.as_str().into() });
                broker.coordinate::<Groups>(partition, Event::Asked(ask), out);
            }
            Err(error) => {
                let result = DeletableGroupResult::default().with_group_id(id).with_error_code(error.code());
                let reply = waiter.reply(DeleteGroupsResponse::default().with_results(vec![result]));
                broker.gathers.put(reply, out);
            }
        }
    }
}

fn whole(_version: i16, parts: Vec<ResponseKind>) -> ResponseKind {
    let results = parts.into_iter().flat_map(|part| match part {
        ResponseKind::DeleteGroups(body) => body.results,
        _ => Vec::new(),
    });
    DeleteGroupsResponse::default().with_results(results.collect()).into()
}
