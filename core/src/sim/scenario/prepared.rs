//! The scenarios that come with Ottla: `static/scenarios/*.ottla`, the same texts for the page, the tests and a reader.
//!
//! What each of them hangs on stands in its text (`flip.rs`); tests hold it to that, and to a golden trace.

/// A scenario that comes with Ottla.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The file's name without `.ottla`.
    pub name: &'static str,
    /// What it is about, among others.
    pub group: &'static str,
    pub text: &'static str,
}

macro_rules! prepared {
    ($(#[$doc:meta])* $list:ident; $($group:literal: [$($name:literal),* $(,)?]),* $(,)?) => {
        $(#[$doc])*
        pub const $list: &[Prepared] = &[
            $($(Prepared {
                name: $name,
                group: $group,
                text: include_str!(concat!("../../../../static/scenarios/", $name, ".ottla")),
            },)*)*
        ];
    };
}

prepared![
    /// In the order in which a newcomer would read them, group by group; the first is what the page opens with.
    ALL;
    "First steps": [
        "first-cluster",
        "one-chosen-record",
        "keys-and-partitions",
        "batching-and-linger",
        "leader-dies-and-returns",
    ],
    "Replication": [
        "where-replicas-go",
        "leader-failover",
        "acks-1-loses-what-acks-all-keeps",
        "uncommitted-records-are-sent-again",
        "slow-follower-leaves-the-isr",
        "not-enough-replicas",
        "the-last-replica-and-its-disk",
        "unclean-election",
        "congestion-shrinks-the-isr",
        "more-brokers-more-throughput",
        "rack-failure",
        "fetch-from-follower",
        "kip-101-before",
        "kip-101-after",
    ],
    "Controller and ZooKeeper": [
        "controller-failover",
        "zombie-controller",
        "zookeeper-session-loss",
    ],
    "Producers": [
        "at-least-once-duplicates",
        "at-most-once-loses",
        "idempotence-removes-the-duplicate",
        "duplicates-that-the-application-makes",
        "buffer-full",
        "requests-per-thousand-records",
        "stock-ticks",
        "more-partitions-move-keys",
        "custom-partitioner",
        "no-order-across-partitions",
        "a-wrong-clock",
        "poison-pill",
    ],
    "Transactions": [
        "transactions-commit-and-abort",
        "read-committed-waits",
        "zombie-producer-is-fenced",
    ],
    "Logs and links": [
        "crash-loses-what-was-not-flushed",
        "cut-link-and-retry",
        "log-append-time",
        "segments-roll",
        "compaction",
    ],
    "Groups": [
        "group-shares-the-work",
        "groups-side-by-side",
        "member-dies",
        "eager-rebalance",
        "cooperative-rebalance",
        "static-member-returns",
        "slow-consumer-is-thrown-out",
        "lag-grows-and-shrinks",
        "classic-group-upgrades",
    ],
];

prepared![
    /// What `ottla search` plays with many seeds. Played once they are the run of one seed, in which little may happen.
    SEARCHES;
    "For ottla search": [
        "search-three-brokers",
        "search-list-append",
        "search-exactly-once",
        "search-truncate-to-high-watermark",
        "search-kip-101-only",
        "search-kip-320-first-try",
        "search-unclean-election",
        "search-transactions-before-kip-890",
    ],
];

pub fn every() -> impl Iterator<Item = &'static Prepared> {
    ALL.iter().chain(SEARCHES)
}

pub fn find(name: &str) -> Option<&'static Prepared> {
    every().find(|prepared| prepared.name == name)
}
