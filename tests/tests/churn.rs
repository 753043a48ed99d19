//! Swarms of groups: members die, stop, stand still and return, brokers die under them. No invariant may break, and when
//! all is quiet every partition has a reader, and every record has reached the group.
//!
//! `OTTLA_SEEDS=1000 cargo test --release -p ottla-tests --test churn` for more of them, `OTTLA_SEEDS=4711..4712` for one.

use std::fmt::Write;
use std::ops::Range;

use ottla_core::rng::{Seed, Stream};
use ottla_core::sim::scenario::{link, parse};
use ottla_core::sim::search::judge;
use ottla_core::time::Instant;

/// Faults happen up to here, in simulated seconds.
const STORM: u64 = 40;
/// Everybody is back from here on.
const BACK: u64 = 46;
/// Producers rest from here on.
const REST: u64 = 60;
/// Everything has settled.
const END: u64 = 120;

const STRATEGIES: [&str; 5] = [
    "RangeAssignor",
    "RoundRobinAssignor",
    "StickyAssignor",
    "CooperativeStickyAssignor",
    "RangeAssignor,CooperativeStickyAssignor",
];

#[test]
fn no_seed_of_a_group_breaks_an_invariant() {
    let mut broken = String::new();
    for seed in seeds() {
        let text = scenario(seed);
        let verdict = parse::scenario(&text).map_err(|errors| errors[0].to_string()).and_then(|one| judge(&one));
        match verdict.map(|verdict| verdict.finding) {
            Ok(None) => {}
            Ok(Some(finding)) => {
                let (what, at, found) = (finding.what, finding.at, finding.found);
                let link = link::encode(&text, at);
                writeln!(broken, "seed {seed}: {what} at {at}: {found}\n{link}\n{text}").unwrap();
            }
            Err(why) => writeln!(broken, "seed {seed}: {why}\n{}\n{text}", link::encode(&text, Instant::ZERO)).unwrap(),
        }
    }
    assert!(broken.is_empty(), "{broken}");
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("OTTLA_SEEDS") else { return 0..40 };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().unwrap()..to.parse().unwrap()
}

fn scenario(seed: u64) -> String {
    let dice = &mut Seed(seed).stream("churn");
    let brokers = *pick(dice, &[1, 3, 3]);
    let (loss, delay) = (pick(dice, &["0", "0", "0.1", "1"]), pick(dice, &["0", "3000"]));
    let mut text = format!(
        "seed {seed}\ncluster brokers={brokers} loss={loss}% offsets.topic.num.partitions=2 \
         group.initial.rebalance.delay.ms={delay} group.consumer.session.timeout.ms=6000 \
         group.consumer.min.session.timeout.ms=6000 group.consumer.heartbeat.interval.ms=1000 \
         group.consumer.min.heartbeat.interval.ms=1000\n"
    );
    if brokers > 1 && dice.chance(600_000) {
        let every = dice.between(5, 12);
        writeln!(text, "swarm kill pause cut slow hold reset every={every}s until={STORM}s for=200ms..8s").unwrap();
    }
    let topics = dice.between(1, 2);
    for topic in 0..topics {
        writeln!(text, "topic t{topic} partitions={} replication.factor={brokers}", dice.between(1, 6)).unwrap();
        writeln!(
            text,
            "producer p{topic} topic=t{topic} rate={}/s keys=50 request.timeout.ms=3000 delivery.timeout.ms=15000",
            dice.between(5, 40)
        )
        .unwrap();
    }
    let protocol = *pick(dice, &["classic", "classic", "consumer", "mixed"]);
    let strategy = *pick(dice, &STRATEGIES);
    for member in 0..dice.between(2, 5) {
        let consumer = protocol == "consumer" || (protocol == "mixed" && dice.chance(500_000));
        let how = match consumer {
            true => "group.protocol=consumer".to_owned(),
            false => {
                format!("session.timeout.ms=6000 heartbeat.interval.ms=1000 partition.assignment.strategy={strategy}")
            }
        };
        let commits = [
            "",
            " auto.commit.interval.ms=1000",
            " enable.auto.commit=false commit=sync",
            " enable.auto.commit=false commit=async",
        ];
        let (commit, pace) = (pick(dice, &commits), pick(dice, &["", " rate=100/s max.poll.records=20"]));
        let instance = if dice.chance(300_000) { format!(" group.instance.id=i{member}") } else { String::new() };
        let all = if topics == 2 && dice.chance(700_000) { "t0,t1" } else { "t0" };
        let begins = *pick(dice, &[0, 0, 1_000, 7_000, 15_000]);
        writeln!(
            text,
            "@{begins}ms consumer c{member} topics={all} group.id=g auto.offset.reset=earliest request.timeout.ms=5000 \
             {how}{instance}{commit}{pace}"
        )
        .unwrap();
        churn(dice, member, begins + 2_000, &mut text);
    }
    for topic in 0..topics {
        writeln!(text, "@{REST}s rate p{topic} 0/s").unwrap();
    }
    writeln!(text, "@{END}s expect settled\n@{END}s expect lag = 0").unwrap();
    text
}

/// One member's life.
fn churn(dice: &mut Stream, member: u64, mut now: u64, text: &mut String) {
    let mut back = None;
    loop {
        now += dice.between(1_000, 12_000);
        if now >= STORM * 1_000 {
            break;
        }
        back = match back {
            Some(word) => {
                writeln!(text, "@{now}ms {word} c{member}").unwrap();
                None
            }
            None => {
                let (word, back) = *pick(dice, &[("kill", "start"), ("stop", "start"), ("pause", "resume")]);
                writeln!(text, "@{now}ms {word} c{member}").unwrap();
                Some(back)
            }
        };
    }
    if let Some(word) = back {
        writeln!(text, "@{BACK}s {word} c{member}").unwrap();
    }
}

fn pick<'a, T>(dice: &mut Stream, of: &'a [T]) -> &'a T {
    &of[dice.below(of.len() as u64) as usize]
}
