//! Settings of Kafka's clients that change nothing here: a file of them that works with Kafka works here as well. Values that
//! Kafka refuses are refused, and so is what would have to change something.

use ottla_core::client::setting::{self, Setting, Valid};
use ottla_core::vec_map::VecMap;

use super::Exception;
use super::config::refused;

const NO_CLASSES: Valid = Valid::Only("", "classes of Java are not loaded");
const SIZE: Valid = Valid::Number(-1, i32::MAX as i64);
const TIME: Valid = Valid::Number(0, i64::MAX);

/// Of producers, of consumers or of both.
const TABLE: &[Setting] = &[
    setting("client.dns.lookup", Valid::Of(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"])),
    setting("compression.gzip.level", Valid::Of(&["-1", "1", "2", "3", "4", "5", "6", "7", "8", "9"])),
    setting("compression.lz4.level", Valid::Number(1, 17)),
    setting("compression.zstd.level", Valid::Number(-131_072, 22)),
    setting("config.providers", NO_CLASSES),
    setting("connections.max.idle.ms", Valid::Number(i64::MIN, i64::MAX)),
    setting("default.api.timeout.ms", Valid::Number(0, i32::MAX as i64)),
    setting("enable.metrics.push", Valid::Bool),
    setting("exclude.internal.topics", Valid::Bool),
    setting("interceptor.classes", NO_CLASSES),
    setting("metadata.recovery.rebootstrap.trigger.ms", TIME),
    setting("metadata.recovery.strategy", Valid::OfIgnoringCase(&["rebootstrap", "none"])),
    setting("metric.reporters", Valid::Text),
    setting("metrics.num.samples", Valid::Number(1, i32::MAX as i64)),
    setting("metrics.recording.level", Valid::Of(&["INFO", "DEBUG", "TRACE"])),
    setting("metrics.sample.window.ms", TIME),
    setting("partitioner.availability.timeout.ms", TIME),
    setting("receive.buffer.bytes", SIZE),
    setting("security.protocol", Valid::Only("PLAINTEXT", "neither TLS nor SASL is spoken")),
    setting("security.providers", Valid::Text),
    setting("send.buffer.bytes", SIZE),
    setting("transaction.two.phase.commit.enable", Valid::Only("false", "two-phase commit (KIP-939) is not spoken")),
];

/// Of what is not used while `security.protocol` is PLAINTEXT, as in Kafka.
const SECURITY: [&str; 2] = ["ssl.", "sasl."];

const fn setting(name: &'static str, valid: Valid) -> Setting {
    Setting { name, default: "", valid, doc: "" }
}

/// Takes them out of `settings`; gives their names.
pub(super) fn take(settings: &mut VecMap<String, String>) -> Result<Vec<String>, Exception> {
    let is_of_security = |name: &str| SECURITY.iter().any(|of| name.starts_with(of));
    let is_known = |name: &str| TABLE.iter().any(|setting| setting.name == name) || is_of_security(name);
    let names: Vec<String> = settings.keys().filter(|name| is_known(name)).cloned().collect();
    for name in &names {
        let value = settings.remove(name).unwrap_or_default();
        if !is_of_security(name) {
            setting::check("client", TABLE, name, &value).map_err(refused)?;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: &str, value: &str) -> Result<Vec<String>, String> {
        let mut settings = VecMap::new();
        settings.insert(name.to_owned(), value.to_owned());
        settings.insert("acks".to_owned(), "all".to_owned());
        let names = take(&mut settings).map_err(|error| error.to_string())?;
        assert!(settings.contains_key("acks") && settings.len() == 2 - names.len());
        Ok(names)
    }

    #[test]
    fn what_changes_nothing_is_taken_and_what_would_have_to_is_refused() {
        for (name, value) in [
            ("security.protocol", "PLAINTEXT"),
            ("ssl.truststore.location", "/etc/trust.jks"),
            ("compression.zstd.level", "-5"),
            ("interceptor.classes", ""),
        ] {
            assert_eq!(taken(name, value), Ok(vec![name.to_owned()]));
        }
        assert_eq!(taken("no.such.setting", "1"), Ok(vec![]), "that is for others to say");
        for (name, value, why) in [
            (
                "security.protocol",
                "SSL",
                "security.protocol can only be PLAINTEXT here: neither TLS nor SASL is spoken",
            ),
            ("compression.lz4.level", "0", "expected compression.lz4.level to be a whole number from 1 to 17, found 0"),
            (
                "interceptor.classes",
                "a.B",
                "interceptor.classes can only be empty here: classes of Java are not loaded",
            ),
        ] {
            assert_eq!(taken(name, value), Err(format!("ConfigException: {why}")));
        }
    }
}
