//! What `ottla serve` can be told.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Where everything is kept; without it, a temporary directory that is removed at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Brokers to run; broker i has node id i
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub brokers: u16,
    /// Where the brokers are (Kafka's broker.rack), in turn: with a,b broker 3 is in a again
    #[arg(long, value_name = "RACK,…", value_delimiter = ',', value_parser = rack)]
    pub racks: Vec<String>,
    /// The address where Kafka's clients connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = address)]
    pub host: IpAddr,
    /// The name that clients are told to connect to, where it is not the address
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub advertised_host: Option<String>,
    /// Broker i listens on this port + i − 1; 0 picks free ports
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    pub kafka_port: u16,
    /// ZooKeeper's port on 127.0.0.1, for its own clients; 0 picks a free port
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub zookeeper_port: u16,
    /// The address of the page; whoever reaches it can stop brokers and delete what they hold
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = address)]
    pub http_host: IpAddr,
    /// The page, the live view and /metrics; 0 picks a free port
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http_port: u16,
    /// A broker setting, by Kafka's name; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Where the built page lies, instead of the one that this program carries
    #[arg(long, value_name = "DIR", value_parser = page)]
    pub page: Option<PathBuf>,
}

/// An address of this machine's.
fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().map_err(|_| "expected an address, such as 127.0.0.1 or ::1, or localhost".to_owned()),
    }
}

fn page(text: &str) -> Result<PathBuf, String> {
    let directory = PathBuf::from(text);
    if directory.join("index.html").is_file() { Ok(directory) } else { Err("there is no index.html in it".to_owned()) }
}

/// What a client can connect to: a name of DNS's, or an address that is one machine's.
fn host(text: &str) -> Result<String, String> {
    /// Of a name, and of each of its labels.
    const MOST: (usize, usize) = (253, 63);
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = inner.parse::<IpAddr>() {
        return match address.is_unspecified() {
            true => Err(format!("{address} is every address of this machine, and none that a client could connect to")),
            false => Ok(address.to_string()),
        };
    }
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| {
        let edges = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && label.len() <= MOST.1 && !edges && label.bytes().all(is_inner)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    match name.len() <= MOST.0 && name.split('.').all(is_label) {
        true => Ok(text.to_owned()),
        false => Err("expected a host name or an address, without a port".to_owned()),
    }
}

fn rack(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("a rack has a name".to_owned()) } else { Ok(name.to_owned()) }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_is_a_host() {
        for (given, taken) in [
            ("kafka-1.example.com", "kafka-1.example.com"),
            ("localhost", "localhost"),
            ("my_host.", "my_host."),
            ("10.0.0.7", "10.0.0.7"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(host(given), Ok(taken.to_owned()));
        }
        let long = "a.".repeat(128);
        for refused in
            ["", "a b", "host:9092", "http://host", "-a", "a..b", "ä", "0.0.0.0", "::", "[::]", &"a".repeat(64), &long]
        {
            assert!(host(refused).is_err(), "{refused:?}");
        }
    }
}
