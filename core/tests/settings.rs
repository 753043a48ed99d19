//! What Kafka 4.3 takes and refuses of broker settings is taken and refused here, in its words: each line of the files
//! beside this one is what is set (`;` is between two), and Kafka's answer.
//!
//! - `settings/at-start.tsv`: of a broker that starts. `settings/Ask.java` asks Kafka's classes; what those of the topics'
//!   defaults and of classes' names say, it said when it was started with them.
//! - `settings/while-it-runs.tsv`: to IncrementalAlterConfigs of broker 1, which runs by Kafka's defaults.

use ottla_core::config::{BrokerSettings, ConfigError, dynamic};
use ottla_core::id::BrokerId;
use ottla_core::protocol::cluster::BrokerConfigs;
use ottla_core::vec_map::VecMap;

type Settings = VecMap<String, String>;

#[test]
fn a_broker_starts_by_what_kafka_starts_by() {
    compare(include_str!("settings/at-start.tsv"), |set| BrokerSettings::parse(&set).map(drop));
}

#[test]
fn a_broker_that_runs_takes_what_kafka_takes() {
    let now = BrokerSettings::default();
    compare(include_str!("settings/while-it-runs.tsv"), |set| {
        dynamic::validate(&set, true)?;
        let then = now.under(&BrokerConfigs([(Some(BrokerId(1)), set)].into()), BrokerId(1));
        dynamic::validate_change(&now, &then)
    });
}

fn compare(file: &str, ours: impl Fn(Settings) -> Result<(), ConfigError>) {
    let mut different = String::new();
    for line in file.lines() {
        let (set, kafka) = line.split_once('\t').expect("a line has two columns");
        let pairs = set.split(';').map(|pair| pair.split_once('=').expect("a setting has a value"));
        let ours = ours(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let ours = ours.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
        if ours != kafka {
            different += &format!("{set}\n  Kafka {kafka}\n  Ottla {ours}\n");
        }
    }
    assert!(different.is_empty(), "\n{different}");
}
