//! Which brokers a partition's replicas go to.
//!
//! `placement=notes`, the notes' chapter "Partition Allocation", step by step:
//!
//! 1. Put the brokers into an ordered list in which the next broker is from another rack than the last, as long as racks
//!    last.
//! 2. Leaders first: round robin over the list.
//! 3. Each further round of replicas the same way, but begun one broker later.
//!
//! That spreads every partition over racks as long as the racks are of one size. The notes do not say what to do where they
//! are not, and the list ends, or closes to a ring, with brokers of one rack side by side. There a replica would lie beside
//! another one in its rack while another rack has none, and that rack's failure would take both. So one rule more, Kafka's
//! own:
//!
//! 4. A broker in whose rack the partition has a replica already is skipped as long as there is a rack in which it has none.
//!    Who takes its place changes with every time round the list, so that not one broker gets all that is skipped.
//!
//! Brokers without a rack count as those of one more. Where racks are of one size nothing is ever skipped, and the notes'
//! worked example is as they have it.
//!
//! The notes draw the first broker of the list by lot; here the list is rotated by how many partitions the cluster has
//! already, so that small topics do not pile up on one broker and the same history places the same way.
//!
//! `placement=kafka`, Kafka 3.9's `AdminUtils.assignReplicasToBrokers`: the same list and the same round robin, but from a
//! random broker on; the further replicas are a random number of brokers away, one more with every time round the list,
//! and skip a rack that has one while there is one that has none.

use super::Refusal;
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::Registration;
use crate::rng::Stream;
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

type Brokers = VecMap<BrokerId, Registration>;

/// The replicas of `count` new partitions, the preferred leader first, as the notes place them.
pub fn place(
    brokers: &Brokers,
    start: usize,
    count: usize,
    replication_factor: usize,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    check(brokers, replication_factor)?;
    let list = alternate_racks(brokers);
    Ok((start..start + count).map(|first| replicas(brokers, &list, first, replication_factor)).collect())
}

/// Of one partition, whose leader is the `first` broker of the list, counted on over its end.
fn replicas(brokers: &Brokers, list: &[BrokerId], first: usize, replication_factor: usize) -> Vec<BrokerId> {
    let rack = |id: &BrokerId| &brokers[id].rack;
    let racks = list.iter().map(rack).collect::<VecSet<_>>().len();
    let mut replicas: Vec<BrokerId> = Vec::with_capacity(replication_factor);
    for round in 0..replication_factor {
        let used: VecSet<_> = replicas.iter().map(rack).collect();
        let fits = |id: &BrokerId| !replicas.contains(id) && (used.len() == racks || !used.contains(rack(id)));
        let next = list[(first + round) % list.len()];
        if fits(&next) {
            replicas.push(next);
            continue;
        }
        let others: Vec<BrokerId> = (1..list.len()).map(|step| list[(first + round + step) % list.len()]).collect();
        let others: Vec<BrokerId> = others.into_iter().filter(fits).collect();
        // There are as many brokers as replicas at least, and a rack without a replica has a broker without one.
        replicas.push(others[first / list.len() % others.len()]);
    }
    replicas
}

