//! What the cluster is made of: the line `cluster`.
//!
//! ```text
//! cluster brokers=3 racks=a,b,c latency=1ms..5ms loss=0.1% link=10MB/s disk=50MB/s requests=2000/s placement=kafka log.segment.bytes=1048576
//! ```
//!
//! Without `link`, `disk` and `requests` nothing is ever busy. With them a broker's network card passes so many bytes a
//! second in and as many out, its disk writes so many, and it takes up so many requests a second: what is too much waits.

use std::fmt::{self, Display, Formatter};

use super::ParseError;
use super::line::Line;
use super::names::{broker_setting, is_name};
use super::parse::{MAX_BROKERS, duration};
use super::text::Span;
use crate::client::setting::{Decimal, decimal};
use crate::config::{BrokerSettings, ConfigError};
use crate::time::Duration;
use crate::vec_map::VecMap;

/// Those that are ours; all others are Kafka's broker settings.
pub(super) const PROPERTIES: [&str; 8] = ["brokers", "racks", "latency", "loss", "link", "disk", "requests", PLACEMENT];

/// `cluster placement=kafka`, and the setting that it is short for.
const PLACEMENT: &str = "placement";
const PLACEMENT_SETTING: &str = "ottla.placement";

/// With none at all, two that answer each other at once would keep the clock where it is.
const SHORTEST: Duration = Duration::from_micros(1);
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    pub brokers: u32,
    /// Given to brokers in turn.
    pub racks: Vec<String>,
    /// Kafka's broker settings, checked.
    pub settings: VecMap<String, String>,
    /// Of every link, one way, from and to.
    pub latency: Option<(Duration, Duration)>,
    /// Messages lost, in a million.
    pub loss_per_million: u32,
    pub capacity: Capacity,
}

/// What a broker's machine can do in a second; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Of its network card, each way.
    pub link_bytes: Option<u64>,
    /// Of its disk, written.
    pub disk_bytes: Option<u64>,
    pub requests: Option<u64>,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            brokers: 1,
            racks: Vec::new(),
            settings: VecMap::new(),
            latency: None,
            loss_per_million: 0,
            capacity: Capacity::default(),
        }
    }
}

impl Display for Cluster {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cluster brokers={}", self.brokers)?;
        if !self.racks.is_empty() {
            write!(f, " racks={}", self.racks.join(","))?;
        }
        match self.latency {
            Some((from, to)) if from == to => write!(f, " latency={}", Span(from))?,
            Some((from, to)) => write!(f, " latency={}..{}", Span(from), Span(to))?,
            None => {}
        }
        if self.loss_per_million > 0 {
            write!(f, " loss={}%", Decimal(u64::from(self.loss_per_million), 4))?;
        }
        let Capacity { link_bytes, disk_bytes, requests } = self.capacity;
        for (name, bytes) in [("link", link_bytes), ("disk", disk_bytes)] {
            if let Some(bytes) = bytes {
                write!(f, " {name}={}/s", Size(bytes))?;
            }
        }
        if let Some(requests) = requests {
            write!(f, " requests={requests}/s")?;
        }
        let mut settings = self.settings.clone();
        if let Some(placement) = settings.remove(PLACEMENT_SETTING) {
            write!(f, " {PLACEMENT}={placement}")?;
        }
        super::text::settings(f, &settings)
    }
}

/// `10MB`, exactly.
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..1_000 => write!(f, "{}B", self.0),
            1_000..1_000_000 => write!(f, "{}KB", Decimal(self.0, 3)),
            1_000_000..1_000_000_000 => write!(f, "{}MB", Decimal(self.0, 6)),
            1_000_000_000.. => write!(f, "{}GB", Decimal(self.0, 9)),
        }
    }
}

/// `10MB/s`, `1.5GB/s`, `500KB/s`: at least 1 KB, at most 1 TB.
fn bytes_per_second(text: &str) -> Option<u64> {
    let size = text.strip_suffix("/s")?;
    let digits = size.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?;
    let unit = match &size[digits..] {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    decimal(&size[..digits], unit).filter(|bytes| (1_000..=1_000_000_000_000).contains(bytes))
}

impl Line<'_> {
    pub(super) fn cluster(&self) -> Result<Cluster, ParseError> {
        let mut cluster = Cluster::default();
        for (name, value, word) in self.properties(1)? {
            match name.as_str() {
                "brokers" => match value.parse() {
                    Ok(count) if (1..=MAX_BROKERS).contains(&count) => cluster.brokers = count,
                    _ => return self.at(&word, format!("expected brokers from 1 to {MAX_BROKERS}, found {value}")),
                },
                "racks" => {
                    cluster.racks = value.split(',').map(str::to_string).collect();
                    if !cluster.racks.iter().all(|rack| is_name(rack)) {
                        return self.at(&word, "expected racks by name, such as racks=a,b,c");
                    }
                }
                "latency" => {
                    let (from, to) = value.split_once("..").unwrap_or((&value, &value));
                    match (duration(from), duration(to)) {
                        (Some(from), Some(to)) if from >= SHORTEST && (from..=LONGEST).contains(&to) => {
                            cluster.latency = Some((from, to));
                        }
                        (Some(least), Some(most)) if least > most => {
                            return self.at(&word, "expected a latency from the least to the most, such as 1ms..5ms");
                        }
                        _ => return self.at(&word, "expected a latency from 1us to 60s, such as 5ms or 1ms..5ms"),
                    }
                }
                "loss" => match value.strip_suffix('%').and_then(|percent| decimal(percent, 10_000)) {
                    Some(loss) if loss <= 1_000_000 => cluster.loss_per_million = loss as u32,
                    _ => return self.at(&word, "expected a loss from 0% to 100%, such as 0.1%"),
                },
                "link" | "disk" => {
                    let Some(bytes) = bytes_per_second(&value) else {
                        return self
                            .at(&word, format!("expected {name} from 1KB/s to 1000GB/s, such as {name}=10MB/s"));
                    };
                    match name.as_str() {
                        "link" => cluster.capacity.link_bytes = Some(bytes),
                        _ => cluster.capacity.disk_bytes = Some(bytes),
                    }
                }
                "requests" => match value.strip_suffix("/s").and_then(|count| count.parse().ok()) {
                    Some(count @ 1..=1_000_000) => cluster.capacity.requests = Some(count),
                    _ => return self.at(&word, "expected requests from 1/s to 1000000/s, such as requests=2000/s"),
                },
                _ => {
                    let name = if name == PLACEMENT { PLACEMENT_SETTING.to_owned() } else { name };
                    broker_setting(&name, &value).or_else(|message| self.at(&word, message))?;
                    cluster.settings.insert(name, value);
                }
            }
        }
        if let Err(ConfigError(why)) = BrokerSettings::parse(&cluster.settings) {
            return self.wrong_together(1, &why);
        }
        Ok(cluster)
    }
}
