//! What of a broker's settings can change while it runs (KIP-226), for one broker or for all; and what Kafka says where it
//! cannot.
//!
//! 1. A name that is none of Kafka's is taken: it may be that of a plugin.
//! 2. A broker's one listener is as it was started: what would change it, or needs another, is refused in the words with
//!    which Kafka refuses that for a listener that exists.
//! 3. What is taken and changes nothing here, the broker says ([`super::broker::has_effect`]).

use super::setting::{ConfigError, Dynamic, Value};
use super::table::BROKER;
use super::{BrokerSettings, together};
use crate::vec_map::VecMap;

/// Kafka's pools of threads. Here they have no effect; that Kafka refuses a value is to be seen all the same.
const THREADS: [&str; 9] = [
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];
const CLEANER_THREADS: &str = "log.cleaner.threads";
const MOST: &str = "max.connections";

/// The one reporter that comes with Kafka.
const REPORTER: &str = "org.apache.kafka.common.metrics.JmxReporter";

type Settings = VecMap<String, String>;

/// Whether this can be all that is set of a broker (`of_one`), or of all brokers. Errors are Kafka's, of INVALID_REQUEST.
pub fn validate(set: &Settings, of_one: bool) -> Result<(), ConfigError> {
    let which = |wanted: Dynamic| {
        let names = set.keys().filter(|name| BROKER.get(name).is_some_and(|setting| setting.dynamic == wanted));
        names.map(String::as_str).collect::<Vec<_>>()
    };
    let refuse = |why: &str, names: &[&str]| Err(ConfigError(format!("{why}: [{}]", names.join(", "))));
    let read_only = which(Dynamic::ReadOnly);
    if !read_only.is_empty() {
        return refuse("Cannot update these configs dynamically", &read_only);
    }
    let secured: Vec<&str> = set.keys().map(String::as_str).filter(|name| name.starts_with("ssl.")).collect();
    if !secured.is_empty() {
        let why = "These security configs can be dynamically updated only per-listener using the listener prefix";
        return refuse(why, &secured);
    }
    for (name, value) in set {
        if let Some(setting) = BROKER.get(name) {
            setting.parse(value)?;
        }
    }
    let of_one_only = which(Dynamic::PerBroker);
    if !of_one && !of_one_only.is_empty() {
        return refuse(
            "Cannot update these configs at default cluster level, broker id must be specified",
            &of_one_only,
        );
    }
    let fixed = |why: &str| {
        let exception = "Invalid value org.apache.kafka.common.config.ConfigException:";
        Err(ConfigError(format!("{exception} {why} for configuration Invalid dynamic configuration")))
    };
    // (2)
    if set.keys().any(|name| is_of_listeners(name)) {
        return fixed(
            "Configs cannot be updated dynamically for existing listener ListenerName(PLAINTEXT), restart broker or \
             create a new listener for update",
        );
    }
    if set.get("metric.reporters").is_some_and(|classes| !matches!(classes.trim(), "" | REPORTER)) {
        return fixed(
            "Validation of dynamic config update of Set(metric.reporters) failed with class class \
             kafka.server.DynamicMetricsReporters",
        );
    }
    if set.get("cordoned.log.dirs").is_some_and(|dirs| !dirs.trim().is_empty()) {
        return Err(ConfigError("cordoned.log.dirs cannot be set: a broker here has one log directory".to_owned()));
    }
    Ok(())
}

/// Whether a broker that runs by `now` can go on by `then`: what its settings must be together, and that threads do not
/// become more than twice as many at once, or fewer than half. Errors are Kafka's, of INVALID_REQUEST.
pub fn validate_change(now: &BrokerSettings, then: &BrokerSettings) -> Result<(), ConfigError> {
    let integer = |settings: &BrokerSettings, name| match settings.value(name) {
        Value::Integer(number) => number,
        _ => 0,
    };
    together::check(then)?;
    let unfit = |why: String| {
        let told = format!("org.apache.kafka.common.config.ConfigException: {why}");
        Err(ConfigError(format!("Invalid value {told} for configuration Invalid dynamic configuration")))
    };
    if integer(now, MOST) != 0 && integer(then, MOST) == 0 {
        return unfit(format!("Invalid {MOST} 0"));
    }
    for name in THREADS {
        let (old, new) = (integer(now, name), integer(then, name));
        let why = format!("Dynamic thread count update validation failed for {name}={new}, value should");
        if new < old / 2 {
            return unfit(format!("{why} be at least half the current value {old}"));
        }
        if new > old * 2 {
            return unfit(format!("{why} not be greater than double the current value {old}"));
        }
    }
    let (old, new) = (integer(now, CLEANER_THREADS), integer(then, CLEANER_THREADS));
    if new < old / 2 {
        return unfit(format!("Log cleaner threads cannot be reduced to less than half the current value {old}"));
    }
    if new > old * 2 {
        return unfit(format!("Log cleaner threads cannot be increased to more than double the current value {old}"));
    }
    Ok(())
}

/// What of Kafka's settings is about how, and by whom, a broker can be reached.
fn is_of_listeners(name: &str) -> bool {
    const OTHERS: [&str; 4] =
        ["listener.security.protocol.map", "listeners", "max.connection.creation.rate", "principal.builder.class"];
    name.starts_with("listener.name.") || name.starts_with("sasl.") || OTHERS.contains(&name)
}

