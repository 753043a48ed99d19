//! **EventuallyOwned**: some time after the last fault every partition of a group with live members is owned by one of
//! them, and every live member knows what is its own.
//!
//! It is checked where a scenario says `expect settled`, beside `liveness.rs`.

use crate::view::{ConsumerView, Health, View};

pub(in crate::sim) fn check(view: &View) -> Result<(), String> {
    let live = |consumer: &&ConsumerView| consumer.health == Health::Running && consumer.group.is_some();
    for consumer in view.consumers.iter().filter(live) {
        let id = consumer.group.as_deref().unwrap_or_default();
        let Some(group) = view.groups.iter().find(|group| group.id == id) else {
            return Err(format!("nobody coordinates group {id}"));
        };
        if group.state != "Stable" {
            return Err(format!("group {id} is {}", group.state));
        }
        let members = view.consumers.iter().filter(live).filter(|other| other.group == consumer.group);
        let (count, known) = (members.count(), group.members.len());
        if count != known {
            return Err(format!("group {id} has {known} members, and {count} consumers are in it"));
        }
        if consumer.unplaced > 0 {
            return Err(format!("{} does not know where to begin", consumer.name));
        }
        for topic in consumer.topics.iter().filter_map(|name| view.topics.iter().find(|topic| topic.name == *name)) {
            for partition in 0..topic.partitions as i32 {
                let own = (topic.name.clone(), partition);
                if !group.members.iter().any(|member| member.assigned.contains(&own)) {
                    return Err(format!("group {id}: nobody owns {}-{partition}", topic.name));
                }
            }
        }
    }
    Ok(())
}
