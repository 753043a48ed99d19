//! What each thing on the stage says about itself in one line, when a hand or the keyboard rests on it.

use ottla_core::view::{
    BatchView, BrokerView, ConsumerView, Fate, Health, ProducerView, ReplicaView, Target, View, ZooKeeperView,
};

use super::broker::leader;
use super::strip::replica;

/// The line of a target; `None` where it is gone.
pub fn line(view: &View, target: &Target) -> Option<String> {
    match target {
        Target::Message { id } => {
            let message = view.messages.iter().find(|message| message.id == *id)?;
            Some(format!("{} → {}: {}", message.from, message.to, message.line))
        }
        Target::Broker { id } => view.brokers.iter().find(|broker| broker.id == *id).map(broker),
        Target::Partition { broker, topic, partition } => {
            let (broker, replica) = find(view, *broker, topic, *partition)?;
            Some(replica_line(view, broker, replica))
        }
        Target::Batch { broker, topic, partition, offset } => {
            let (_, replica) = find(view, *broker, topic, *partition)?;
            let batch = replica.batches.iter().find(|batch| batch.last_offset >= *offset)?;
            Some(batch_line(replica, batch))
        }
        Target::Producer { name } => {
            view.producers.iter().find(|producer| producer.name == *name).map(|it| producer(view, it))
        }
        Target::Consumer { name } => view.consumers.iter().find(|consumer| consumer.name == *name).map(consumer),
        Target::Group { id } => view.groups.iter().find(|group| group.id == *id).map(|group| {
            format!("group {}: {}, {} members, lag {}", group.id, group.state, group.members.len(), group.lag)
        }),
        Target::Transaction { id } => view.transactions.iter().find(|one| one.id == *id).map(|one| {
            format!("transactional id {}: {}, {}", one.id, one.state, counted(one.partitions.len() as u64, "partition"))
        }),
        Target::Topic { name } => view.topics.iter().find(|topic| topic.name == *name).map(|topic| {
            let factor = topic.replication_factor;
            format!("topic {name}: {}, replication factor {factor}", counted(u64::from(topic.partitions), "partition"))
        }),
        Target::ZooKeeper => Some(zookeeper(&view.zookeeper)),
        Target::Znode { path } => Some(path.clone()),
    }
}

fn find<'a>(view: &'a View, broker: i32, topic: &str, partition: i32) -> Option<(&'a BrokerView, &'a ReplicaView)> {
    let broker = view.brokers.iter().find(|known| known.id == broker)?;
    Some((broker, replica(&broker.replicas, topic, partition)?))
}

/// What a replica is to its partition.
pub fn role(view: &View, broker: &BrokerView, replica: &ReplicaView) -> String {
    let place = if replica.in_sync { "in sync" } else { "out of the ISR" };
    match (broker.health, replica.leader) {
        (Health::Dead, _) => match leader(view, &replica.topic, replica.partition) {
            Some(leader) => format!("what lies on its disk, {place}; {} leads", leader.name),
            None => format!("what lies on its disk, {place}; no broker leads"),
        },
        (_, true) => "leader".to_string(),
        (_, false) => format!("follower, {place}"),
    }
}

fn broker(broker: &BrokerView) -> String {
    let mut line = format!("{} at {}:{}", broker.name, broker.host, broker.port);
    if let Some(rack) = &broker.rack {
        line += &format!(", rack {rack}");
    }
    if broker.controller {
        line += ", controller";
    }
    match broker.health {
        Health::Running => {}
        Health::Paused => line += ", paused",
        Health::Dead => return line + ", dead",
    }
    line += &format!(
        ": {}, {} in, {} out",
        counted(u64::from(broker.connections), "connection"),
        bytes(broker.bytes_in),
        bytes(broker.bytes_out)
    );
    if broker.parked > 0 {
        line += &format!(", {} parked", counted(u64::from(broker.parked), "request"));
    }
    line
}

fn zookeeper(zookeeper: &ZooKeeperView) -> String {
    if zookeeper.health == Health::Dead {
        return format!("{}, dead", zookeeper.name);
    }
    let sessions = counted(u64::from(zookeeper.sessions), "session");
    let znodes = counted(u64::from(zookeeper.znodes), "znode");
    format!("{}: {sessions}, {znodes}, {} changes", zookeeper.name, number(zookeeper.zxid))
}