/// What of it holds: another version, or another hand, may have written what is not valid here.
pub(super) fn applicable(set: &Settings, of_one: bool) -> Settings {
    let holds = |name: &str, value: &str| validate(&[(name.to_owned(), value.to_owned())].into(), of_one).is_ok();
    set.iter().filter(|(name, value)| holds(name, value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BrokerId;
    use crate::protocol::cluster::BrokerConfigs;

    fn map(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn what_cannot_be_set_while_a_broker_runs_is_refused_in_kafkas_words() {
        let answer = |pairs: &[(&str, &str)], of_one| {
            validate(&map(pairs), of_one).map_or_else(|error| error.0, |()| "ok".to_owned())
        };
        assert_eq!(answer(&[("log.retention.ms", "5"), ("of.a.plugin", "x")], false), "ok");
        assert_eq!(
            answer(&[("num.partitions", "3"), ("log.dirs", "/x"), ("log.retention.ms", "5")], true),
            "Cannot update these configs dynamically: [log.dirs, num.partitions]"
        );
        assert_eq!(
            answer(&[("max.connections", "x")], true),
            "Invalid value x for configuration max.connections: Not a number of type INT"
        );
        let listeners = &[("listener.security.protocol.map", "A:PLAINTEXT")][..];
        let fixed = answer(&[("listeners", "PLAINTEXT://127.0.0.1:9")], true);
        assert!(
            fixed.contains("Configs cannot be updated dynamically for existing listener ListenerName(PLAINTEXT)"),
            "{fixed}"
        );
        for pair in [
            ("listener.name.plaintext.max.connections", "7"),
            ("max.connection.creation.rate", "9"),
            ("principal.builder.class", "org.apache.kafka.no.such.Class"),
            ("sasl.enabled.mechanisms", "PLAIN"),
        ] {
            assert_eq!(answer(&[pair], true), fixed, "{pair:?}");
        }
        assert_eq!(answer(listeners, true), fixed);
        assert_ne!(answer(&[("metric.reporters", "no.such.Class")], true), "ok");
        assert_eq!(answer(&[("metric.reporters", REPORTER), ("num.io.threads", "9")], false), "ok");
        assert_ne!(answer(&[("cordoned.log.dirs", "/x")], true), "ok");
        assert_eq!(
            answer(listeners, false),
            "Cannot update these configs at default cluster level, broker id must be specified: \
             [listener.security.protocol.map]"
        );
    }

    #[test]
    fn a_running_broker_changes_by_degrees_and_its_settings_must_fit_each_other() {
        let settings = |pairs: &[(&str, &str)]| {
            let configs = BrokerConfigs([(None, map(pairs))].into());
            BrokerSettings::default().under(&configs, BrokerId(1))
        };
        let answer = |now: &[(&str, &str)], then: &[(&str, &str)]| {
            validate_change(&settings(now), &settings(then)).map_or_else(|error| error.0, |()| "ok".to_owned())
        };
        let unfit = |why: &str| {
            format!(
                "Invalid value org.apache.kafka.common.config.ConfigException: {why} for configuration Invalid dynamic \
                 configuration"
            )
        };
        let threads = "Dynamic thread count update validation failed for num.io.threads";
        for (now, then, expected) in [
            ("", "log.cleaner.threads=2", "ok".to_owned()),
            ("", "log.cleaner.threads=0", "/ by zero".to_owned()),
            (
                "log.cleaner.threads=2",
                "log.cleaner.threads=100",
                unfit("Log cleaner threads cannot be increased to more than double the current value 2"),
            ),
            (
                "log.cleaner.threads=8",
                "log.cleaner.threads=3",
                unfit("Log cleaner threads cannot be reduced to less than half the current value 8"),
            ),
            ("", "num.io.threads=6", "ok".to_owned()),
            (
                "",
                "num.io.threads=17",
                unfit(&format!("{threads}=17, value should not be greater than double the current value 8")),
            ),
            ("", "num.io.threads=3", unfit(&format!("{threads}=3, value should be at least half the current value 8"))),
            (
                "",
                "log.cleaner.dedupe.buffer.size=1000",
                "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
                    .to_owned(),
            ),
        ] {
            let set = |text: &'static str| text.split_once('=').into_iter().collect::<Vec<_>>();
            assert_eq!(answer(&set(now), &set(then)), expected, "{then}");
        }
    }

    #[test]
    fn what_is_set_of_one_broker_hides_what_is_set_of_all_and_that_what_was_given() {
        let given =
            BrokerSettings::parse(&map(&[("log.segment.bytes", "1048576"), ("min.insync.replicas", "1")])).unwrap();
        let configs = BrokerConfigs(
            [
                (None, map(&[("log.segment.bytes", "2097152"), ("min.insync.replicas", "2"), ("num.partitions", "9")])),
                (Some(BrokerId(1)), map(&[("log.segment.bytes", "3145728"), ("message.max.bytes", "x")])),
            ]
            .into(),
        );
        let value = |settings: &BrokerSettings, name: &str| settings.value(name).text().unwrap();
        let [one, two] = [1, 2].map(|id| given.under(&configs, BrokerId(id)));
        assert_eq!(
            (value(&one, "log.segment.bytes"), value(&two, "log.segment.bytes")),
            ("3145728".into(), "2097152".into())
        );
        assert_eq!(
            (value(&one, "min.insync.replicas"), value(&one, "message.max.bytes")),
            ("2".into(), "1048588".into())
        );
        assert_eq!(one.num_partitions, 1, "it is read only when a broker starts");
        assert_eq!(one.under(&BrokerConfigs::default(), BrokerId(1)), given);
    }
}
