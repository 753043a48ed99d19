//! Kafka's historic mistakes, each a switch: a scenario's line `bug NAME` turns one on, so that the search for what breaks
//! an invariant can be seen to find it. A server never has one.
//!
//! | name | what Kafka did | what it did about it | here |
//! | --- | --- | --- | --- |
//! | `truncate-to-high-watermark` | A follower cut its log back to its own high watermark, which lags behind its leader's: elected before it had fetched again, it had lost what was committed. | KIP-101: it asks where its last epoch ends in the leader's log. | [`replication`](crate::broker) |
//! | `kip-101-only` | The leader answered with an offset alone. Where it had never heard of the epoch, after two fast elections, the offset was one of another epoch, and the two logs went apart below it. | KIP-279: the answer says of which epoch it is, and the follower asks again. | the same |
//! | `kip-320-first-try` | A follower cut nothing when its leader changed, and only fetched; its leader told it where the two logs part. But neither knew that they spoke in one epoch, so a leader counted followers of a leader before it. | KIP-320: every fetch says in which epoch it is, and is refused in another; logs are cut when the epoch changes. | the same |
//! | `unclean-election` | When no replica in sync lived, any other led: the default. | KIP-106: `unclean.leader.election.enable=false`. | the broker's settings |
//! | `transactions-before-kip-890` | Whoever knew a transactional id's producer could write, whether the transaction was open or not. A batch that came late became part of the next one, or of none that anybody would end. | KIP-890: leaders ask the coordinator before a transaction's first batch, and every transaction has an epoch of its own. | the broker's settings |
//!
//! With the first three a fetch does not say in which epoch it is, as it did not then: what came later would heal them.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    TruncateToHighWatermark,
    Kip101Only,
    Kip320FirstTry,
    UncleanElection,
    TransactionsBeforeKip890,
}

/// Those that are turned on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs(u8);

impl Bug {
    pub const ALL: [Bug; 5] = [
        Bug::TruncateToHighWatermark,
        Bug::Kip101Only,
        Bug::Kip320FirstTry,
        Bug::UncleanElection,
        Bug::TransactionsBeforeKip890,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Bug::TruncateToHighWatermark => "truncate-to-high-watermark",
            Bug::Kip101Only => "kip-101-only",
            Bug::Kip320FirstTry => "kip-320-first-try",
            Bug::UncleanElection => "unclean-election",
            Bug::TransactionsBeforeKip890 => "transactions-before-kip-890",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Bugs {
    pub fn has(self, bug: Bug) -> bool {
        self.0 & 1 << bug as u8 != 0
    }

    /// What a broker's settings are then.
    pub fn settings(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let of = |bug: Bug| -> &[(&str, &str)] {
            match bug {
                Bug::UncleanElection => &[("unclean.leader.election.enable", "true")],
                Bug::TransactionsBeforeKip890 => {
                    &[("transaction.partition.verification.enable", "false"), ("ottla.transaction.version", "0")]
                }
                Bug::TruncateToHighWatermark | Bug::Kip101Only | Bug::Kip320FirstTry => &[],
            }
        };
        Bug::ALL.into_iter().filter(move |bug| self.has(*bug)).flat_map(of).copied()
    }

    /// A fetch says in which leader epoch it is (KIP-320), and is refused in another.
    pub fn fences_fetches(self) -> bool {
        self.tells_last_epoch() && !self.has(Bug::Kip320FirstTry)
    }

    /// A fetch says in which epoch the follower's last record was written.
    pub fn tells_last_epoch(self) -> bool {
        !self.has(Bug::TruncateToHighWatermark) && !self.has(Bug::Kip101Only)
    }
}

impl FromIterator<Bug> for Bugs {
    fn from_iter<T: IntoIterator<Item = Bug>>(bugs: T) -> Bugs {
        Bugs(bugs.into_iter().fold(0, |bugs, bug| bugs | 1 << bug as u8))
    }
}
