//! What Kafka 3.9.1 keeps in a genuine ZooKeeper, recorded while this happened to it, is what lies in ours when the same
//! happens here: the same paths, the same JSON, and versions that tell as many writes.
//!
//! `znodes/kafka-3.9.1.txt` is what `tests/wire/tools/compare 3.9.1 3.9.1 9400 tests/wire/tools/znodes.txt` printed of
//! znodes; `znodes/cluster.ottla` is the same as a scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::parse;
use ottla_core::time::Instant;
use ottla_core::view::{Detail, Target, ZnodeDetail};
use serde_json::Value;

const SCENARIO: &str = include_str!("znodes/cluster.ottla");
const KAFKA: &str = include_str!("znodes/kafka-3.9.1.txt");

/// Path to what is there.
type Dump = BTreeMap<String, Znode>;

#[derive(Debug, PartialEq)]
struct Znode {
    version: i32,
    ephemeral: bool,
    data: String,
}

#[test]
fn znodes_are_those_of_kafka_3_9() {
    let mut simulation = (1..).map(begun).find(is_led_by_broker_1).unwrap();
    let mut different = String::new();
    for (moment, kafka) in recorded() {
        simulation.run(Instant::from_millis(seconds(&moment) * 1_000), u64::MAX);
        let ours = dump(&simulation);
        let paths = kafka.keys().chain(ours.keys()).collect::<BTreeSet<_>>();
        for path in paths {
            let (kafka, ours) = (kafka.get(path), ours.get(path));
            if kafka != ours {
                writeln!(different, "{moment}: {path}\n  Kafka {kafka:?}\n  Ottla {ours:?}").unwrap();
            }
        }
    }
    assert!(different.is_empty(), "{different}");
}

/// With that seed, up to where there is a controller.
fn begun(seed: u64) -> Simulation {
    let scenario = parse::scenario(&format!("seed {seed}\n{SCENARIO}")).unwrap();
    let mut simulation = Simulation::new(&scenario).unwrap();
    simulation.run(Instant::from_millis(1_000), u64::MAX);
    simulation
}

/// As Kafka's brokers were, for the first was started first.
fn is_led_by_broker_1(simulation: &Simulation) -> bool {
    let controller = simulation.detail(&Target::Znode { path: "/controller".to_owned() });
    matches!(controller, Some(Detail::Znode(ZnodeDetail { data: Some(data), .. })) if data.contains("\"brokerid\":1,"))
}

/// When the scenario has come to that moment: `# @16s: at rest`.
fn seconds(moment: &str) -> u64 {
    let line =
        SCENARIO.lines().find(|line| line.ends_with(&format!("s: {moment}"))).expect("the scenario has the moment");
    line.trim_start_matches("# @").split_once("s:").unwrap().0.parse().unwrap()
}

/// Each moment, and what lay in ZooKeeper then.
fn recorded() -> Vec<(String, Dump)> {
    let moments = KAFKA.split("$ znodes ").skip(1);
    let moments = moments.map(|block| {
        let (moment, lines) = block.split_once('\n').expect("znodes follow");
        let znodes = lines.lines().map(|line| {
            let mut words = line.splitn(3, ' ');
            let (path, version, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let data = rest.strip_prefix("ephemeral ");
            let version = version.trim_start_matches('v').parse().expect("a version");
            (path.to_owned(), znode(path, version, data.is_some(), data.unwrap_or(rest)))
        });
        (moment.to_owned(), znodes.filter(|(path, _)| is_compared(path)).collect())
    });
    moments.collect()
}

fn dump(simulation: &Simulation) -> Dump {
    let mut found = Dump::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let Some(Detail::Znode(here)) = simulation.detail(&Target::Znode { path: path.clone() }) else { continue };
        let parent = path.trim_end_matches('/');
        paths.extend(here.children.iter().map(|child| format!("{parent}/{}", child.name)));
        if is_compared(&path) {
            let ZnodeDetail { data, stat, .. } = here;
            let data = match data.as_deref() {
                None => "null",
                Some("") => "empty",
                Some(text) => text,
            };
            let is_ephemeral = stat.ephemeral_owner != ottla_core::zookeeper::SessionId::NONE;
            found.insert(path.clone(), znode(&path, stat.version, is_ephemeral, data));
        }
    }
    found
}

/// What a genuine ZooKeeper has of its own is no matter of Kafka's, and of notices only their time tells when they go.
fn is_compared(path: &str) -> bool {
    !["/zookeeper", "/isr_change_notification/", "/config/changes/"].iter().any(|of| path.starts_with(of))
}

/// Without what no two runs have in common. How often is not compared where Kafka writes once more: when a broker is
/// registered, when a move is taken back, and when a new controller goes on with one.
fn znode(path: &str, version: i32, ephemeral: bool, data: &str) -> Znode {
    const MASKED: [&str; 8] = ["topic_id", "id", "timestamp", "host", "port", "endpoints", "brokerid", "broker"];
    let moves = path == "/brokers/topics/one" || path.starts_with("/brokers/topics/one/partitions/1/");
    let mut json: Value = serde_json::from_str(&data.replace("PORT", "")).unwrap_or_else(|_| data.into());
    if let Value::Object(fields) = &mut json {
        let mask = |name: &str| MASKED.contains(&name) || moves && name == "leader_epoch";
        fields.iter_mut().filter(|(name, _)| mask(name)).for_each(|(_, value)| *value = Value::Null);
    }
    let twice = moves || path.starts_with("/brokers/ids/");
    Znode { version: if twice { 0 } else { version }, ephemeral, data: json.to_string() }
}
