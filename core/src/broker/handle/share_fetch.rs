//! ShareFetch (KIP-932): a member of a share group gets records, and says what became of those that it had
//! ([`crate::broker::share`]).
//!
//! From version 2 on a member can ask for not a record more than it names (KIP-1206), and for more time with those that
//! it has (KIP-1222): then it gets none.

use kafka_protocol::messages::{ShareFetchRequest, ShareFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::share::acknowledge::{Fetch, Open};
use crate::broker::share::fetch::Terms;
use crate::broker::share::partition::{Acknowledgement, Wish};
use crate::broker::share::session::{FINAL_EPOCH, INITIAL_EPOCH};
use crate::broker::{Broker, Effect};
use crate::error::{self, ErrorCode};
use crate::protocol::share::{is_strict, renews};
use crate::time::Duration;

/// Of a member's id.
const MAX_MEMBER_ID: usize = 36;

pub(super) fn handle(broker: &mut Broker, asked: Asked, body: ShareFetchRequest, out: &mut Vec<Effect>) {
    let refuse = |asked: Asked, error: ErrorCode, why: Option<String>, out: &mut Vec<Effect>| {
        let message = why.unwrap_or_else(|| error::message(error).into_owned());
        let body = ShareFetchResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message)));
        asked.reply(body, out);
    };
    let session = match session_key(body.group_id.as_ref().map(|group| group.as_str()), body.member_id.as_deref()) {
        Ok(session) => session,
        Err(why) => return refuse(asked, ErrorCode::InvalidRequest, Some(why.to_owned()), out),
    };
    let renews = renews(&body.unknown_tagged_fields);
    if renews && let Some(why) = not_zero(&body) {
        return refuse(asked, ErrorCode::InvalidRequest, Some(why), out);
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
        return refuse(asked, ErrorCode::InvalidRequest, None, out);
    }
    let forgotten = body.forgotten_topics_data.iter();
    let forgotten: Vec<_> =
        forgotten.flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition))).collect();
    let most = broker.settings.share.max_sessions;
    let opened = broker.open_share_session(&session, (epoch, asked.ticket.conn), &wanted, &forgotten, most);
    let wanted = match opened {
        Ok(wanted) => wanted,
        Err(error) => return refuse(asked, error, None, out),
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

/// Errors: in Kafka's words.
pub(super) fn session_key(
    group: Option<&str>,
    member: Option<&str>,
) -> Result<crate::broker::share::session::SessionKey, &'static str> {
    let group = group.ok_or("Invalid group id in the request.")?;
    let member = member.filter(|id| !id.is_empty() && id.encode_utf16().count() <= MAX_MEMBER_ID);
    Ok((group.into(), member.ok_or("Invalid member id in the request.")?.into()))
}

/// What must be 0 where locks are renewed, and is not, in Kafka's words.
fn not_zero(body: &ShareFetchRequest) -> Option<String> {
    let numbers = [
        ("maxBytes", body.max_bytes),
        ("minBytes", body.min_bytes),
        ("maxRecords", body.max_records),
        ("maxWaitMs", body.max_wait_ms),
    ];
    let wrong: String =
        numbers.iter().filter(|(_, is)| *is != 0).map(|(name, _)| format!("{name} must be set to 0, ")).collect();
    (!wrong.is_empty()).then(|| wrong + "if isRenewAck is true.")
}