fn replica_line(view: &View, broker: &BrokerView, replica: &ReplicaView) -> String {
    let (name, role) = (&broker.name, role(view, broker, replica));
    let stable = match replica.stable < replica.high_watermark {
        true => format!(", last stable offset {}", number(replica.stable)),
        false => String::new(),
    };
    format!(
        "{}-{} on {name}: {role}, leader epoch {}, offsets {} to {}, high watermark {}{stable}, flushed to {}, {} in {}",
        replica.topic,
        replica.partition,
        replica.leader_epoch,
        number(replica.log_start),
        number(replica.end),
        number(replica.high_watermark),
        number(replica.flushed),
        bytes(replica.bytes),
        counted(u64::from(replica.segments), "segment"),
    )
}

fn batch_line(replica: &ReplicaView, batch: &BatchView) -> String {
    let state = match (batch.last_offset < replica.high_watermark, batch.last_offset < replica.flushed) {
        (true, true) => "committed, flushed",
        (true, false) => "committed, not flushed",
        (false, true) => "above the high watermark, flushed",
        (false, false) => "above the high watermark, not flushed",
    };
    let records = (batch.last_offset - batch.base_offset + 1).max(0) as u64;
    let offsets = if records == 1 {
        format!("offset {}", number(batch.base_offset))
    } else {
        format!("offsets {} to {}", number(batch.base_offset), number(batch.last_offset))
    };
    format!(
        "{}-{} {}, {offsets}: {}, {}, leader epoch {}, {state}",
        replica.topic,
        replica.partition,
        fate(batch.fate),
        counted(records, "record"),
        bytes(u64::from(batch.bytes)),
        batch.leader_epoch,
    )
}

/// What a batch is to transactions.
fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Plain => "batch",
        Fate::Open => "batch of an open transaction",
        Fate::Committed => "batch of a committed transaction",
        Fate::Aborted => "batch of an aborted transaction",
        Fate::CommitMarker => "marker, which says that the transaction before it is committed",
        Fate::AbortMarker => "marker, which says that the transaction before it is aborted",
    }
}

fn producer(view: &View, producer: &ProducerView) -> String {
    let to = if producer.topic.is_empty() { String::new() } else { format!(" to {}", producer.topic) };
    let mut line = format!(
        "{} writes {} records a second{to}: {} sent",
        producer.name,
        rate(producer.rate),
        number(producer.sent as i64),
    );
    if is_live(view) {
        if producer.sent == 0 {
            line = format!("{} has sent no records", producer.name);
        }
        return line;
    }
    line += &format!(", {} acknowledged", number(producer.acked as i64));
    if producer.failed > 0 {
        line += &format!(", {} failed", number(producer.failed as i64));
    }
    if producer.retries > 0 {
        line += &format!(", {} retries", number(producer.retries as i64));
    }
    if producer.buffered > 0 {
        line += &format!(", {} of {} buffered", bytes(producer.buffered), bytes(producer.buffer_memory));
    }
    line + health(producer.health)
}

fn consumer(consumer: &ConsumerView) -> String {
    let group = consumer.group.as_ref().map(|group| format!(" in group {group}")).unwrap_or_default();
    format!(
        "{}{group}: {} received, {}, {}{}",
        consumer.name,
        counted(consumer.received, "record"),
        consumer.known_lag().map_or_else(
            || "it is not known yet how far behind".into(),
            |lag| format!("{} behind", number(lag as i64))
        ),
        counted(consumer.positions.len() as u64, "partition"),
        health(consumer.health)
    )
}

/// Whether a running server made the view: of its clients it knows only what they say to it.
pub fn is_live(view: &View) -> bool {
    view.seed.is_none()
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Running => "",
        Health::Paused => "; paused",
        Health::Dead => "; stopped",
    }
}

fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count as i64), if count == 1 { "" } else { "s" })
}

