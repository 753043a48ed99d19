//! Transactional ids that have not been used for `transactional.id.expiration.ms`: they are forgotten, in memory and in the
//! log. Whoever comes back begins with a new producer id.

use super::record::Record;
use super::{Move, Next, Timer, Transactions};
use crate::coordinator::{Alarm, Around, Decision};
use crate::time::Duration;

/// Ids in one batch: less than any `max.message.bytes` that makes sense.
const AT_ONCE: usize = 500;
/// How soon the next batch follows.
const SOON: Duration = Duration::from_millis(10);

impl Transactions {
    pub(super) fn expire(&self, around: &Around<'_>) -> Decision<Transactions> {
        let limit = around.now.wall.0.saturating_sub(around.settings.transactions.id_expiration_ms);
        let version = i16::from(around.settings.transactions.version >= 1);
        let expired = self.state.ids.iter().filter(|(id, one)| {
            let idle = !matches!(one.stage, super::record::Stage::Ongoing) && !one.stage.is_ending();
            idle && one.last_update_ms <= limit && !self.is_pending(id)
        });
        let ids: Vec<_> = expired.map(|(id, _)| id.clone()).take(AT_ONCE).collect();
        let after = if ids.len() == AT_ONCE { SOON } else { around.settings.transactions.remove_expired_interval };
        let timers = vec![(Timer::Expiration, Alarm::In(after))];
        if ids.is_empty() {
            return Decision { timers, ..Decision::default() };
        }
        Decision {
            timers,
            moves: ids.iter().cloned().map(Move::Pending).collect(),
            records: ids.iter().map(|id| Record { id: id.clone(), value: None, version }).collect(),
            next: Some(Next::Changed(ids)),
            ..Decision::default()
        }
    }
}
