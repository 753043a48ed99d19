//! Golden scripts: a scenario, `---`, and the story that it tells. The file's name is its claim.
//!
//! Two comments ask for more than the event log:
//! `# trace: broker-1 < request | reply` adds every event and effect whose line contains one of those texts;
//! `# watch: broker-1 orders-0` adds what that replica holds for true, whenever that changes.
//!
//! Prepared scenarios have one each, too, in `scripts/prepared/`: what breaks and what the cluster decides, what every
//! `expect` found, and the hash of the trace, which has every event and effect.
//!
//! `UPDATE_GOLDEN=1 cargo test -p ottla-tests --test golden` writes what is told now; read the difference before you
//! commit it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::{parse, prepared};
use ottla_core::sim::trace::{Trace, TraceHash};
use ottla_core::time::Duration;
use ottla_core::view::{Detail, Level, Target};

const SEPARATOR: &str = "---\n";
/// What happens after the last action still belongs to the story.
const AFTERMATH: Duration = Duration::from_secs(1);

#[test]
fn every_script_tells_its_story() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    let scripts = scripts();
    assert!(scripts.len() >= 6, "the scripts are in {}", directory().display());
    for path in scripts {
        let text = std::fs::read_to_string(&path).unwrap();
        let (script, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let told = tell(script).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if told == expected {
            continue;
        }
        if update {
            std::fs::write(&path, format!("{script}{SEPARATOR}{told}")).unwrap();
        } else {
            writeln!(wrong, "{}:\n{}", path.display(), difference(expected, &told)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_prepared_scenario_goes_the_way_that_it_went() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    for scenario in prepared::ALL {
        let path = directory().join("prepared").join(format!("{}.golden", scenario.name));
        let told = pin(scenario.text).unwrap_or_else(|why| panic!("{}: {why}", scenario.name));
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if told == expected {
            continue;
        }
        if update {
            std::fs::write(&path, told).unwrap();
        } else {
            writeln!(wrong, "{}:\n{}", path.display(), difference(&expected, &told)).unwrap();
        }
    }
    let kept = std::fs::read_dir(directory().join("prepared")).unwrap().count();
    assert_eq!(kept, prepared::ALL.len(), "a golden of a scenario that is no more");
    assert!(wrong.is_empty(), "{wrong}");
}

/// What of a run does not change unnoticed.
fn pin(text: &str) -> Result<String, String> {
    let scenario = parse::scenario(text).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    simulation.set_trace(Trace::Hash(TraceHash::default()));
    let (mut story, mut told) = (String::new(), 0);
    loop {
        let more = simulation.step(scenario.last());
        for line in simulation.lines_from(told) {
            told = line.seq + 1;
            let of_cluster = ["broker-", "scenario", "zookeeper", "check"].iter().any(|who| line.node.starts_with(who));
            if of_cluster && line.level != Level::Info && !line.text.starts_with("connected with") {
                writeln!(story, "{} {} {}", line.at, line.node, line.text).unwrap();
            }
        }
        if !more {
            break;
        }
    }
    count(&mut story, &simulation);
    let hash = simulation.trace().hash().expect("it keeps one");
    writeln!(story, "= {} events, trace {hash:016x}", simulation.event()).unwrap();
    Ok(story)
}

/// The event log of the whole run, then what the clients count.
fn tell(script: &str) -> Result<String, String> {
    let scenario = parse::scenario(script).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    let end = scenario.last() + AFTERMATH;
    let mut story = String::new();
    let mut told = 0;
    let comments = |word: &'static str| script.lines().filter_map(move |line| line.strip_prefix(word));
    let traced: Vec<&str> = comments("# trace: ").flat_map(|texts| texts.split(" | ")).collect();
    let mut watched: Vec<(Target, String)> =
        comments("# watch: ").map(|what| (target(what), "dead".to_owned())).collect();
    simulation.set_trace(if traced.is_empty() { Trace::Off } else { Trace::Lines(Vec::new()) });
    loop {
        let more = simulation.step(end);
        for line in simulation.trace().take() {
            let line = line.to_string();
            if traced.iter().any(|text| line.contains(text)) {
                writeln!(story, "{line}").unwrap();
            }
        }
        for (target, before) in &mut watched {
            let now = simulation.detail(target).map(held_for_true).unwrap_or_default();
            let now = if now.is_empty() { "dead".to_owned() } else { now };
            if *before != now {
                let Target::Partition { broker, .. } = target else { continue };
                writeln!(story, "{} broker-{broker} = {now}", simulation.now()).unwrap();
                *before = now;
            }
        }
        for line in simulation.lines_from(told) {
            told = line.seq + 1;
            writeln!(story, "{} {} {:?} {}", line.at, line.node, line.level, line.text).unwrap();
        }
        if !more {
            break;
        }
    }
    count(&mut story, &simulation);
    for broken in simulation.violations().iter().filter(|broken| broken.exempt.is_none()) {
        writeln!(story, "= {} is violated: {}", broken.invariant, broken.found).unwrap();
    }
    Ok(story)
}

/// What the clients counted.
fn count(story: &mut String, simulation: &Simulation) {
    let view = simulation.view();
    for producer in view.producers {
        let (sent, acked, failed, retries) = (producer.sent, producer.acked, producer.failed, producer.retries);
        writeln!(story, "= {} sent={sent} acked={acked} failed={failed} retries={retries}", producer.name).unwrap();
    }
    for consumer in view.consumers {
        writeln!(story, "= {} received={} lag={}", consumer.name, consumer.received, consumer.lag).unwrap();
    }
}

/// `broker-1 orders-0`.
fn target(what: &str) -> Target {
    let (broker, partition) =
        what.split_once(" orders-").unwrap_or_else(|| panic!("watch a partition of orders: {what}"));
    let broker = broker.trim_start_matches("broker-").parse().unwrap();
    Target::Partition { broker, topic: "orders".to_owned(), partition: partition.parse().unwrap() }
}

/// What a replica believes of its partition, in a line.
fn held_for_true(detail: Detail) -> String {
    let Detail::Facts(groups) = detail else { return String::new() };
    let mut line = String::new();
    for (name, value) in groups.iter().filter(|group| group.title != "Topic settings").flat_map(|group| &group.facts) {
        match &name[..] {
            "role" | "leader_epoch" | "isr" | "high_watermark" | "log_end_offset" => {
                write!(line, "{name} {value}  ").unwrap();
            }
            follower if follower.starts_with("broker-") => write!(line, "{follower}: {value}  ").unwrap(),
            _ => {}
        }
    }
    line.trim_end().to_owned()
}

/// The first lines in which they differ.
fn difference(expected: &str, told: &str) -> String {
    let same = expected.lines().zip(told.lines()).take_while(|(one, other)| one == other).count();
    let from = |text: &str| text.lines().skip(same).take(5).map(|line| format!("    {line}\n")).collect::<String>();
    format!("  from line {} on it should be\n{}  and is\n{}", same + 1, from(expected), from(told))
}

fn scripts() -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "ottla")).collect();
    scripts.sort();
    scripts
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}
