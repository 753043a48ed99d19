//! Swarms: every seed is another cluster with other clients and other faults. No invariant may break, and once the
//! faults are over every record is accepted or refused and every consumer catches up.
//!
//! `OTTLA_SEEDS=1000 cargo test --release -p ottla-tests --test seeds` for more of them, `OTTLA_SEEDS=4711..4712` for one.

use std::fmt::Write;
use std::ops::Range;

use ottla_core::rng::{Seed, Stream};
use ottla_core::sim::Tally;
use ottla_core::sim::scenario::{link, parse};
use ottla_core::sim::search::{Verdict, judge};
use ottla_core::time::Instant;

/// Faults happen up to here, in simulated seconds.
const STORM: u64 = 30;
/// Producers rest from here on.
const REST: u64 = 45;
/// Everything has settled: longer than the clients' time-outs.
const END: u64 = 90;

#[test]
fn no_seed_breaks_an_invariant() {
    let (mut broken, mut tally) = (String::new(), Tally::default());
    for seed in seeds() {
        let text = scenario(seed);
        match play(&text) {
            Ok(Verdict { finding: None, tally: one, .. }) => tally.add(&one),
            Ok(Verdict { finding: Some(finding), .. }) => {
                let (what, at, found) = (finding.what, finding.at, finding.found);
                let link = link::encode(&text, at);
                writeln!(broken, "seed {seed}: {what} at {at}: {found}\n{link}\n{text}").unwrap();
            }
            Err(why) => writeln!(broken, "seed {seed}: {why}\n{}\n{text}", link::encode(&text, Instant::ZERO)).unwrap(),
        }
    }
    assert!(broken.is_empty(), "{broken}");
    println!("{}", tally.counts().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", "));
}

/// What searches found once, shrunk by them.
#[test]
fn what_was_found_once_is_not_found_again() {
    // A coordinator that began to lead while its slow disk still owed it the end of its log read that log twice at a time.
    let loading = "seed 277
cluster brokers=3
producer p1 topic=orders rate=1/s
consumer c1 topics=orders group.id=shop
consumer c2 topics=orders group.id=shop group.protocol=consumer
@100ms kill broker-2
@150ms start broker-2
@3s slow broker-2 disk 1.996s
@3s pause broker-3
@5.63s resume broker-3
@7.7s heal
@7.8s rate p1 0/s
@51.8s expect settled
";
    let verdict = play(loading).unwrap();
    assert!(verdict.finding.is_none(), "{:?}", verdict.finding);
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("OTTLA_SEEDS") else { return 0..60 };
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    from.parse().unwrap()..to.parse().unwrap()
}

fn play(text: &str) -> Result<Verdict, String> {
    judge(&parse::scenario(text).map_err(|errors| errors[0].to_string())?)
}

fn scenario(seed: u64) -> String {
    let dice = &mut Seed(seed).stream("scenario");
    let more = &mut Seed(seed).stream("transactions");
    let brokers = dice.between(1, 4);
    let loss = pick(dice, &["0", "0", "0.1", "2"]);
    let racks = pick(dice, &["", " racks=a,b"]);
    let capacity = pick(dice, &["", "", "", " link=1MB/s", " disk=1MB/s", " requests=2000/s"]);
    let mut text = format!("seed {seed}\ncluster brokers={brokers} loss={loss}%{racks}{capacity}\n");
    // Then no machine dies: every record that is committed must stay.
    let replicated = dice.chance(700_000);
    let kinds = if replicated { "kill pause cut slow hold reset skew" } else { "" };
    writeln!(text, "swarm {kinds} every={}s until={STORM}s for=200ms..12s", dice.between(3, 10)).unwrap();
    let topics = dice.between(1, 2);
    for topic in 0..topics {
        let partitions = dice.between(1, 6);
        let flush = pick(dice, &["", "", " flush.messages=1", " flush.ms=500"]);
        let segment = pick(dice, &["", " segment.bytes=1048576"]);
        let factor = if replicated { dice.between(1, brokers) } else { 1 };
        let insync = pick(dice, &["", "", " min.insync.replicas=2"]);
        writeln!(text, "topic t{topic} partitions={partitions} replication.factor={factor}{insync}{flush}{segment}")
            .unwrap();
    }
    let producers = dice.between(1, 3);
    for producer in 0..producers {
        let (topic, rate) = (dice.below(topics), dice.between(1, 60));
        let acks = pick(dice, &["all", "1", "1", "0"]);
        let linger = pick(dice, &["0", "5", "100"]);
        let codec = pick(dice, &["none", "none", "gzip", "snappy", "lz4"]);
        let keys = pick(dice, &["0", "7"]);
        write!(
            text,
            "producer p{producer} topic=t{topic} rate={rate}/s acks={acks} linger.ms={linger} compression.type={codec} \
             keys={keys} request.timeout.ms=3000 delivery.timeout.ms=15000"
        )
        .unwrap();
        // Where machines die, what coordinators know may die with them.
        if acks == "all" && replicated && more.chance(500_000) {
            let (every, aborts) = (more.between(1, 30), pick(more, &["0", "20"]));
            write!(
                text,
                " transactional.id=x{producer} transaction.every={every} transaction.aborts={aborts} \
                 transaction.timeout.ms=10000"
            )
            .unwrap();
        }
        text.push('\n');
    }
    for consumer in 0..dice.between(1, 2) {
        let topic = dice.below(topics);
        let isolation = pick(more, &["", " isolation.level=read_committed"]);
        writeln!(
            text,
            "consumer c{consumer} topics=t{topic} auto.offset.reset=earliest request.timeout.ms=5000{isolation}"
        )
        .unwrap();
    }
    for producer in 0..producers {
        writeln!(text, "@{REST}s rate p{producer} 0/s").unwrap();
    }
    writeln!(text, "@{END}s expect settled\n@{END}s expect lag = 0").unwrap();
    text
}

fn pick<'a>(dice: &mut Stream, of: &[&'a str]) -> &'a str {
    of[dice.below(of.len() as u64) as usize]
}
