//! Smaller scenarios to try: fewer lines, fewer brokers and partitions, lower rates, rounder and earlier times.
//!
//! Every kind of step offers candidates in an order of its own; the first of them that still breaks the same is taken,
//! and the steps go round until none of them helps.
//!
//! What an expectation asks for needs its time after the last fault: a scenario that leaves none, or somebody dead or cut
//! off, or a producer that goes on sending, fails for another reason, and is not offered. And one that fails without its
//! faults and its bugs, too, does not show what they break, and is not taken.

use super::{Broken, Finding};
use crate::client::admin::Errand;
use crate::sim::scenario::{Action, Capacity, Expectation, Fault, Scenario, parse};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

/// Candidates that are judged at a time. It says in which order they are tried, so it does not depend on the machine.
const BATCH: usize = 8;

/// A scenario that still breaks what another one broke.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub scenario: Scenario,
    pub finding: Finding,
    /// Runs that it took.
    pub runs: usize,
}

/// Shrinks what breaks, within so many runs. `judge` plays candidates and gives the first of them that breaks the same,
/// with what it found there.
pub fn shrink(
    scenario: &Scenario,
    finding: &Finding,
    most_runs: usize,
    judge: &mut dyn FnMut(&[Scenario]) -> Option<(usize, Finding)>,
) -> Shrunk {
    let start = scenario.up_to(finding);
    let mut search =
        Search { best: start.clone(), finding: finding.clone(), controlled: false, runs: 0, most_runs, judge };
    search.controlled = matches!(finding.what, Broken::Expectation(_)) && search.needs_faults(&start);
    if !search.try_all(vec![start]) {
        // The run as a text without dice is another one: that is worth knowing, and nothing can be left out of it.
        let (scenario, finding) = (scenario.clone(), finding.clone());
        return Shrunk { scenario, finding, runs: search.runs };
    }
    loop {
        let before = search.best.clone();
        search.lines();
        search.cluster();
        search.clients_and_topics();
        search.times();
        if search.best == before || search.runs >= most_runs {
            break;
        }
    }
    Shrunk { scenario: search.best, finding: search.finding, runs: search.runs }
}

struct Search<'a> {
    best: Scenario,
    finding: Finding,
    /// It breaks by faults or bugs alone.
    controlled: bool,
    runs: usize,
    most_runs: usize,
    judge: &'a mut dyn FnMut(&[Scenario]) -> Option<(usize, Finding)>,
}

