//! The scenarios that come with Ottla: `static/scenarios/*.ottla`, the same texts for the page, the tests and a reader.

/// A scenario that comes with Ottla.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The file's name without `.ottla`.
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! prepared {
    ($($name:literal),* $(,)?) => {
        /// In the order in which a newcomer would read them; the first is what the page opens with.
        pub const ALL: &[Prepared] = &[
            $(Prepared { name: $name, text: include_str!(concat!("../../../../static/scenarios/", $name, ".ottla")) }),*
        ];
    };
}

prepared![
    "first-cluster",
    "one-chosen-record",
    "keys-and-partitions",
    "batching-and-linger",
    "leader-dies-and-returns",
    "leader-failover",
    "acks-1-loses-what-acks-all-keeps",
    "slow-follower-leaves-the-isr",
    "not-enough-replicas",
    "where-replicas-go",
    "fetch-from-follower",
    "more-brokers-more-throughput",
    "crash-loses-what-was-not-flushed",
    "cut-link-and-retry",
    "log-append-time",
    "segments-roll",
    "compaction",
    "group-shares-the-work",
    "member-dies",
    "eager-rebalance",
    "cooperative-rebalance",
    "static-member-returns",
    "slow-consumer-is-thrown-out",
    "lag-grows-and-shrinks",
    "groups-side-by-side",
    "classic-group-upgrades",
];

pub fn find(name: &str) -> Option<&'static Prepared> {
    ALL.iter().find(|prepared| prepared.name == name)
}
