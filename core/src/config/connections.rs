//! How many connections a broker takes.

use super::broker::Reader;
use super::setting::{ConfigError, Value};
use super::together::require;
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
        let overrides = overrides(reader).unwrap_or_default();
        ConnectionLimits { most: number("max.connections"), per_ip: number(PER_IP), overrides }
    }
}

/// What no setting's own type says. Errors are Kafka's.
pub(super) fn check(reader: &Reader<'_>) -> Result<(), ConfigError> {
    let overrides = overrides(reader)?;
    let somebody = reader.integer(PER_IP) != 0 || !overrides.is_empty();
    require(somebody, &format!("{PER_IP} can be set to zero only if {OVERRIDES} property is set."))?;
    let invalid: Vec<&str> = overrides.keys().map(String::as_str).filter(|host| !is_host(host)).collect();
    if !invalid.is_empty() {
        return Err(ConfigError(format!("{OVERRIDES} contains invalid addresses : {}", invalid.join(","))));
    }
    let (delay, idle) =
        (reader.integer("connection.failed.authentication.delay.ms"), reader.integer("connections.max.idle.ms"));
    let why = format!(
        "connection.failed.authentication.delay.ms={delay} should always be less than connections.max.idle.ms={idle} to \
         prevent failed authentication responses from timing out"
    );
    require(idle < 0 || delay < idle, &why)
}

/// `hostName:100,127.0.0.1:200`; the last of a host holds.
fn overrides(reader: &Reader<'_>) -> Result<VecMap<String, usize>, ConfigError> {
    let Value::Text(text) = reader.value(OVERRIDES) else { return Ok(VecMap::new()) };
    let mut overrides = VecMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((host, count)) = pair.rsplit_once(':') else {
            // As Java's `substring` says it.
            let why = format!("begin 0, end -1, length {}", pair.chars().count());
            return Err(ConfigError(format!("Error parsing configuration property '{OVERRIDES}': {why}")));
        };
        let number = count.trim().parse::<i32>();
        let number = number.map_err(|_| ConfigError(format!("For input string: \"{}\"", count.trim())))?;
        overrides.insert(host.trim().to_owned(), usize::try_from(number).unwrap_or(0));
    }
    Ok(overrides)
}

/// Kafka's `Utils.validHostPattern`.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-._:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use crate::config::BrokerSettings;

    #[test]
    fn the_last_number_of_a_host_holds() {
        let text = "a:1, 127.0.0.1:200 ,::1:3,a:4,b:-1";
        let set = [("max.connections.per.ip.overrides".to_owned(), text.to_owned())].into();
        let expected = [("127.0.0.1", 200), ("::1", 3), ("a", 4), ("b", 0)];
        assert_eq!(
            BrokerSettings::parse(&set).unwrap().connections.overrides,
            expected.map(|(host, count)| (host.to_owned(), count)).into()
        );
    }
}
