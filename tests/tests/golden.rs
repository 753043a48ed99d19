//! Golden scripts: a scenario, `---`, and the story that it tells. The file's name is its claim.
//!
//! `UPDATE_GOLDEN=1 cargo test -p ottla-tests --test golden` writes what is told now; read the difference before you
//! commit it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::parse;
use ottla_core::time::Duration;

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

/// The event log of the whole run, then what the clients count.
fn tell(script: &str) -> Result<String, String> {
    let scenario = parse::scenario(script).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    let end = scenario.last() + AFTERMATH;
    let mut story = String::new();
    let mut told = 0;
    loop {
        let more = simulation.step(end);
        for line in simulation.lines_from(told) {
            told = line.seq + 1;
            writeln!(story, "{} {} {:?} {}", line.at, line.node, line.level, line.text).unwrap();
        }
        if !more {
            break;
        }
    }
    let view = simulation.view();
    for producer in view.producers {
        let (sent, acked, failed, retries) = (producer.sent, producer.acked, producer.failed, producer.retries);
        writeln!(story, "= {} sent={sent} acked={acked} failed={failed} retries={retries}", producer.name).unwrap();
    }
    for consumer in view.consumers {
        writeln!(story, "= {} received={} lag={}", consumer.name, consumer.received, consumer.lag).unwrap();
    }
    for broken in simulation.violations().iter().filter(|broken| broken.exempt.is_none()) {
        writeln!(story, "= {} is violated: {}", broken.invariant, broken.found).unwrap();
    }
    Ok(story)
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
