//! What a client is told: settings by Kafka's names. One that there is not is refused; of one that changes nothing it is said.

use std::net::ToSocketAddrs;

use ottla_core::client::Endpoint;
use ottla_core::rng::Seed;
use ottla_core::vec_map::VecMap;
use tracing::warn;

use super::{Exception, unused};

const BOOTSTRAP: &str = "bootstrap.servers";

#[derive(Clone, Debug, Default)]
pub struct Config {
    settings: VecMap<String, String>,
}

/// What a node is made of.
pub(super) struct Parts {
    pub settings: VecMap<String, String>,
    pub bootstrap: Vec<Endpoint>,
    pub seed: Seed,
}

impl Config {
    pub fn new() -> Config {
        Config::default()
    }

    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Config {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// The same unless it is set.
    pub fn default_to(mut self, name: &str, value: &str) -> Config {
        self.settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// `words` are those of scenarios, which mean nothing to a program.
    pub(super) fn parts(mut self, words: &[&str]) -> Result<Parts, Exception> {
        let Some(bootstrap) = self.settings.remove(BOOTSTRAP) else {
            return Err(refused(format!("Missing required configuration \"{BOOTSTRAP}\" which has no default value.")));
        };
        if let Some(word) = words.iter().find(|word| self.settings.contains_key(**word)) {
            return Err(refused(format!("{word} is a word of scenarios: a program does that itself")));
        }
        let without_effect = unused::take(&mut self.settings)?;
        if !without_effect.is_empty() {
            warn!("accepted, without effect: {}", without_effect.join(", "));
        }
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Ok(Parts { settings: self.settings, bootstrap: resolvable(endpoints(&bootstrap)?)?, seed: Seed(high ^ low) })
    }
}

pub(super) fn refused(message: impl Into<String>) -> Exception {
    Exception::new("ConfigException", message)
}

/// `host:port,[::1]:port`, as Kafka reads it (`ClientUtils.parseAndValidateAddresses`).
fn endpoints(text: &str) -> Result<Vec<Endpoint>, Exception> {
    text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(endpoint).collect()
}

/// Those whose hosts' names are known; of the others it is said. Looks them up, and so may block for a while, as Kafka's
/// constructors do.
fn resolvable(mut endpoints: Vec<Endpoint>) -> Result<Vec<Endpoint>, Exception> {
    endpoints.retain(|Endpoint { host, port }| {
        let found = (host.as_str(), *port).to_socket_addrs();
        if found.is_err() {
            warn!("Couldn't resolve server {host}:{port} from {BOOTSTRAP} as DNS resolution failed for {host}");
        }
        found.is_ok()
    });
    if endpoints.is_empty() {
        return Err(refused(format!("No resolvable bootstrap urls given in {BOOTSTRAP}")));
    }
    Ok(endpoints)
}

fn endpoint(url: &str) -> Result<Endpoint, Exception> {
    let invalid = || refused(format!("Invalid url in {BOOTSTRAP}: {url}"));
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte);
    if host.is_empty() || port.is_empty() || !host.bytes().all(of_a_host) || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let port = port.parse().map_err(|_| refused(format!("Invalid port in {BOOTSTRAP}: {url}")))?;
    Ok(Endpoint { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_servers_are_read_as_kafka_reads_them() {
        let read = |text: &str| {
            let read = endpoints(text).map_err(|error| error.to_string())?;
            Ok(read.iter().map(|one| format!("{} {}", one.host, one.port)).collect::<Vec<_>>().join(", "))
        };
        assert_eq!(read("a.b:9092, [::1]:1,PLAINTEXT://c-d:65535"), Ok("a.b 9092, ::1 1, c-d 65535".to_owned()));
        for (text, why) in [
            ("localhost", "Invalid url in bootstrap.servers: localhost"),
            ("a b:9092", "Invalid url in bootstrap.servers: a b:9092"),
            (":9092", "Invalid url in bootstrap.servers: :9092"),
            ("a:65536", "Invalid port in bootstrap.servers: a:65536"),
        ] {
            assert_eq!(read(text), Err(format!("ConfigException: {why}")));
        }
        let parts = |text: &str| Config::new().set(BOOTSTRAP, text).parts(&[]);
        for nobody in [" , ", "not-a.host.invalid:9092"] {
            let error = parts(nobody).err().unwrap();
            assert_eq!(error.message, "No resolvable bootstrap urls given in bootstrap.servers");
        }
        let known = parts("not-a.host.invalid:9092,127.0.0.1:9092").unwrap().bootstrap;
        assert_eq!(known.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(), ["127.0.0.1"]);
        let missing = Config::new().parts(&[]).err().unwrap();
        assert!(missing.message.starts_with("Missing required configuration \"bootstrap.servers\""));
        let word = Config::new().set(BOOTSTRAP, "a:1").set("rate", "1/s").parts(&["rate"]).err().unwrap();
        assert!(word.message.starts_with("rate is a word of scenarios"));
    }
}
