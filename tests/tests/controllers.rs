//! Swarms of brokers that lose ZooKeeper, their sessions, each other and themselves. Once the faults are over there is one
//! controller, every broker is registered, every partition has its leader and all its replicas in sync, in ZooKeeper as
//! in the brokers' eyes; and no record that was acknowledged by the ISR is lost.
//!
//! `OTTLA_SEEDS=1000 cargo test --release -p ottla-tests --test controllers` for more, `OTTLA_SEEDS=47..48` for one.

use std::fmt::Write;
use std::ops::Range;

use ottla_core::rng::{Seed, Stream};
use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::{link, parse};
use ottla_core::time::Instant;
use ottla_core::view::{Detail, Target};

/// Faults happen up to here, in simulated seconds.
const STORM: u64 = 30;
/// Producers rest from here on.
const REST: u64 = 40;
/// Everything has settled.
const END: u64 = 80;

#[test]
fn no_seed_leaves_the_cluster_without_its_controller_or_its_memory() {
    let mut broken = String::new();
    let mut elections = 0;
    for seed in seeds() {
        let text = scenario(seed);
        match play(&text) {
            Ok(controller_epoch) => elections += controller_epoch,
            Err(why) => {
                writeln!(broken, "seed {seed}: {why}\n{}\n{text}", link::encode(&text, Instant::ZERO)).unwrap();
            }
        }
    }
    assert!(broken.is_empty(), "{broken}");
    let runs = seeds().count() as i32;
    assert!(elections * 2 > runs * 3, "{elections} elections in {runs} runs: these are no storms");
    println!("{elections} elections in {runs} runs");
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("OTTLA_SEEDS") else { return 0..40 };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().unwrap()..to.parse().unwrap()
}

/// Gives how many controllers there were.
fn play(text: &str) -> Result<i32, String> {
    let scenario = parse::scenario(text).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    simulation.run(Instant::from_millis(END * 1_000), u64::MAX);
    if let Some(broken) = simulation.violations().iter().find(|broken| broken.exempt.is_none()) {
        return Err(format!("{} at {}: {}", broken.invariant, broken.at, broken.found));
    }
    let view = simulation.view();
    for producer in &view.producers {
        if producer.acked + producer.failed != producer.sent {
            return Err(format!("{}: {} sent, {} acked", producer.name, producer.sent, producer.acked));
        }
    }
    if let Some(late) = view.consumers.iter().find(|consumer| consumer.lag > 0) {
        return Err(format!("{} lags {} records behind", late.name, late.lag));
    }
    let controllers: Vec<_> = view.brokers.iter().filter(|broker| broker.controller).collect();
    let [controller] = controllers[..] else { return Err(format!("{} controllers", controllers.len())) };
    let znode = |path: &str| match simulation.detail(&Target::Znode { path: path.to_owned() }) {
        Some(Detail::Znode(znode)) => Ok(znode),
        _ => Err(format!("there is no {path}")),
    };
    let named = format!("\"brokerid\":{},", controller.id);
    if !znode("/controller")?.data.is_some_and(|json| json.contains(&named)) {
        return Err(format!("/controller does not name {}", controller.name));
    }
    if znode("/brokers/ids")?.children.len() != view.brokers.len() {
        return Err("a broker is not registered".to_owned());
    }
    for parent in ["/isr_change_notification", "/admin/delete_topics"] {
        if !znode(parent)?.children.is_empty() {
            return Err(format!("{parent} is not empty"));
        }
    }
    for broker in &view.brokers {
        for replica in &broker.replicas {
            let name = format!("{}-{} on {}", replica.topic, replica.partition, broker.name);
            let path = format!("/brokers/topics/{}/partitions/{}/state", replica.topic, replica.partition);
            let state = znode(&path)?.data.unwrap_or_default();
            let epoch = format!("\"leader_epoch\":{},", replica.leader_epoch);
            if replica.leader && !state.contains(&format!("\"leader\":{},", broker.id)) || !state.contains(&epoch) {
                return Err(format!("{name} believes in leader epoch {}, but {state}", replica.leader_epoch));
            }
            if !replica.in_sync {
                return Err(format!("{name} is not in sync: {state}"));
            }
        }
    }
    let epoch = znode("/controller_epoch")?.data.and_then(|text| text.parse().ok());
    epoch.ok_or_else(|| "the controller's epoch is no number".to_owned())
}

fn scenario(seed: u64) -> String {
    let dice = &mut Seed(seed).stream("controllers");
    let brokers = dice.between(1, 5);
    let timeout = pick(dice, &["500", "1000", "3000", "6000"]);
    let loss = pick(dice, &["0", "0", "1"]);
    let mut text =
        format!("seed {seed}\ncluster brokers={brokers} loss={loss}% zookeeper.session.timeout.ms={timeout}\n");
    for topic in 0..dice.between(1, 3) {
        let (partitions, factor) = (dice.between(1, 5), dice.between(1, brokers.min(3)));
        writeln!(text, "topic t{topic} partitions={partitions} replication.factor={factor}").unwrap();
        let settings = "acks=all request.timeout.ms=3000 delivery.timeout.ms=15000";
        writeln!(text, "producer p{topic} topic=t{topic} rate={}/s {settings}", dice.between(1, 30)).unwrap();
        writeln!(text, "consumer c{topic} topics=t{topic} auto.offset.reset=earliest").unwrap();
        writeln!(text, "@{REST}s rate p{topic} 0/s").unwrap();
    }
    let mut lines = Vec::new();
    for node in (1..=brokers).map(|id| format!("broker-{id}")).chain(["zookeeper".to_owned()]) {
        let mut at = dice.between(500, 8_000);
        while at < STORM * 1_000 && dice.chance(700_000) {
            let back = at + dice.between(50, 8_000);
            let (fault, mend) = match dice.below(5) {
                0 if node == "zookeeper" => (format!("crash {node}"), format!("start {node}")),
                1 if node != "zookeeper" => (format!("cut {node} zookeeper"), format!("heal {node} zookeeper")),
                2 if node != "zookeeper" => (format!("expire {node}"), String::new()),
                3 if node != "zookeeper" => (format!("stop {node}"), format!("start {node}")),
                _ => (format!("kill {node}"), format!("start {node}")),
            };
            lines.push((at, fault));
            lines.push((back, mend));
            at = back + dice.between(100, 8_000);
        }
    }
    // A stop may take its time, and what was killed meanwhile is started once more.
    for id in 1..=brokers {
        lines.push((STORM * 1_000 + 9_000, format!("start broker-{id}")));
    }
    lines.retain(|(_, line)| !line.is_empty());
    lines.sort();
    for (at, line) in lines {
        writeln!(text, "@{at}ms {line}").unwrap();
    }
    text
}

fn pick<'a>(dice: &mut Stream, of: &[&'a str]) -> &'a str {
    of[dice.below(of.len() as u64) as usize]
}
