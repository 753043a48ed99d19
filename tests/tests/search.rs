//! `ottla search`, as its user runs it: it finds each of Kafka's historic mistakes and shrinks it, and finds nothing where
//! there is nothing, in a swarm that holds faults of every kind and in those of transactions.

use std::path::PathBuf;
use std::process::Command;

use ottla_core::sim::scenario::{Action, parse};
use ottla_tests::server::RELEASED;

/// What must find a mistake, and what must find none without it.
const SEEDS: u64 = 2_000;
/// What CI plays of the swarm: each at least a minute of the cluster's time.
const SWARM: u64 = 10_000;
/// And of those of transactions.
const TRANSACTIONS: u64 = 300;

struct Searched {
    code: Option<i32>,
    out: String,
}

fn search(text: &str, seeds: u64) -> Searched {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scenario.ottla");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(&*RELEASED);
    let output = command.args(["search", "--seeds", &seeds.to_string()]).arg(file).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{out}{}", String::from_utf8_lossy(&output.stderr));
    Searched { code: output.status.code(), out }
}

fn scenario(name: &str) -> String {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../static/scenarios"));
    std::fs::read_to_string(directory.join(name).with_extension("ottla")).unwrap()
}

/// Found with the line `bug`, shrunk to less, and shown to break the same by the printed link; without the line nothing is.
fn finds(mistake: &str) {
    let text = scenario(&format!("search-{mistake}"));
    let line = format!("bug {mistake}\n");
    assert!(text.contains(&line));
    let parsed = parse::scenario(&text).unwrap();
    assert!(!parsed.actions.iter().any(|timed| matches!(timed.action, Action::Fault(_))), "the seed draws every fault");

    let with = search(&text, SEEDS);
    assert_eq!(with.code, Some(1), "{mistake} was not found");
    let link = with.out.split_whitespace().find(|word| word.starts_with("'#v1.")).expect("a link");
    let (_, shrunk) = with.out.split_once("shrunk from ").unwrap();
    let sizes: Vec<usize> = shrunk.split_whitespace().filter_map(|word| word.parse().ok()).take(2).collect();
    assert!(sizes[1] < sizes[0], "{shrunk}");
    let played = Command::new(&*RELEASED).args(["run", link.trim_matches('\'')]).output().unwrap();
    assert_eq!(played.status.code(), Some(1), "what was shrunk breaks nothing: {link}");

    let without = search(&text.replace(&line, ""), SEEDS);
    assert_eq!(without.code, Some(0), "without {mistake}: {}", without.out);
}

#[test]
fn a_truncation_to_the_high_watermark_is_found() {
    finds("truncate-to-high-watermark");
}

#[test]
fn kip_101_alone_is_found_wanting() {
    finds("kip-101-only");
}

#[test]
fn the_first_try_of_kip_320_is_found_wanting() {
    finds("kip-320-first-try");
}

#[test]
fn transactions_before_kip_890_are_found_wanting() {
    finds("transactions-before-kip-890");
}

#[test]
fn an_unclean_election_is_found() {
    finds("unclean-election");
}

#[test]
fn three_brokers_survive_what_a_swarm_does_to_them() {
    let counts = survives(&scenario("search-three-brokers"), SWARM);
    for wanted in ["elections", "ISR changes", "truncations", "session losses", "kill", "crash", "pause", "cut", "slow"]
    {
        assert!(counts.iter().any(|(name, _)| name == wanted), "{wanted} are not counted");
    }
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn transactions_that_append_to_several_lists_are_seen_whole_or_not_at_all() {
    let counts = survives(&scenario("search-list-append"), TRANSACTIONS);
    held(&counts, &["commits", "aborts", "fenced", "timed-out transactions", "elections", "kill", "pause", "cut"]);
}

#[test]
fn what_an_application_consumes_and_produces_counts_exactly_once() {
    let counts = survives(&scenario("search-exactly-once"), TRANSACTIONS);
    held(
        &counts,
        &["commits", "aborts", "fenced", "timed-out transactions", "rebalances", "elections", "kill", "pause"],
    );
}

/// The same where the coordinator assigns (KIP-848).
#[test]
fn it_counts_exactly_once_under_the_consumer_protocol_too() {
    let classic = scenario("search-exactly-once");
    let paced = " session.timeout.ms=6000 heartbeat.interval.ms=1000";
    assert_eq!(classic.matches(paced).count(), 2, "both applications are members");
    let pace = "group.consumer.session.timeout.ms=6000 group.consumer.min.session.timeout.ms=6000 \
                group.consumer.heartbeat.interval.ms=1000 group.consumer.min.heartbeat.interval.ms=1000";
    let text = classic.replace(paced, " group.protocol=consumer");
    let text = text.replacen("cluster brokers=3", &format!("cluster brokers=3 {pace}"), 1);
    let counts = survives(&text, TRANSACTIONS);
    held(&counts, &["commits", "aborts", "fenced", "rebalances", "elections", "kill", "pause"]);
}

/// Each was there, and not once or twice in all these runs.
fn held(counts: &[(String, u64)], wanted: &[&str]) {
    for wanted in wanted {
        let count = counts.iter().find(|(name, _)| name == wanted).map_or(0, |(_, count)| *count);
        assert!(count > TRANSACTIONS / 10, "{count} {wanted} in {counts:?}");
    }
}

/// Nothing breaks in so many seeds, each of them at least a minute; what they held.
fn survives(text: &str, seeds: u64) -> Vec<(String, u64)> {
    let searched = search(text, seeds);
    assert_eq!(searched.code, Some(0), "{}", searched.out);
    let mut lines = searched.out.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let number = |place: usize| head[place].parse::<f64>().unwrap();
    assert_eq!(number(0), seeds as f64);
    assert!(number(2) >= 60.0 * seeds as f64, "{head:?}");
    let count = |(count, name): (&str, &str)| (name.to_owned(), count.parse().unwrap());
    lines.map(|line| count(line.trim().split_once(' ').unwrap())).collect()
}
