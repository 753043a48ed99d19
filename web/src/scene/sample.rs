//! A made-up cluster of any size, at any moment: the load under which the stage is measured (`?stress`), and a view for
//! tests. Nothing of Kafka happens here.

use ottla_core::time::{Duration, Instant};
use ottla_core::view::{
    BatchView, BrokerView, ConsumerView, LinkView, MessageKind, MessageView, PositionView, ProducerView, ReplicaView,
    TopicView, View,
};

const TOPICS: [(&str, i32); 2] = [("clicks", 2), ("orders", 6)];

/// `brokers` brokers in three racks, four producers, four consumers, and exactly `messages` messages in flight.
pub fn view(brokers: usize, messages: usize, now: Instant) -> View {
    let clients = if brokers > 3 { 4 } else { 2 };
    let mut view = View { now, seed: Some(7), event: now.as_millis(), ..View::default() };
    for (hue, (name, partitions)) in (0..).zip(TOPICS) {
        view.topics.push(TopicView {
            hue,
            name: name.into(),
            partitions: partitions as u32,
            replication_factor: 3.min(brokers as u32),
            ends: (0..partitions).map(|partition| end(name, partition, now)).collect(),
            leaders: (0..partitions).map(|partition| partition % brokers as i32 + 1).collect(),
            ..TopicView::default()
        });
    }
    view.brokers = (0..brokers).map(|i| broker(i, brokers, now)).collect();
    for i in 0..clients {
        view.producers.push(producer(i, now));
        view.consumers.push(consumer(i, now));
    }
    for broker in &view.brokers {
        let producers = view.producers.iter().map(|producer| &producer.name);
        for name in producers.chain(view.consumers.iter().map(|consumer| &consumer.name)) {
            view.links.push(LinkView { from: name.clone(), to: broker.name.clone(), cut: false });
        }
    }
    view.messages = (0..messages as u64).map(|i| message(i, brokers as u64, clients as u64, now)).collect();
    view
}

fn end(topic: &str, partition: i32, now: Instant) -> i64 {
    (now.as_millis() as i64 * (3 + topic.len() as i64 * 7 + i64::from(partition) * 5)) / 6_000
}

fn broker(i: usize, brokers: usize, now: Instant) -> BrokerView {
    let copies = 3.min(brokers as i32);
    let mut replicas = Vec::new();
    for (topic, partitions) in TOPICS {
        for partition in 0..partitions {
            let behind = (i as i32 - partition).rem_euclid(brokers as i32);
            if behind < copies {
                replicas.push(replica(topic, partition, behind, end(topic, partition, now)));
            }
        }
    }
    BrokerView {
        id: i as i32 + 1,
        name: format!("broker-{}", i + 1),
        host: "localhost".into(),
        port: 9092 + i as u16,
        rack: Some(["a", "b", "c"][i % 3].into()),
        controller: i == 0,
        replicas,
        connections: 8,
        bytes_in: now.as_millis() * 212,
        bytes_out: now.as_millis() * 424,
        ..BrokerView::default()
    }
}

fn replica(topic: &str, partition: i32, behind: i32, end: i64) -> ReplicaView {
    let mine = (end - i64::from(behind) * 2).max(0);
    let base = (mine - View::CELLS as i64).max(0);
    let batch = |offset: i64| BatchView {
        base_offset: offset,
        last_offset: offset,
        bytes: 212,
        leader_epoch: if offset < 40 { 0 } else { 1 },
        ..BatchView::default()
    };
    ReplicaView {
        topic: topic.into(),
        partition,
        leader: behind == 0,
        in_sync: behind < 2,
        end: mine,
        high_watermark: (end - 4).clamp(0, mine),
        stable: (end - 4).clamp(0, mine),
        flushed: (mine - 7).max(0),
        bytes: mine as u64 * 212,
        segments: 1,
        batches: (base..mine).map(batch).collect(),
        ..ReplicaView::default()
    }
}

fn producer(i: usize, now: Instant) -> ProducerView {
    ProducerView {
        name: format!("p{}", i + 1),
        settings: if i == 0 { "acks=all linger.ms=5".into() } else { "acks=1".into() },
        topic: TOPICS[(i + 1) % 2].0.into(),
        rate: 8.0,
        sent: now.as_millis() / 100,
        acked: now.as_millis() / 110,
        buffered: (now.as_millis() * 7_919 * (i as u64 + 1)) % 12_000_000,
        buffer_memory: 33_554_432,
        in_flight: 2,
        ..ProducerView::default()
    }
}

fn consumer(i: usize, now: Instant) -> ConsumerView {
    let (topic, partitions) = TOPICS[(i + 1) % 2];
    let position = |partition: i32| PositionView {
        topic: topic.into(),
        partition,
        offset: (end(topic, partition, now) - 3).max(0),
    };
    ConsumerView {
        name: format!("c{}", i + 1),
        settings: "auto.offset.reset=earliest".into(),
        received: now.as_millis() / 120,
        lag: 3 * partitions as u64,
        positions: (0..partitions).map(position).collect(),
        ..ConsumerView::default()
    }
}

/// Message `i` is one of an endless row on one link: when one arrives, the next departs.
fn message(i: u64, brokers: u64, clients: u64, now: Instant) -> MessageView {
    const FLIGHT: Duration = Duration::from_millis(1_700);
    let flight = FLIGHT.as_nanos() as u64;
    let shift = (i * 7_919_000_003) % flight;
    let turn = (now.as_nanos() + shift) / flight;
    let departed = Instant::from_nanos((turn * flight).saturating_sub(shift));
    let broker = format!("broker-{}", i / 2 % brokers + 1);
    let (kind, client) = match i % 5 {
        0 | 1 => (MessageKind::Produce, format!("p{}", i / 3 % clients + 1)),
        2 => (MessageKind::Other, format!("c{}", i / 3 % clients + 1)),
        3 if brokers > 1 => (MessageKind::ReplicaFetch, format!("broker-{}", (i / 2 + 1) % brokers + 1)),
        _ => (MessageKind::Fetch, format!("c{}", i / 3 % clients + 1)),
    };
    let response = (turn + i).is_multiple_of(2);
    let (from, to) = if response { (broker, client) } else { (client, broker) };
    let topic = TOPICS[(i / 5 % 2) as usize].0;
    MessageView {
        id: turn * 100_000 + i,
        kind,
        response,
        line: format!("{kind:?} {topic} {}", if response { "response" } else { "request" }),
        from,
        to,
        topic: (kind != MessageKind::Other).then(|| topic.into()),
        departed,
        arrives: departed + FLIGHT,
        error: response && i.is_multiple_of(37),
    }
}
