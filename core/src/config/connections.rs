//! How many connections a broker takes.

use super::broker::Reader;
use super::setting::{ConfigError, Value};
use crate::vec_map::VecMap;

const PER_IP: &str = "max.connections.per.ip";
const OVERRIDES: &str = "max.connections.per.ip.overrides";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Whoever comes then waits until another goes.
    pub most: usize,
    /// Of one address; whoever comes then is turned away.
    pub per_ip: usize,
    /// Of those hosts, by name or address.
    pub overrides: VecMap<String, usize>,
}

impl ConnectionLimits {
    pub(super) fn read(reader: &Reader<'_>) -> ConnectionLimits {
        let number = |name: &str| reader.integer(name).max(0) as usize;
        let overrides = match reader.value(OVERRIDES) {
            Value::Text(text) => overrides(&text).unwrap_or_default(),
            _ => VecMap::new(),
        };
        ConnectionLimits { most: number("max.connections"), per_ip: number(PER_IP), overrides }
    }
}

/// What no setting's own type says. Errors are Kafka's.
pub(super) fn check(set: &VecMap<String, String>) -> Result<(), ConfigError> {
    let given = set.get(OVERRIDES).map_or("", String::as_str);
    let overrides = overrides(given)?;
    let nobody = set.get(PER_IP).is_some_and(|text| text.trim().parse() == Ok(0));
    if nobody && overrides.is_empty() {
        let why = format!("requirement failed: {PER_IP} can be set to zero only if {OVERRIDES} property is set.");
        return Err(ConfigError(why));
    }
    let invalid: Vec<&str> = overrides.keys().map(String::as_str).filter(|host| !is_host(host)).collect();
    if !invalid.is_empty() {
        return Err(ConfigError(format!("{OVERRIDES} contains invalid addresses : {}", invalid.join(","))));
    }
    Ok(())
}

/// `hostName:100,127.0.0.1:200`; the last of a host holds.
fn overrides(text: &str) -> Result<VecMap<String, usize>, ConfigError> {
    let refuse = |why: String| ConfigError(format!("Error parsing configuration property '{OVERRIDES}': {why}"));
    let mut overrides = VecMap::new();
    for pair in text.trim().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((host, count)) = pair.rsplit_once(':') else {
            // As Java's `substring` says it.
            return Err(refuse(format!("begin 0, end -1, length {}", pair.chars().count())));
        };
        let number =
            count.trim().parse::<i32>().map_err(|_| refuse(format!("For input string: \"{}\"", count.trim())))?;
        overrides.insert(host.trim().to_owned(), usize::try_from(number).unwrap_or(0));
    }
    Ok(overrides)
}

/// Kafka's `Utils.validHostPattern`.
pub fn is_host(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"%-._:".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_read_and_refused_as_kafka_does() {
        assert_eq!(
            overrides("a:1, 127.0.0.1:200,::1:3").unwrap(),
            [("127.0.0.1", 200), ("::1", 3), ("a", 1)].map(|(host, count)| (host.to_owned(), count)).into()
        );
        assert!(overrides("").unwrap().is_empty());
        let told = |pairs: &[(&str, &str)]| {
            let set = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            check(&set).map_or_else(|error| error.0, |()| "ok".to_owned())
        };
        let parsing = "Error parsing configuration property 'max.connections.per.ip.overrides': ";
        assert_eq!(told(&[(OVERRIDES, "junk")]), format!("{parsing}begin 0, end -1, length 4"));
        assert_eq!(told(&[(OVERRIDES, "a:x")]), format!("{parsing}For input string: \"x\""));
        assert_eq!(told(&[(OVERRIDES, "a b:1")]), "max.connections.per.ip.overrides contains invalid addresses : a b");
        assert_eq!(told(&[(PER_IP, "0"), (OVERRIDES, "a:1")]), "ok");
        assert!(told(&[(PER_IP, "0")]).ends_with("property is set."));
    }
}
