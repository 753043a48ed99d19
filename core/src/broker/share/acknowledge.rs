//! What members say became of the records that they have had, in a ShareAcknowledge or along with a ShareFetch; and the
//! requests that wait until it is written.

use std::sync::Arc;

use kafka_protocol::messages::share_acknowledge_response as acknowledged;
use kafka_protocol::messages::{BrokerId as WireBroker, ShareAcknowledgeResponse};
use kafka_protocol::protocol::StrBytes;

use super::fetch::Fetched;
use super::partition::{Acknowledgement, RENEW};
use super::session::{SessionKey, TopicPartitionId};
use crate::broker::handle::Asked;
use crate::broker::{Broker, Effect};
use crate::coordinator::share::Key;
use crate::coordinator::share::answer::Refused;
use crate::error::{ErrorCode, NONE};
use crate::id::{BrokerId, Ticket};
use crate::protocol::share::with_lock_timeout_ms;
use crate::vec_map::VecMap;

/// A request that is not answered yet.
#[derive(Clone)]
pub(in crate::broker) struct Open {
    pub asked: Asked,
    pub session: SessionKey,
    /// The member's last request: what it holds comes back.
    pub closes: bool,
    /// What became of its acknowledgements.
    pub acknowledged: Vec<(TopicPartitionId, Result<(), Refused>)>,
    /// Acknowledgements that are not settled yet.
    left: usize,
    pub fetch: Fetch,
}

/// What it fetches.
#[derive(Clone)]
pub(in crate::broker) enum Fetch {
    /// Nothing: it is a ShareAcknowledge.
    Not,
    UnderWay,
    Done(Vec<Fetched>),
}

impl Open {
    pub fn new(asked: Asked, session: SessionKey, closes: bool, fetch: Fetch) -> Open {
        // Its own beginning counts as one that is not settled, so that it is not answered before all of it is asked.
        Open { asked, session, closes, acknowledged: Vec::new(), left: 1, fetch }
    }
}

/// Whether the acknowledgements of one partition make sense.
fn check(acknowledgements: &[Acknowledgement], knows_renewal: bool, renews: bool) -> Result<(), Refused> {
    let most = if knows_renewal { RENEW } else { RENEW - 1 };
    let mut next = -1;
    for Acknowledgement { first_offset, last_offset, types } in acknowledgements {
        let (first, last) = (*first_offset, *last_offset);
        let whole = types.len() == 1 || types.len() as i64 == last.saturating_sub(first).saturating_add(1);
        let is_known = types.iter().all(|kind| (0..=most).contains(kind));
        let is_told = renews || !types.contains(&RENEW);
        if first > last || first <= next || types.is_empty() || !whole || !is_known || !is_told {
            // Kafka gives no reason.
            return Err(Refused { error: ErrorCode::InvalidRequest, message: None });
        }
        next = last;
    }
    Ok(())
}

impl Broker {
    /// Deals with the acknowledgements of a request, one partition after the other.
    pub(in crate::broker) fn acknowledge_all(
        &mut self,
        ticket: Ticket,
        version: i16,
        renews: bool,
        asked: Vec<(TopicPartitionId, Vec<Acknowledgement>)>,
        out: &mut Vec<Effect>,
    ) {
        for (id, acknowledgements) in asked.into_iter().filter(|(_, acknowledgements)| !acknowledgements.is_empty()) {
            let Some(open) = self.sharing.open.get_mut(&ticket) else { return };
            open.left += 1;
            let session = open.session.clone();
            let key = Key { group: session.0.clone(), topic_id: id.0, partition: id.1 };
            let checked = check(&acknowledgements, version >= 2, renews);
            match checked.and_then(|()| self.acknowledge_one(&key, &session.1, &acknowledgements, ticket, out)) {
                Ok(true) => {}
                Ok(false) => self.acknowledged(ticket, &key, Ok(()), out),
                Err(refused) => self.acknowledged(ticket, &key, Err(refused), out),
            }
        }
    }

    /// True where the answer must wait.
    fn acknowledge_one(
        &mut self,
        key: &Key,
        member: &Arc<str>,
        acknowledgements: &[Acknowledgement],
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) -> Result<bool, Refused> {
        let name = self.topic_names.get(&key.topic_id).cloned().ok_or(ErrorCode::UnknownTopicId)?;
        let log = self.hosted(&name, key.partition)?;
        self.slot(log).ok_or(ErrorCode::NotLeaderOrFollower)?.led_in(-1)?;
        let delivery = self.delivery(&key.group);
        let until = self.now.instant + delivery.record_lock_duration;
        let shared = self.sharing.shared.get_mut(key).and_then(|shared| shared.partition.as_mut());
        let partition = shared.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let pending = partition
            .acknowledge(member, acknowledgements, until, &delivery)
            .map_err(|invalid| Refused::because(invalid.error, invalid.why))?;
        let waits = pending.is_some();
        self.share_changed(key, pending, Some(ticket), out);
        Ok(waits)
    }

