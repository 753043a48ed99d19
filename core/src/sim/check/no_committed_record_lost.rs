//! **NoCommittedRecordLost**: what was committed is in the log of some replica for as long as retention keeps it.
//!
//! Exempt, and told as such: what every in-sync replica's machine lost when it died, or its disk; what is lost while as
//! many machines as `min.insync.replicas` have died and not returned to the ISR (which of them lost something nobody knows,
//! and KIP-966 tells of the last replica standing, where one is enough: the ISR had shrunk below `min.insync.replicas`,
//! and who was left died); what an unclean election gave up; and what a leader alone had
//! acknowledged (acks=1).

use super::Verdict;
use super::ledger::Ledger;
use crate::id::{BrokerId, Offset};
use crate::time::Instant;

pub(super) const LOSSY: &str = "every machine that was in sync lost what it had not flushed";
pub(super) const WIPED: &str = "every disk that was in sync is gone";
pub(super) const SO_MANY: &str = "as many machines as min.insync.replicas have died with what they had not flushed";
pub(super) const LAST_STANDING: &str = "the last replica standing died with what it had not flushed (KIP-966)";
pub(super) const GIVEN_UP: &str = "a leader that does not know yet what was lost promises what is gone";
pub(super) const UNCLEAN: &str = "unclean.leader.election.enable allows it";
const ALONE: &str = "acks=1 promises what the leader has";

/// A log was cut back, or is gone. Gives how many acknowledged records are lost with that. `exempt` says why the
/// in-sync replicas can lose what they had, where they can.
pub(super) fn check(ledger: &mut Ledger, at: Instant, exempt: Option<&'static str>) -> (u64, Vec<Verdict>) {
    let in_sync = ledger.authority.as_ref().map_or_else(Vec::new, |authority| authority.isr.clone());
    let survives = match exempt {
        // Who is not in sync will be cut back to what those are.
        Some(_) if !in_sync.is_empty() => ledger.survives(|id| in_sync.contains(id)),
        _ => ledger.survives(|_| true),
    };
    let mut lost = Loss::default();
    if survives < ledger.truth.end() {
        let exempt = exempt.or_else(|| allowed(ledger));
        lost.committed(ledger, at, survives, &in_sync, exempt);
    }
    lost.alone(ledger, |ledger, offset, mark| {
        offset < ledger.truth.end() || ledger.replicas.values().any(|replica| replica.marks.get(offset) == mark)
    });
    (lost.acked, lost.verdicts)
}

/// The controller chose a leader that was not in sync: what it does not have is given up.
pub(super) fn elected(ledger: &mut Ledger, at: Instant, leader: BrokerId) -> (u64, Vec<Verdict>) {
    let survives = ledger.survives(|id| *id == leader);
    let mut lost = Loss::default();
    if survives < ledger.truth.end() {
        lost.committed(ledger, at, survives, &[leader], Some(UNCLEAN));
    }
    (lost.acked, lost.verdicts)
}

/// A leader that was elected out of the ISR leads, and its machine had died: what it does not have is given up.
pub(super) fn led(ledger: &mut Ledger, at: Instant, leader: BrokerId) -> (u64, Vec<Verdict>) {
    let survives = ledger.survives(|id| *id == leader);
    let mut lost = Loss::default();
    if survives < ledger.truth.end() {
        let exempt = allowed(ledger);
        lost.committed(ledger, at, survives, &[leader], exempt);
    }
    (lost.acked, lost.verdicts)
}

/// Why a leader that returned with less may be the one to lead.
fn allowed(ledger: &Ledger) -> Option<&'static str> {
    let in_sync = ledger.authority.as_ref().map_or(0, |authority| authority.isr.len());
    match () {
        () if ledger.lossy() >= ledger.min_insync => Some(SO_MANY),
        () if in_sync < ledger.min_insync => Some(LAST_STANDING),
        () => None,
    }
}

/// More is committed: what leaders had acknowledged alone is among it, or is gone.
pub(super) fn committed(ledger: &mut Ledger) -> (u64, Vec<Verdict>) {
    let mut lost = Loss::default();
    lost.alone(ledger, |ledger, offset, mark| offset >= ledger.truth.end() || ledger.truth.get(offset) == mark);
    while ledger.alone.front().is_some_and(|(offset, _)| *offset < ledger.truth.end()) {
        ledger.alone.pop_front();
    }
    (lost.acked, lost.verdicts)
}

/// An offset was acknowledged twice, at least once by a leader alone.
pub(super) fn twice(ledger: &Ledger, offset: Offset) -> Verdict {
    let found = format!("{} offset {offset} is another record: an acknowledged one is gone", ledger.name);
    Err(("NoCommittedRecordLost", found, Some(ALONE)))
}

#[derive(Default)]
struct Loss {
    acked: u64,
    verdicts: Vec<Verdict>,
}

impl Loss {
    fn committed(
        &mut self,
        ledger: &mut Ledger,
        at: Instant,
        end: Offset,
        heirs: &[BrokerId],
        exempt: Option<&'static str>,
    ) {
        let gone = ledger.truth.end() - end;
        let acked = ledger.acked.count(end, Offset::MAX);
        ledger.acked.remove(end, Offset::MAX);
        ledger.forget(at, end, heirs);
        self.acked += acked;
        let found =
            format!("{} ends at {end}: {gone} committed records are gone, {acked} of them acknowledged", ledger.name);
        self.verdicts.push(Err(("NoCommittedRecordLost", found, exempt)));
    }

    fn alone(&mut self, ledger: &mut Ledger, is_there: impl Fn(&Ledger, Offset, u64) -> bool) {
        if ledger.alone.is_empty() {
            return;
        }
        let all = std::mem::take(&mut ledger.alone);
        let (there, gone) = all.into_iter().partition(|(offset, mark)| is_there(ledger, *offset, *mark));
        ledger.alone = there;
        let gone: std::collections::VecDeque<(Offset, u64)> = gone;
        if gone.is_empty() {
            return;
        }
        let mut acked = 0;
        for (offset, _) in &gone {
            acked += ledger.acked.count(*offset, offset + 1);
            ledger.acked.remove(*offset, offset + 1);
        }
        self.acked += acked;
        let (name, first) = (&ledger.name, gone[0].0);
        let found = format!("{name} is something else from {first} on: {acked} acknowledged records are gone");
        self.verdicts.push(Err(("NoCommittedRecordLost", found, Some(ALONE))));
    }
}
