//! DescribeShareGroupOffsets: asked of each group's coordinator ([`crate::coordinator::group::share::offsets`]), answered when
//! all of them have answered. Without topics, of every partition that has a state.

use kafka_protocol::messages::describe_share_group_offsets_response::DescribeShareGroupOffsetsResponseGroup;
use kafka_protocol::messages::{DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, ResponseKind};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::Waiter;
use crate::coordinator::group::Ask;
use crate::coordinator::group::share::offsets::Described;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: DescribeShareGroupOffsetsRequest, out: &mut Vec<Effect>) {
    broker.gathers.begin(asked.clone(), body.groups.len(), whole, out);
    for (part, group) in body.groups.into_iter().enumerate() {
        let waiter = Waiter::from(asked.clone()).part(part);
        let id = group.group_id.clone();
        let refused = DescribeShareGroupOffsetsResponseGroup::default().with_group_id(id.clone());
        let template = DescribeShareGroupOffsetsResponse::default().with_groups(vec![refused]);
        let ask = |waiter, _| Ask::DescribeShareOffsets(Described::new(waiter, group));
        broker.ask_group(waiter, &id, template, ask, out);
    }
}

fn whole(_version: i16, parts: Vec<ResponseKind>) -> ResponseKind {
    let groups = parts.into_iter().flat_map(|part| match part {
        ResponseKind::DescribeShareGroupOffsets(body) => body.groups,
        _ => Vec::new(),
    });
    DescribeShareGroupOffsetsResponse::default().with_groups(groups.collect()).into()
}