impl Search<'_> {
    /// Takes the first of the candidates that breaks the same. False if none does.
    fn try_all(&mut self, candidates: Vec<Scenario>) -> bool {
        self.first_of(candidates).is_some()
    }

    fn first_of(&mut self, candidates: Vec<Scenario>) -> Option<usize> {
        let (places, candidates): (Vec<usize>, Vec<Scenario>) =
            candidates.into_iter().enumerate().filter(|(_, candidate)| self.may_be_tried(candidate)).unzip();
        for (chunk, places) in candidates.chunks(BATCH).zip(places.chunks(BATCH)) {
            let mut from = 0;
            while from < chunk.len() && self.runs < self.most_runs {
                self.runs += chunk.len() - from;
                let Some((place, finding)) = (self.judge)(&chunk[from..]) else { break };
                let place = from + place;
                if !self.controlled || self.needs_faults(&chunk[place]) {
                    self.best = chunk[place].clone();
                    self.finding = finding;
                    self.end_early();
                    return Some(places[place]);
                }
                from = place + 1;
            }
        }
        None
    }

    /// Whether it does not break when nothing strikes it.
    fn needs_faults(&mut self, scenario: &Scenario) -> bool {
        let mut spared = scenario.clone();
        spared.actions.retain(|timed| !matches!(timed.action, Action::Fault(_)));
        spared.bugs.clear();
        self.runs += 1;
        (self.judge)(&[spared]).is_none()
    }

    fn may_be_tried(&self, candidate: &Scenario) -> bool {
        let calm = match self.finding.what {
            Broken::Expectation(_) => is_calm(candidate) || !is_calm(&self.best),
            Broken::Invariant(_) | Broken::Assertion => true,
        };
        calm && can_be_written(candidate)
    }

    /// The last line, which holds the run's end, moves to just behind what breaks; lines that come later go.
    fn end_early(&mut self) {
        let Broken::Invariant(_) = self.finding.what else { return };
        let end = Instant::from_millis(self.finding.at.as_millis() + 1);
        self.best.actions.retain(|timed| timed.at < end || is_end(&timed.action));
        if let Some(last) = self.best.actions.last_mut() {
            last.at = end;
        }
    }

    /// Fewer lines: half of them, a quarter, …, one by one.
    fn lines(&mut self) {
        let mut size = self.best.actions.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            // The last line is what should hold.
            while from < self.best.actions.len() - 1 && self.runs < self.most_runs {
                let without = |from: usize| {
                    let mut shorter = self.best.clone();
                    let to = (from + size).min(shorter.actions.len() - 1);
                    shorter.actions.drain(from..to);
                    shorter
                };
                let starts: Vec<usize> = (from..self.best.actions.len() - 1).step_by(size).take(BATCH).collect();
                let candidates = starts.iter().map(|&from| without(from)).collect();
                match self.first_of(candidates) {
                    Some(place) => from = starts[place],
                    None => from += size * BATCH,
                }
            }
            size /= 2;
        }
    }

    /// A simpler cluster: fewer brokers, no racks, no loss, no settings.
    fn cluster(&mut self) {
        let mut candidates = Vec::new();
        let mut offer = |change: &dyn Fn(&mut Scenario)| {
            let mut simpler = self.best.clone();
            change(&mut simpler);
            if simpler != self.best {
                candidates.push(simpler);
            }
        };
        // If it breaks without its bug, that is news.
        offer(&|scenario| scenario.bugs.clear());
        offer(&|scenario| scenario.cluster.brokers = 1);
        offer(&|scenario| scenario.cluster.brokers -= scenario.cluster.brokers / 2);
        offer(&|scenario| scenario.cluster.brokers -= u32::from(scenario.cluster.brokers > 1));
        offer(&|scenario| scenario.cluster.loss_per_million = 0);
        offer(&|scenario| scenario.cluster.racks.clear());
        offer(&|scenario| scenario.cluster.capacity = Capacity::default());
        offer(&|scenario| scenario.cluster.latency = None);
        for name in self.best.cluster.settings.keys() {
            offer(&|scenario| drop(scenario.cluster.settings.remove(name)));
        }
        if self.try_all(candidates) {
            self.cluster();
        }
    }

    /// Fewer partitions and replicas, lower rates, no settings.
    fn clients_and_topics(&mut self) {
        for place in 0..self.best.actions.len() {
            while self.try_all(simpler(&self.best, place)) {}
        }
    }

    /// Rounder times, then shorter gaps.
    fn times(&mut self) {
        for place in 0..self.best.actions.len() {
            let candidates = [1_000, 100, 10].into_iter().filter_map(|grain| rounder(&self.best, place, grain));
            let candidates = candidates.collect();
            self.try_all(candidates);
        }
        for place in 1..self.best.actions.len() {
            let gap = |scenario: &Scenario| scenario.actions[place].at - scenario.actions[place - 1].at;
            if place >= self.best.actions.len() {
                break;
            }
            let before = gap(&self.best);
            let shorter = [Duration::from_millis(100), Duration::from_secs(1), before / 2];
            let shorter = shorter.into_iter().map(whole_millis).filter(|shorter| *shorter < before);
            let candidates = shorter.map(|shorter| {
                let mut earlier = self.best.clone();
                for timed in &mut earlier.actions[place..] {
                    timed.at = Instant::from_nanos(timed.at.as_nanos() - (before - shorter).as_nanos() as u64);
                }
                earlier
            });
            let candidates = candidates.collect();
            self.try_all(candidates);
        }
    }
}

/// One line, in every way in which it can say less.
fn simpler(scenario: &Scenario, place: usize) -> Vec<Scenario> {
    let mut actions = Vec::new();
    match scenario.actions.get(place).map(|timed| &timed.action) {
        Some(Action::Errand(Errand::Create { topic: name, partitions, replication_factor, configs })) => {
            let topic = |partitions, replication_factor, configs: VecMap<_, _>| {
                Action::Errand(Errand::Create { topic: name.clone(), partitions, replication_factor, configs })
            };
            for fewer in [1, partitions / 2] {
                if (1..*partitions).contains(&fewer) {
                    actions.push(topic(fewer, *replication_factor, configs.clone()));
                }
            }
            if *replication_factor > 1 {
                actions.push(topic(*partitions, replication_factor - 1, configs.clone()));
            }
            actions.extend(without_one(configs).map(|configs| topic(*partitions, *replication_factor, configs)));
        }
        Some(Action::Producer { name, topics, settings }) => {
            let producer = |settings| Action::Producer { name: name.clone(), topics: topics.clone(), settings };
            actions.extend(without_one(settings).map(producer));
            actions.extend(SLOWER.into_iter().filter(|rate| slower(settings, rate)).map(|rate| {
                let mut settings = settings.clone();
                settings.insert("rate".to_owned(), rate.to_owned());
                producer(settings)
            }));
        }
        Some(Action::Consumer { name, topics, settings }) => {
            let consumer = |settings| Action::Consumer { name: name.clone(), topics: topics.clone(), settings };
            actions.extend(without_one(settings).map(consumer));
        }
        _ => {}
    }
    let with = |action| {
        let mut simpler = scenario.clone();
        simpler.actions[place].action = action;
        simpler
    };
    actions.into_iter().map(with).collect()
}

/// Rates that are tried, lowest first.
const SLOWER: [&str; 4] = ["1/s", "5/s", "20/s", "100/s"];

