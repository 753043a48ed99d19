//! What `/metrics` tells, in Prometheus text. The names follow Kafka's own metrics as exporters print them.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use ottla_core::broker::quota::Usage;
use ottla_core::quota::Tags;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    broker: i32,
    request: String,
}

/// Whom a quota holds for; what is not told apart is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaLabels {
    broker: i32,
    resource: &'static str,
    user: String,
    client_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokerLabels {
    broker: i32,
}

/// Of one broker. What is counted for every request is looked up once, here.
pub struct Metrics {
    /// By API key.
    requests: Vec<Counter>,
    produce_time: Histogram,
    fetch_time: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
    replication_bytes_out: Counter,
    pub connections: Gauge<i64, AtomicI64>,
    pub throttled_connections: Counter,
    pub log_bytes: Gauge<i64, AtomicI64>,
    pub log_segments: Gauge<i64, AtomicI64>,
    pub partitions: Gauge<i64, AtomicI64>,
    pub parked: Gauge<i64, AtomicI64>,
}

impl Metrics {
    pub fn request(&self, api: ApiKey, bytes: usize) {
        self.bytes_in.inc_by(bytes as u64);
        if let Some(counter) = self.requests.get(api as usize) {
            counter.inc();
        }
    }

    /// An answer is about to be sent, to a follower or to a client, `took` after its request was read.
    pub fn response(&self, api: ApiKey, follower: bool, bytes: usize, took: Duration) {
        let out = if follower { &self.replication_bytes_out } else { &self.bytes_out };
        out.inc_by(bytes as u64);
        match api {
            ApiKey::Produce => self.produce_time.observe(took.as_secs_f64()),
            ApiKey::Fetch => self.fetch_time.observe(took.as_secs_f64()),
            _ => {}
        }
    }

    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.get(), self.bytes_out.get())
    }

    /// Requests read so far.
    pub fn requests(&self) -> u64 {
        self.requests.iter().map(|counter| counter.get()).sum()
    }
}

/// All metrics of the process.
pub struct AllMetrics {
    registry: Registry,
    requests: Family<ApiLabels, Counter>,
    produce_time: Family<BrokerLabels, Histogram, fn() -> Histogram>,
    fetch_time: Family<BrokerLabels, Histogram, fn() -> Histogram>,
    bytes_in: Family<BrokerLabels, Counter>,
    bytes_out: Family<BrokerLabels, Counter>,
    replication_bytes_out: Family<BrokerLabels, Counter>,
    connections: Family<BrokerLabels, Gauge>,
    throttled_connections: Family<BrokerLabels, Counter>,
    log_bytes: Family<BrokerLabels, Gauge>,
    log_segments: Family<BrokerLabels, Gauge>,
    partitions: Family<BrokerLabels, Gauge>,
    parked: Family<BrokerLabels, Gauge>,
    quotas: Quotas,
}

type QuotaGauges = Family<QuotaLabels, Gauge<f64, AtomicU64>>;

/// What clients do, where there are quotas.
#[derive(Default)]
struct Quotas {
    byte_rate: QuotaGauges,
    request_time: QuotaGauges,
    throttle_time: QuotaGauges,
    mutation_rate: QuotaGauges,
    tokens: QuotaGauges,
}

