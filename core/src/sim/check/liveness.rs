//! **Liveness**: some time after the last fault every write is accepted or refused, and what was accepted is on every
//! replica.
//!
//! It is checked where a scenario says `expect settled`: only the scenario knows that its faults are over.

use crate::sim::view::View;

pub(in crate::sim) fn check(view: &View) -> Result<(), String> {
    for producer in &view.producers {
        let settled = producer.acked + producer.failed;
        // Without acknowledgements a producer counts what it has sent off.
        if settled != producer.sent {
            return Err(format!("{}: {} records sent, but {settled} settled", producer.name, producer.sent));
        }
    }
    for topic in &view.topics {
        for (partition, leader) in topic.leaders.iter().enumerate() {
            if *leader < 0 {
                return Err(format!("{}-{partition} has no leader", topic.name));
            }
        }
    }
    Ok(())
}