/// The same as Kafka places them; `first` is the index of the first of the new partitions.
pub fn place_as_kafka(
    brokers: &Brokers,
    first: usize,
    count: usize,
    replication_factor: usize,
    dice: &mut Stream,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    check(brokers, replication_factor)?;
    let racked = brokers.values().filter(|broker| broker.rack.is_some()).count();
    if racked > 0 && racked < brokers.len() {
        let message = "Not all brokers have rack information for replica rack aware assignment.".to_owned();
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    let list = if racked > 0 { alternate_racks(brokers) } else { brokers.keys().copied().collect() };
    let racks = brokers.values().map(|broker| &broker.rack).collect::<VecSet<_>>().len();
    let (start, mut shift) = (dice.below(list.len() as u64) as usize, dice.below(list.len() as u64) as usize);
    let mut placed = Vec::with_capacity(count);
    for partition in first..first + count {
        if partition > 0 && partition % list.len() == 0 {
            shift += 1;
        }
        let leader = (partition + start) % list.len();
        let mut replicas = vec![list[leader]];
        // Every broker comes by within as many steps as there are others.
        for step in (0..).take((list.len() - 1) * replication_factor) {
            if replicas.len() == replication_factor {
                break;
            }
            let shift = if racked > 0 { shift * racks } else { shift };
            let broker = list[(leader + 1 + (shift + step) % (list.len() - 1)) % list.len()];
            let rack = |id: &BrokerId| &brokers[id].rack;
            let used: VecSet<_> = replicas.iter().map(rack).collect();
            let rack_fits = racked == 0 || !used.contains(rack(&broker)) || used.len() == racks;
            if rack_fits && !replicas.contains(&broker) {
                replicas.push(broker);
            }
        }
        placed.push(replicas);
    }
    Ok(placed)
}

fn check(brokers: &Brokers, replication_factor: usize) -> Result<(), Refusal> {
    if replication_factor <= brokers.len() {
        return Ok(());
    }
    Err((
        ErrorCode::InvalidReplicationFactor,
        format!(
            "Unable to replicate the partition {replication_factor} time(s): The target replication factor of \
             {replication_factor} cannot be reached because only {} broker(s) are registered or some brokers have all \
             their log directories cordoned.",
            brokers.len()
        ),
    ))
}

/// The brokers, racks in turn: from each rack its first, then from each its second, and so on.
fn alternate_racks(brokers: &Brokers) -> Vec<BrokerId> {
    let mut racks: VecMap<Option<&str>, Vec<BrokerId>> = VecMap::new();
    for broker in brokers.values() {
        racks.entry(broker.rack.as_deref()).or_default().push(broker.id);
    }
    let deepest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..deepest).flat_map(|depth| racks.values().filter_map(move |rack| rack.get(depth).copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::broker;
    use super::*;
    use crate::rng::Seed;

    fn cluster(racks: &[(i32, &str)]) -> Brokers {
        racks.iter().map(|&(id, rack)| (BrokerId(id), broker(id, Some(rack)))).collect()
    }

    #[test]
    fn the_notes_example_puts_4_5_6_6_5_4_replicas_down_the_ordered_list() {
        let brokers = cluster(&[(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "b")]);
        let list = alternate_racks(&brokers);
        assert_eq!(list, [1, 4, 2, 5, 3, 6].map(BrokerId));
        let placed = place(&brokers, 0, 10, 3).unwrap();
        let count = |id| placed.iter().flatten().filter(|&&replica| replica == id).count();
        assert_eq!(list.iter().map(|&id| count(id)).collect::<Vec<_>>(), [4, 5, 6, 6, 5, 4]);
        for replicas in &placed {
            let on_a = replicas.iter().filter(|id| id.0 <= 3).count();
            assert!(on_a == 1 || on_a == 2, "{replicas:?} lie in one rack");
        }
    }

    #[test]
    fn racks_of_several_sizes_are_skipped_to_and_share_what_is_skipped() {
        // One more in rack a: the ring a b a b a has two of it side by side.
        let brokers = cluster(&[(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "a")]);
        let placed = place(&brokers, 0, 10, 2).unwrap();
        assert_eq!(placed[..4], [[1, 2], [2, 3], [3, 4], [4, 5]].map(|ids| ids.map(BrokerId).to_vec()));
        assert_eq!([&placed[4], &placed[9]], [&[5, 2].map(BrokerId), &[5, 4].map(BrokerId)]);
        let count = |id| placed.iter().flatten().filter(|&&replica| replica == BrokerId(id)).count();
        assert_eq!([2, 4].map(count), [5, 5]);
    }

    #[test]
    fn every_partition_is_on_as_many_racks_as_it_can_be_and_led_by_brokers_in_turn() {
        let dice = &mut Seed(1).stream("racks");
        for _ in 0..300 {
            let count = dice.between(1, 12) as i32;
            let racks = ["a", "b", "c", "d"];
            let brokers: Vec<_> = (1..=count).map(|id| (id, racks[dice.below(4) as usize])).collect();
            let (brokers, start) = (cluster(&brokers), dice.below(30) as usize);
            let factor = dice.between(1, count as u64) as usize;
            let list = alternate_racks(&brokers);
            let rack = |id: &BrokerId| brokers[id].rack.clone();
            let all = list.iter().map(rack).collect::<VecSet<_>>().len();
            let placed = place(&brokers, start, 30, factor).unwrap();
            for (partition, replicas) in placed.iter().enumerate() {
                assert_eq!(replicas[0], list[(start + partition) % list.len()]);
                assert_eq!(replicas.iter().collect::<VecSet<_>>().len(), factor, "{replicas:?}");
                let used = replicas.iter().map(rack).collect::<VecSet<_>>().len();
                assert_eq!(used, all.min(factor), "{replicas:?} of {brokers:?}");
            }
        }
    }

    #[test]
    fn racks_of_one_size_are_dealt_to_as_the_notes_say_and_nothing_is_skipped() {
        for (racks, each) in [(1, 5), (2, 3), (3, 2), (4, 3)] {
            let brokers: Vec<_> =
                (0..racks * each).map(|id| (id, ["a", "b", "c", "d"][(id / each) as usize])).collect();
            let brokers = cluster(&brokers);
            let list = alternate_racks(&brokers);
            for factor in 1..=list.len() {
                for (partition, replicas) in place(&brokers, 2, 40, factor).unwrap().iter().enumerate() {
                    let dealt = (0..factor).map(|round| list[(2 + partition + round) % list.len()]);
                    assert_eq!(*replicas, dealt.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn kafkas_way_spreads_leaders_and_racks_whatever_the_dice_say() {
        let brokers =
            cluster(&[(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c"), (6, "c"), (7, "c"), (8, "a"), (9, "b")]);
        for seed in 0..50 {
            let placed = place_as_kafka(&brokers, 0, 27, 3, &mut Seed(seed).stream("place")).unwrap();
            let mut all = VecMap::<BrokerId, (usize, usize)>::new();
            for replicas in &placed {
                let racks: VecSet<_> = replicas.iter().map(|id| &brokers[id].rack).collect();
                assert_eq!((replicas.len(), racks.len()), (3, 3), "{replicas:?}");
                all.entry(replicas[0]).or_default().0 += 1;
                replicas.iter().for_each(|id| all.entry(*id).or_default().1 += 1);
            }
            assert!(all.values().all(|counts| *counts == (3, 9)), "{all:?}");
        }
    }

    #[test]
    fn kafkas_way_without_racks_is_its_own_example() {
        // From a random broker on, with a shift that grows by one with every time round: AdminUtils' own table begins at
        // broker 0 with a shift of 0.
        let brokers: Brokers = (0..5).map(|id| (BrokerId(id), broker(id, None))).collect();
        let table = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0], [4, 0, 1], [0, 2, 3], [1, 3, 4], [2, 4, 0]];
        let found = (0..500).any(|seed| {
            let placed = place_as_kafka(&brokers, 0, 8, 3, &mut Seed(seed).stream("place")).unwrap();
            placed == table.map(|ids| ids.map(BrokerId).to_vec())
        });
        assert!(found, "no roll of two dice gives it");
    }

    #[test]
    fn a_factor_beyond_the_brokers_is_refused_in_kafkas_words() {
        let (error, message) = place(&cluster(&[(1, "a")]), 0, 1, 3).unwrap_err();
        assert_eq!(error, ErrorCode::InvalidReplicationFactor);
        assert_eq!(
            message,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered or some brokers have all their log directories cordoned."
        );
    }
}