/// `8,412`.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::from(if n < 0 { "−" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `212 B`, `1.2 kB`, `33.6 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n < 1_000 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1e3;
    let mut unit = 0;
    while size >= 999.95 && unit + 1 < UNITS.len() {
        size /= 1e3;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A partition in so many characters: of two long names that differ in their number it is the number that must stay.
pub fn cut_partition(topic: &str, partition: i32, chars: usize) -> String {
    let number = format!("-{partition}");
    format!("{}{number}", cut(topic, chars.saturating_sub(number.len())))
}

/// Records a second, where `chars` have room: `20,000/s`, `20k/s`.
pub fn short_rate(per_second: f64, chars: usize) -> String {
    let whole = format!("{}/s", rate(per_second));
    if whole.len() <= chars {
        return whole;
    }
    let (size, unit) = if per_second < 999_500.0 { (per_second / 1e3, "k") } else { (per_second / 1e6, "M") };
    if size >= 9.95 { format!("{size:.0}{unit}/s") } else { format!("{size:.1}{unit}/s").replace(".0", "") }
}

/// Records a second: `8`, `0.5`, `20,000`.
pub fn rate(rate: f64) -> String {
    if rate >= 10.0 || rate.fract() == 0.0 { number(rate.round() as i64) } else { format!("{rate:.1}") }
}

/// The next rate up or down the ladder 0, 1, 2, 5, 10, 20, 50, …
pub fn next_rate(rate: f64, up: bool) -> u64 {
    let mut ladder = vec![0, 1];
    while ladder.len() < 16 {
        let last = ladder[ladder.len() - 1];
        ladder.push(if ladder.len() % 3 == 0 { last / 2 * 5 } else { last * 2 });
    }
    if up {
        ladder.iter().copied().find(|step| *step as f64 > rate).unwrap_or(rate as u64)
    } else {
        ladder.iter().rev().copied().find(|step| (*step as f64) < rate).unwrap_or(0)
    }
}

/// A name that is not taken: `p1`, `p2`, …
pub fn free_name<'a>(prefix: &str, taken: impl Iterator<Item = &'a str> + Clone) -> String {
    let free = |n: &u32| taken.clone().all(|name| name != format!("{prefix}{n}"));
    let n = (1..=u32::MAX).find(free).unwrap_or(0);
    format!("{prefix}{n}")
}

/// Cuts a text to `chars`, with an ellipsis.
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use ottla_core::time::Instant;

    use super::*;
    use crate::scene::sample;

    #[test]
    fn rates_climb_and_fall_by_one_two_five() {
        let climb: Vec<u64> =
            (0..8).scan(0.0, |rate, _| Some(std::mem::replace(rate, next_rate(*rate, true) as f64) as u64)).collect();
        assert_eq!(climb, [0, 1, 2, 5, 10, 20, 50, 100]);
        assert_eq!([8.0, 5.0, 1.0, 0.0].map(|rate| next_rate(rate, false)), [5, 2, 0, 0]);
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([7, 1_000, -8_412_007].map(number), ["7", "1,000", "−8,412,007"]);
        assert_eq!([999, 1_000, 999_999, 33_554_432].map(bytes), ["999 B", "1.0 kB", "1.0 MB", "33.6 MB"]);
        assert_eq!(cut("acks=all linger.ms=5", 9), "acks=all…");
        assert_eq!(cut_partition("orders", 7, 14), "orders-7");
        assert_eq!(cut_partition("a-topic-name-that-is-long", 49, 14), "a-topic-na…-49");
        let rates = [5.0, 500.0, 1_000.0, 1_500.0, 50_000.0, 100_000.0, 999_700.0].map(|rate| short_rate(rate, 6));
        assert_eq!(rates, ["5/s", "500/s", "1k/s", "1.5k/s", "50k/s", "100k/s", "1M/s"]);
        assert_eq!(short_rate(20_000.0, 9), "20,000/s");
        assert_eq!(free_name("p", ["p1", "p3"].into_iter()), "p2");
    }

    #[test]
    fn everything_on_the_stage_has_a_line() {
        let view = sample::view(3, 5, Instant::from_millis(9_000));
        let id = view.messages[0].id;
        let targets = [
            Target::Message { id },
            Target::Broker { id: 1 },
            Target::Partition { broker: 1, topic: "orders".into(), partition: 0 },
            Target::Batch { broker: 1, topic: "orders".into(), partition: 0, offset: 3 },
            Target::Producer { name: "p1".into() },
            Target::Consumer { name: "c1".into() },
        ];
        for target in targets {
            assert!(line(&view, &target).is_some_and(|line| line.len() > 10), "{target:?}");
        }
        assert_eq!(line(&view, &Target::Broker { id: 99 }), None);
    }
}
