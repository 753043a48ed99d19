//! Answers that several shards give together: each says its part, and the last one sends the whole.

use kafka_protocol::messages::ResponseKind;

use super::Effect;
use super::handle::Asked;
use crate::coordinator::Reply;
use crate::id::{ConnId, Ticket};
use crate::vec_map::VecMap;

#[derive(Clone, Default)]
pub(super) struct Gathers {
    gathers: VecMap<Ticket, Gather>,
}

#[derive(Clone)]
struct Gather {
    asked: Asked,
    /// In the order in which they were asked for.
    parts: Vec<Option<ResponseKind>>,
    left: usize,
    join: Join,
}

/// Makes one answer, of that version, of its parts.
pub(super) type Join = fn(i16, Vec<ResponseKind>) -> ResponseKind;

impl Gathers {
    /// An answer of so many parts is on its way; it is sent at once where there are none.
    pub fn begin(&mut self, asked: Asked, parts: usize, join: Join, out: &mut Vec<Effect>) {
        if parts == 0 {
            let whole = join(asked.version, Vec::new());
            return asked.reply(whole, out);
        }
        let gather = Gather { asked, parts: vec![None; parts], left: parts, join };
        self.gathers.insert(gather.asked.ticket, gather);
    }

    /// Sends an answer, or keeps it until the other parts are there.
    pub fn put(&mut self, reply: Reply, out: &mut Vec<Effect>) {
        let Some(part) = reply.to.part else { return reply.to.asked.reply(reply.body, out) };
        let ticket = reply.to.asked.ticket;
        // The client may have gone.
        let Some(gather) = self.gathers.get_mut(&ticket) else { return };
        if gather.parts[part].replace(reply.body).is_none() {
            gather.left -= 1;
        }
        if gather.left == 0
            && let Some(Gather { asked, parts, join, .. }) = self.gathers.remove(&ticket)
        {
            let whole = join(asked.version, parts.into_iter().flatten().collect());
            asked.reply(whole, out);
        }
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.gathers.retain(|ticket, _| ticket.conn != conn);
    }
}