fn slower(settings: &VecMap<String, String>, rate: &str) -> bool {
    let milli = crate::client::setting::rate;
    let now = settings.get("rate").and_then(|rate| milli(rate));
    now.is_some_and(|now| milli(rate).is_some_and(|rate| rate < now))
}

/// Without its rate a producer sends nothing, which is no simpler.
fn without_one(settings: &VecMap<String, String>) -> impl Iterator<Item = VecMap<String, String>> {
    settings.keys().filter(|name| *name != "rate").map(|name| {
        let mut fewer = settings.clone();
        fewer.remove(name);
        fewer
    })
}

/// One line at a rounder time; `None` where it is as round already, or would change places with another.
fn rounder(scenario: &Scenario, place: usize, grain_ms: u64) -> Option<Scenario> {
    let actions = &scenario.actions;
    let at = actions.get(place)?.at;
    let rounder = Instant::from_millis((at.as_millis() + grain_ms / 2) / grain_ms * grain_ms);
    let before = place.checked_sub(1).map_or(Instant::ZERO, |before| actions[before].at);
    let after = actions.get(place + 1).map_or(rounder, |after| after.at);
    if rounder == at || !(before..=after).contains(&rounder) {
        return None;
    }
    let mut scenario = scenario.clone();
    scenario.actions[place].at = rounder;
    Some(scenario)
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis() as u64)
}

fn is_end(action: &Action) -> bool {
    matches!(action, Action::Expect(Expectation::InvariantsHold))
}

/// Whether all that was broken is put right, and nobody sends any more, so long before the end that everything can settle.
fn is_calm(scenario: &Scenario) -> bool {
    const SETTLING: Duration = Duration::from_secs(30);
    let faults = || {
        let all = scenario.actions.iter().enumerate();
        all.filter_map(
            |(place, timed)| if let Action::Fault(fault) = &timed.action { Some((place, fault)) } else { None },
        )
    };
    let alive = faults().all(|(place, fault)| match fault {
        Fault::Kill(dead) | Fault::Crash(dead) => {
            faults().any(|(later, fault)| later > place && *fault == Fault::Start(dead.clone()))
        }
        _ => true,
    });
    let last_to_last = faults().rfind(|(_, fault)| fault.lasts()).map(|(place, _)| place);
    let healed = last_to_last.is_none_or(|last| faults().any(|(at, fault)| at > last && *fault == Fault::HealAll));
    let rests = |name: &str| {
        scenario
            .actions
            .iter()
            .any(|timed| matches!(&timed.action, Action::Rate { client, milli_per_second: 0 } if client == name))
    };
    let at_rest = scenario.actions.iter().all(|timed| match &timed.action {
        Action::Producer { name, settings, .. } => !settings.contains_key("rate") || rests(name),
        _ => true,
    });
    let moves = scenario.actions.iter().filter(|timed| !matches!(timed.action, Action::Expect(_)));
    let quiet_since = moves.map(|timed| timed.at).max().unwrap_or(Instant::ZERO);
    alive && healed && at_rest && scenario.last() >= quiet_since + SETTLING
}

/// Whoever is shown it reads the text: one that reads as another scenario shows nothing.
fn can_be_written(scenario: &Scenario) -> bool {
    parse::scenario(&scenario.to_string()).as_ref() == Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that is only judged: what was sent has not settled where somebody still sends, and where a broker was killed.
    fn judged(candidates: &[Scenario], finding: &Finding) -> Option<(usize, Finding)> {
        let fails = |scenario: &Scenario| {
            let any = |wanted: fn(&Action) -> bool| scenario.actions.iter().any(|timed| wanted(&timed.action));
            let sends = any(|action| matches!(action, Action::Producer { .. } | Action::Send { .. }));
            let rests = any(|action| matches!(action, Action::Rate { .. }));
            sends && (!rests || any(|action| matches!(action, Action::Fault(Fault::Kill(_)))))
        };
        candidates.iter().position(fails).map(|place| (place, finding.clone()))
    }

    #[test]
    fn what_faults_break_is_not_shrunk_to_what_breaks_without_them() {
        let text = "cluster brokers=2\ntopic orders partitions=1\nproducer p1 topic=orders rate=10/s\n\
                    @3s send orders value=a\n@5s kill broker-1\n@6s start broker-1\n@9s slow broker-1 disk 1s\n@9.5s heal\n\
                    @10s rate p1 0/s\n@60s expect settled\n";
        let scenario = parse::scenario(text).unwrap();
        let (what, at) = (Broken::Expectation("settled".to_owned()), scenario.end());
        let finding = Finding { what, at, found: "p1: 9 records sent, but 8 settled".to_owned() };
        let shrunk = shrink(&scenario, &finding, 1_000, &mut |candidates| judged(candidates, &finding));
        let left = shrunk.scenario.to_string();
        assert!(left.contains("kill broker-1") && left.contains("rate p1 0/s"), "{left}");
        assert!(!left.contains("slow") && !left.contains("send"), "{left}");
    }
}
