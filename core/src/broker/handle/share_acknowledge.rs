//! ShareAcknowledge (KIP-932): a member of a share group says what became of the records that it had
//! ([`crate::broker::share`]), in its session. From version 2 on it can ask for more time with them (KIP-1222), and is told
//! how long that is.

use kafka_protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};

use super::Asked;
use super::share_fetch::session_key;
use crate::broker::share::acknowledge::{Fetch, Open};
use crate::broker::share::partition::Acknowledgement;
use crate::broker::share::session::FINAL_EPOCH;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::protocol::share::renews;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ShareAcknowledgeRequest, out: &mut Vec<Effect>) {
    // Kafka gives no reason.
    let refuse = |asked: Asked, error: ErrorCode, out: &mut Vec<Effect>| {
        asked.reply(ShareAcknowledgeResponse::default().with_error_code(error.code()), out);
    };
    let session = match session_key(body.group_id.as_ref().map(|group| group.as_str()), body.member_id.as_deref()) {
        Ok(session) => session,
        Err(error) => return refuse(asked, error, out),
    };
    let epoch = body.share_session_epoch;
    if let Err(error) = broker.acknowledge_share_session(&session, epoch) {
        return refuse(asked, error, out);
    }
    let renews = renews(&body.unknown_tagged_fields);
    let mut acknowledgements = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let of_it = partition.acknowledgement_batches.iter().map(|batch| Acknowledgement {
                first_offset: batch.first_offset,
                last_offset: batch.last_offset,
                types: batch.acknowledge_types.clone(),
            });
            acknowledgements.push(((topic.topic_id, partition.partition_index), of_it.collect::<Vec<_>>()));
        }
    }
    let (ticket, version) = (asked.ticket, asked.version);
    broker.open_share(Open::new(asked, session, epoch == FINAL_EPOCH, Fetch::Not));
    broker.acknowledge_all(ticket, version, renews, acknowledgements, out);
    broker.share_settled(ticket, out);
}
