//! ShareFetch (KIP-932): a member of a share group gets records, and says what became of those that it had
//! ([`crate::broker::share`]).
//!
//! From version 2 on a member can ask for not a record more than it names (KIP-1206), and for more time with those that
//! it has (KIP-1222): then it gets none.

use kafka_protocol::messages::{ShareFetchRequest, ShareFetchResponse};

use super::Asked;
use crate::broker::share::acknowledge::{Fetch, Open};
use crate::broker::share::fetch::Terms;
use crate::broker::share::partition::{Acknowledgement, Wish};
use crate::broker::share::session::{FINAL_EPOCH, INITIAL_EPOCH, SessionKey};
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::protocol::share::{is_strict, renews};
use crate::time::Duration;

/// Characters of a member's id, as Java counts them: a UUID in its usual form.
const MAX_MEMBER_ID: usize = 36;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ShareFetchRequest, out: &mut Vec<Effect>) {
    // Kafka gives no reason.
    let refuse = |asked: Asked, error: ErrorCode, out: &mut Vec<Effect>| {
        asked.reply(ShareFetchResponse::default().with_error_code(error.code()), out);
    };
    let session = match session_key(body.group_id.as_ref().map(|group| group.as_str()), body.member_id.as_deref()) {
        Ok(session) => session,
        Err(error) => return refuse(asked, error, out),
    };
    let renews = renews(&body.unknown_tagged_fields);
    // Who renews fetches nothing.
    if renews && [body.max_bytes, body.min_bytes, body.max_records, body.max_wait_ms] != [0; 4] {
        return refuse(asked, ErrorCode::InvalidRequest, out);
    }
    let epoch = body.share_session_epoch;
    let strict = is_strict(&body);
    let mut wanted = Vec::new();
    let mut acknowledgements = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let id = (topic.topic_id, partition.partition_index);
            wanted.push(id);
            let of_it = partition.acknowledgement_batches.iter().map(|batch| Acknowledgement {
                first_offset: batch.first_offset,
                last_offset: batch.last_offset,
                types: batch.acknowledge_types.clone(),
            });
            acknowledgements.push((id, of_it.collect::<Vec<_>>()));
        }
    }
    if epoch == INITIAL_EPOCH && acknowledgements.iter().any(|(_, of_it)| !of_it.is_empty()) {
        return refuse(asked, ErrorCode::InvalidRequest, out);
    }
    let forgotten = body.forgotten_topics_data.iter();
    let forgotten: Vec<_> =
        forgotten.flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition))).collect();
    let most = broker.settings.share.max_sessions;
    let opened = broker.open_share_session(&session, (epoch, asked.ticket.conn), &wanted, &forgotten, most);
    let wanted = match opened {
        Ok(wanted) => wanted,
        Err(error) => return refuse(asked, error, out),
    };
    let (ticket, version, now) = (asked.ticket, asked.version, asked.now.instant);
    let fetches = epoch != FINAL_EPOCH && !renews;
    let fetch = if fetches { Fetch::UnderWay } else { Fetch::Done(Vec::new()) };
    broker.open_share(Open::new(asked, session.clone(), epoch == FINAL_EPOCH, fetch));
    broker.acknowledge_all(ticket, version, renews, acknowledgements, out);
    if fetches {
        let terms = Terms {
            wish: Wish {
                member: session.1.clone(),
                max_records: body.max_records.max(0) as usize,
                batch_size: body.batch_size.max(1) as usize,
                strict,
            },
            deadline: now + Duration::from_millis(body.max_wait_ms.max(0) as u64),
            min_bytes: body.min_bytes,
            max_bytes: body.max_bytes,
            turn: epoch as usize,
            last: body.max_wait_ms <= 0,
        };
        broker.fetch_shares(ticket, &session.0, terms, wanted, out);
    }
    broker.share_settled(ticket, out);
}

/// Errors: `InvalidRequest`.
pub(super) fn session_key(group: Option<&str>, member: Option<&str>) -> Result<SessionKey, ErrorCode> {
    let member = member.filter(|id| is_member_id(id));
    group.zip(member).map(|(group, member)| (group.into(), member.into())).ok_or(ErrorCode::InvalidRequest)
}

pub(super) fn is_member_id(id: &str) -> bool {
    !id.is_empty() && id.encode_utf16().count() <= MAX_MEMBER_ID
}
