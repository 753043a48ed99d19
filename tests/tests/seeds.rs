//! Swarms: every seed is another cluster with other clients and other faults. No invariant may break, and once the
//! faults are over every record is accepted or refused, every consumer catches up, and every replica is in sync and what
//! its leader is.
//!
//! `OTTLA_SEEDS=1000 cargo test --release -p ottla-tests --test seeds` for more of them, `OTTLA_SEEDS=4711..4712` for one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use ottla_core::rng::{Seed, Stream};
use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::{link, parse};
use ottla_core::sim::view::ReplicaView;
use ottla_core::time::Instant;

/// Faults happen up to here, in simulated seconds.
const STORM: u64 = 30;
/// Producers rest from here on.
const REST: u64 = 45;
/// Everything has settled: longer than the clients' time-outs.
const END: u64 = 90;

#[test]
fn no_seed_breaks_an_invariant() {
    let mut broken = String::new();
    for seed in seeds() {
        let text = scenario(seed);
        if let Err(why) = play(&text) {
            writeln!(broken, "seed {seed}: {why}\n{}\n{text}", link::encode(&text, Instant::ZERO)).unwrap();
        }
    }
    assert!(broken.is_empty(), "{broken}");
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("OTTLA_SEEDS") else { return 0..30 };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().unwrap()..to.parse().unwrap()
}

fn play(text: &str) -> Result<(), String> {
    let scenario = parse::scenario(text).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    simulation.run(Instant::from_millis(END * 1_000), u64::MAX);
    if let Some(broken) = simulation.violations().iter().find(|broken| broken.exempt.is_none()) {
        return Err(format!("{} at {}: {}", broken.invariant, broken.at, broken.found));
    }
    let view = simulation.view();
    for producer in &view.producers {
        let settled = producer.acked + producer.failed;
        // Without acknowledgements a producer counts what it has sent off.
        if settled != producer.sent {
            return Err(format!("{}: {} sent, but {settled} settled", producer.name, producer.sent));
        }
    }
    if let Some(late) = view.consumers.iter().find(|consumer| consumer.lag > 0) {
        return Err(format!("{} lags {} records behind", late.name, late.lag));
    }
    let mut leaders: BTreeMap<(&str, i32), &ReplicaView> = BTreeMap::new();
    let replicas = || view.brokers.iter().flat_map(|broker| &broker.replicas);
    leaders.extend(replicas().filter(|one| one.leader).map(|leader| ((&*leader.topic, leader.partition), leader)));
    for broker in &view.brokers {
        for replica in &broker.replicas {
            let name = format!("{}-{} on {}", replica.topic, replica.partition, broker.name);
            let leader = leaders.get(&(&*replica.topic, replica.partition)).ok_or(format!("{name} has no leader"))?;
            if !replica.in_sync {
                return Err(format!("{name} is not in sync"));
            }
            let same = |one: &ReplicaView| (one.leader_epoch, one.high_watermark, one.end, one.batches.clone());
            if same(replica) != same(leader) {
                return Err(format!("{name} is not what its leader is"));
            }
        }
    }
    Ok(())
}

fn scenario(seed: u64) -> String {
    let dice = &mut Seed(seed).stream("swarm");
    let brokers = dice.between(1, 4);
    // Then no machine dies, and nobody relies on a leader alone: every record that is acknowledged must stay.
    let replicated = dice.chance(600_000);
    let loss = pick(dice, &["0", "0", "0.1", "2"]);
    let mut text = format!("seed {seed}\ncluster brokers={brokers} loss={loss}%\n");
    let topics = dice.between(1, 2);
    for topic in 0..topics {
        let partitions = dice.between(1, 6);
        let flush = pick(dice, &["", "", " flush.messages=1", " flush.ms=500"]);
        let segment = pick(dice, &["", " segment.bytes=1048576"]);
        let factor = if replicated { dice.between(1, brokers) } else { 1 };
        let insync = pick(dice, &["", "", " min.insync.replicas=2"]);
        writeln!(text, "topic t{topic} partitions={partitions} replication.factor={factor}{insync}{flush}{segment}")
            .unwrap();
    }
    let producers = dice.between(1, 3);
    for producer in 0..producers {
        let (topic, rate) = (dice.below(topics), dice.between(1, 60));
        let acks = if replicated { pick(dice, &["all", "all", "0"]) } else { pick(dice, &["all", "1", "1", "0"]) };
        let linger = pick(dice, &["0", "5", "100"]);
        let codec = pick(dice, &["none", "none", "gzip", "snappy", "lz4"]);
        let keys = pick(dice, &["0", "7"]);
        writeln!(
            text,
            "producer p{producer} topic=t{topic} rate={rate}/s acks={acks} linger.ms={linger} compression.type={codec} \
             keys={keys} request.timeout.ms=3000 delivery.timeout.ms=15000"
        )
        .unwrap();
    }
    let consumers = dice.between(1, 2);
    for consumer in 0..consumers {
        let topic = dice.below(topics);
        writeln!(text, "consumer c{consumer} topics=t{topic} auto.offset.reset=earliest request.timeout.ms=5000")
            .unwrap();
    }
    faults(dice, replicated, brokers, producers, consumers, &mut text);
    for producer in 0..producers {
        writeln!(text, "@{REST}s rate p{producer} 0/s").unwrap();
    }
    text
}

/// Faults in order of time; what a fault breaks is mended before the storm is over.
fn faults(dice: &mut Stream, replicated: bool, brokers: u64, producers: u64, consumers: u64, text: &mut String) {
    let mut lines = Vec::new();
    for broker in 1..=brokers {
        let mut at = dice.between(500, 10_000);
        while at < STORM * 1_000 && dice.chance(700_000) {
            let kind = if replicated { "kill" } else { pick(dice, &["kill", "kill", "crash"]) };
            let back = at + dice.between(200, 12_000);
            lines.push((at, format!("{kind} broker-{broker}")));
            lines.push((back, format!("start broker-{broker}")));
            at = back + dice.between(200, 10_000);
        }
    }
    for broker in 1..brokers {
        if dice.chance(300_000) {
            let (at, other) = (dice.between(500, STORM * 1_000), dice.between(broker + 1, brokers));
            lines.push((at, format!("cut broker-{broker} broker-{other}")));
            lines.push((at + dice.between(50, 15_000), format!("heal broker-{broker} broker-{other}")));
        }
    }
    for client in (0..producers).map(|one| format!("p{one}")).chain((0..consumers).map(|one| format!("c{one}"))) {
        if dice.chance(400_000) {
            let (at, broker) = (dice.between(500, STORM * 1_000), dice.between(1, brokers));
            lines.push((at, format!("cut {client} broker-{broker}")));
            lines.push((at + dice.between(50, 9_000), format!("heal {client} broker-{broker}")));
        }
    }
    lines.sort();
    for (at, line) in lines {
        writeln!(text, "@{at}ms {line}").unwrap();
    }
}

fn pick<'a>(dice: &mut Stream, of: &[&'a str]) -> &'a str {
    of[dice.below(of.len() as u64) as usize]
}