impl Default for AllMetrics {
    fn default() -> Self {
        // 50 µs to about 26 s: Kafka's clients wait no longer than 30 s for an answer.
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(5e-5, 2.0, 20));
        let times = || Family::new_with_constructor(buckets);
        let mut metrics = AllMetrics {
            registry: Registry::default(),
            requests: Family::default(),
            produce_time: times(),
            fetch_time: times(),
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            replication_bytes_out: Family::default(),
            connections: Family::default(),
            throttled_connections: Family::default(),
            log_bytes: Family::default(),
            log_segments: Family::default(),
            partitions: Family::default(),
            parked: Family::default(),
            quotas: Quotas::default(),
        };
        let m = &mut metrics;
        let r = &mut m.registry;
        r.register("kafka_network_requestmetrics_requests", "Requests read, by API", m.requests.clone());
        r.register_with_unit(
            "kafka_network_requestmetrics_produce_time",
            "From a Produce request read to its answer encoded",
            Unit::Seconds,
            m.produce_time.clone(),
        );
        r.register_with_unit(
            "kafka_network_requestmetrics_fetch_time",
            "From a Fetch request read to its answer encoded, waiting for data included",
            Unit::Seconds,
            m.fetch_time.clone(),
        );
        r.register("kafka_server_brokertopicmetrics_bytesin", "Bytes of requests", m.bytes_in.clone());
        r.register("kafka_server_brokertopicmetrics_bytesout", "Bytes of answers to clients", m.bytes_out.clone());
        r.register(
            "kafka_server_brokertopicmetrics_replicationbytesout",
            "Bytes of answers to followers",
            m.replication_bytes_out.clone(),
        );
        r.register("kafka_server_socketserver_connection_count", "Clients' connections", m.connections.clone());
        r.register(
            "kafka_server_socketserver_throttled_connections",
            "Connections closed because their address opened too many",
            m.throttled_connections.clone(),
        );
        r.register("kafka_log_log_size", "Bytes of all segments of all logs", m.log_bytes.clone());
        r.register("kafka_log_log_numlogsegments", "Segments of all logs", m.log_segments.clone());
        r.register("kafka_server_replicamanager_partitioncount", "Partitions hosted", m.partitions.clone());
        r.register(
            "kafka_server_delayedoperationpurgatory_numdelayedoperations",
            "Requests parked until data or time comes",
            m.parked.clone(),
        );
        for (name, help, family) in [
            ("byte_rate", "Bytes a second, by user and client", &m.quotas.byte_rate),
            ("request_time", "Hundredths of a second of the broker's time in each second", &m.quotas.request_time),
            ("throttle_time", "Milliseconds that clients were told to wait, on average", &m.quotas.throttle_time),
            ("mutation_rate", "Partitions made and removed a second", &m.quotas.mutation_rate),
            ("tokens", "Partitions that may still be made and removed at once", &m.quotas.tokens),
        ] {
            r.register(format!("kafka_server_quota_{name}"), help, family.clone());
        }
        metrics
    }
}

impl AllMetrics {
    pub fn broker(&self, broker: i32) -> Metrics {
        let labels = BrokerLabels { broker };
        let last = ApiKey::iter().map(|api| api as usize).max().unwrap_or(0);
        let unknown = Counter::default();
        let requests = (0..=last as i16).map(|key| {
            ApiKey::try_from(key).map_or_else(
                |()| unknown.clone(),
                |api| self.requests.get_or_create(&ApiLabels { broker, request: format!("{api:?}") }).clone(),
            )
        });
        Metrics {
            requests: requests.collect(),
            produce_time: self.produce_time.get_or_create(&labels).clone(),
            fetch_time: self.fetch_time.get_or_create(&labels).clone(),
            bytes_in: self.bytes_in.get_or_create(&labels).clone(),
            bytes_out: self.bytes_out.get_or_create(&labels).clone(),
            replication_bytes_out: self.replication_bytes_out.get_or_create(&labels).clone(),
            connections: self.connections.get_or_create(&labels).clone(),
            throttled_connections: self.throttled_connections.get_or_create(&labels).clone(),
            log_bytes: self.log_bytes.get_or_create(&labels).clone(),
            log_segments: self.log_segments.get_or_create(&labels).clone(),
            partitions: self.partitions.get_or_create(&labels).clone(),
            parked: self.parked.get_or_create(&labels).clone(),
        }
    }

    /// What clients of all brokers do, by the brokers' ids.
    pub fn usage(&self, brokers: &[(i32, Usage)]) {
        let Quotas { byte_rate, request_time, throttle_time, mutation_rate, tokens } = &self.quotas;
        for family in [byte_rate, request_time, throttle_time, mutation_rate, tokens] {
            family.clear();
        }
        for (broker, usage) in brokers {
            let labels = |resource: &'static str, tags: &Tags| QuotaLabels {
                broker: *broker,
                resource,
                user: tags.user.clone(),
                client_id: tags.client.clone(),
            };
            for (resource, family, clients) in [
                ("Produce", byte_rate, &usage.produce),
                ("Fetch", byte_rate, &usage.fetch),
                ("Request", request_time, &usage.request),
            ] {
                for client in clients {
                    let labels = labels(resource, &client.tags);
                    family.get_or_create(&labels).set(client.rate);
                    throttle_time.get_or_create(&labels).set(client.waited.unwrap_or(0.0));
                }
            }
            for client in &usage.mutations {
                let labels = labels("ControllerMutation", &client.tags);
                mutation_rate.get_or_create(&labels).set(client.rate);
                if let Some(left) = client.tokens {
                    tokens.get_or_create(&labels).set(left);
                }
            }
        }
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }
}
