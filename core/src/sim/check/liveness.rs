//! **Liveness**: some time after the last fault every write is accepted or refused, and what was accepted is on every
//! replica.
//!
//! It is checked where a scenario says `expect settled`: only the scenario knows that its faults are over.

use crate::view::{ReplicaView, View};

pub(in crate::sim) fn check(view: &View) -> Result<(), String> {
    for producer in &view.producers {
        let settled = producer.acked + producer.failed;
        // Without acknowledgements a producer counts what it has sent off.
        if settled != producer.sent {
            return Err(format!("{}: {} records sent, but {settled} settled", producer.name, producer.sent));
        }
    }
    for topic in &view.topics {
        for (partition, &leader) in (0..).zip(&topic.leaders) {
            let replicas = view.brokers.iter().flat_map(|broker| {
                let mine = |replica: &&ReplicaView| replica.topic == topic.name && replica.partition == partition;
                broker.replicas.iter().filter(mine).map(move |replica| (broker.id, &*broker.name, replica))
            });
            let all: Vec<_> = replicas.collect();
            let led = all.iter().find(|(broker, _, replica)| *broker == leader && replica.leader);
            let Some((.., led)) = led else { return Err(format!("{}-{partition} has no leader", topic.name)) };
            for (broker, name, replica) in &all {
                let name = format!("{}-{partition} on {name}", topic.name);
                if replica.leader && *broker != leader {
                    return Err(format!("{name} leads, too"));
                }
                if !replica.in_sync {
                    return Err(format!("{name} is not in sync"));
                }
                // Groups and transactions write to these all the while.
                if topic.name.starts_with("__") {
                    continue;
                }
                let same = |one: &ReplicaView| (one.leader_epoch, one.high_watermark, one.end, one.batches.clone());
                if same(replica) != same(led) {
                    return Err(format!("{name} is not what its leader is"));
                }
            }
        }
    }
    Ok(())
}
