//! **SameMarker**: in all its partitions a transaction ends the same way.
//!
//! Where every transaction has an epoch of its own (KIP-890) a marker says which one it ends; before that, only what is
//! read can show it (G1a).

use super::Verdict;
use super::transactions::Committed;
use crate::id::TopicPartition;
use crate::vec_map::VecMap;

/// How the newest transactions of each producer ended: the epoch, and whether it was committed.
pub(super) type Ends = VecMap<i64, Vec<(i16, bool)>>;

/// Of a producer; markers of one transaction come close together.
const KEPT: usize = 8;

pub(super) fn check(ends: &mut Ends, name: &TopicPartition, committed: &Committed) -> Verdict {
    let header = committed.wrote.header;
    let (Some(commit), Some(open)) = (committed.wrote.commit, &committed.ended) else { return Ok(()) };
    if header.producer_epoch <= open.epoch {
        return Ok(());
    }
    let ends = ends.entry(header.producer_id).or_default();
    let epoch = header.producer_epoch;
    match ends.iter().find(|(known, _)| *known == epoch) {
        Some((_, known)) if *known != commit => {
            let way = |commit| if commit { "committed" } else { "aborted" };
            let (id, here, there) = (header.producer_id, way(commit), way(*known));
            let found =
                format!("the transaction of producer {id} epoch {epoch} is {here} in {name} and {there} elsewhere");
            Err(("SameMarker", found, None))
        }
        Some(_) => Ok(()),
        None => {
            if ends.len() == KEPT {
                ends.remove(0);
            }
            ends.push((epoch, commit));
            Ok(())
        }
    }
}