    /// It is known what became of one.
    pub(super) fn acknowledged(
        &mut self,
        ticket: Ticket,
        key: &Key,
        result: Result<(), Refused>,
        out: &mut Vec<Effect>,
    ) {
        // The client may have gone.
        let Some(open) = self.sharing.open.get_mut(&ticket) else { return };
        open.acknowledged.push(((key.topic_id, key.partition), result));
        self.share_settled(ticket, out);
    }

    /// One of the things that a request waits for is done; with the last it is answered.
    pub(in crate::broker) fn share_settled(&mut self, ticket: Ticket, out: &mut Vec<Effect>) {
        let Some(open) = self.sharing.open.get_mut(&ticket) else { return };
        open.left -= 1;
        self.answer_share(ticket, out);
    }

    pub(super) fn answer_share(&mut self, ticket: Ticket, out: &mut Vec<Effect>) {
        let is_done = |open: &Open| open.left == 0 && !matches!(open.fetch, Fetch::UnderWay);
        if !self.sharing.open.get(&ticket).is_some_and(is_done) {
            return;
        }
        let Some(open) = self.sharing.open.remove(&ticket) else { return };
        let (session, closes) = (open.session.clone(), open.closes);
        match open.fetch {
            Fetch::Done(_) => self.answer_share_fetch(open, out),
            Fetch::Not | Fetch::UnderWay => self.answer_share_acknowledge(open, out),
        }
        if closes {
            self.close_share_session(&session, out);
        }
    }

    fn answer_share_acknowledge(&mut self, open: Open, out: &mut Vec<Effect>) {
        use acknowledged::{LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareAcknowledgeTopicResponse};
        let delivery = self.delivery(&open.session.0);
        let mut body = ShareAcknowledgeResponse::default();
        // Those of one topic stand together, each once.
        let acknowledged: VecMap<TopicPartitionId, Result<(), Refused>> = open.acknowledged.into_iter().collect();
        for ((topic_id, partition), result) in acknowledged {
            let mut data = PartitionData::default().with_partition_index(partition);
            (data.error_code, data.error_message) = error_of(&result);
            if let Some((leader, epoch)) = self.new_share_leader((topic_id, partition), data.error_code) {
                data.current_leader = LeaderIdAndEpoch::default().with_leader_id(leader.0).with_leader_epoch(epoch);
                if let Some(registration) = self.cluster.brokers.get(&leader)
                    && body.node_endpoints.iter().all(|known| known.node_id.0 != leader.0)
                {
                    body.node_endpoints.push(
                        NodeEndpoint::default()
                            .with_node_id(WireBroker(leader.0))
                            .with_host(StrBytes::from_string(registration.host.clone()))
                            .with_port(i32::from(registration.port))
                            .with_rack(registration.rack.clone().map(StrBytes::from_string)),
                    );
                }
            }
            match body.responses.last_mut().filter(|topic| topic.topic_id == topic_id) {
                Some(topic) => topic.partitions.push(data),
                None => body
                    .responses
                    .push(ShareAcknowledgeTopicResponse::default().with_topic_id(topic_id).with_partitions(vec![data])),
            }
        }
        let body = with_lock_timeout_ms(body, delivery.record_lock_duration.as_millis() as i32);
        open.asked.reply(body, out);
    }

    /// Who leads that partition, where a client is told to look for another leader.
    pub(super) fn new_share_leader(&self, id: TopicPartitionId, error_code: i16) -> Option<(BrokerId, i32)> {
        let tells = [ErrorCode::NotLeaderOrFollower.code(), ErrorCode::FencedLeaderEpoch.code()];
        let name = self.topic_names.get(&id.0).filter(|_| tells.contains(&error_code))?;
        self.assignment(name, id.1).map(|assignment| (assignment.leader, assignment.leader_epoch))
    }
}

/// Code and message.
pub(super) fn error_of(result: &Result<(), Refused>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (NONE, None),
        Err(refused) => (refused.error.code(), refused.message.clone().map(StrBytes::from_string)),
    }
}
