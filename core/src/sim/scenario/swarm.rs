//! Faults that the seed draws: the line `swarm`.
//!
//! ```text
//! swarm kill crash cut every=5s from=2s until=40s for=200ms..12s
//! ```
//!
//! The words say what may happen; without any, all that Kafka should survive. Every seed takes some of them, as swarm
//! testing does: a run in which everything happens at once hides what only a few faults do together. `pause-clients` and
//! `kill-clients` strike the processes of producers and consumers.
//!
//! 1. What is drawn depends on the seed, on this line and on who is there, and on nothing else: the text with the drawn
//!    lines in the place of this one is the same run.
//! 2. Every broker and every link has its own dice, so that a node more or less does not change what strikes the others.
//! 3. Whatever breaks is put right before `until`; at `until` all is.

use std::fmt::{self, Display, Formatter};

use super::fault::{Fault, Link, Who};
use super::line::Line;
use super::parse::{MAX_TIME, duration};
use super::text::Span;
use super::{Action, ParseError, Scenario, Timed};
use crate::arrange::Arrange;
use crate::id::BrokerId;
use crate::near::hint;
use crate::rng::{Seed, Stream};
use crate::time::{Duration, Instant};

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Kill,
    Crash,
    Pause,
    Cut,
    Slow,
    Hold,
    Reset,
    Skew,
    Fill,
    Tear,
    Corrupt,
    Wipe,
    Expire,
    /// Producers and consumers stand still.
    PauseClients,
    /// Their processes die.
    KillClients,
}

impl Kind {
    pub const ALL: [Kind; 15] = [
        Kind::Kill,
        Kind::Crash,
        Kind::Pause,
        Kind::Cut,
        Kind::Slow,
        Kind::Hold,
        Kind::Reset,
        Kind::Skew,
        Kind::Fill,
        Kind::Tear,
        Kind::Corrupt,
        Kind::Wipe,
        Kind::Expire,
        Kind::PauseClients,
        Kind::KillClients,
    ];

    /// Whether it is among them where no kinds are named: not what costs data, nor what strikes those who look on.
    fn is_usual(self) -> bool {
        !matches!(self, Kind::Wipe | Kind::PauseClients | Kind::KillClients)
    }

    pub fn word(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Crash => "crash",
            Kind::Pause => "pause",
            Kind::Cut => "cut",
            Kind::Slow => "slow",
            Kind::Hold => "hold",
            Kind::Reset => "reset",
            Kind::Skew => "skew",
            Kind::Fill => "fill",
            Kind::Tear => "tear",
            Kind::Corrupt => "corrupt",
            Kind::Wipe => "wipe",
            Kind::Expire => "expire",
            Kind::PauseClients => "pause-clients",
            Kind::KillClients => "kill-clients",
        }
    }

    /// Whether it strikes a machine; others strike a link, and some do both.
    fn strikes_machines(self) -> bool {
        !matches!(self, Kind::Cut | Kind::Hold | Kind::Reset | Kind::PauseClients | Kind::KillClients)
    }

    fn strikes_clients(self) -> bool {
        matches!(self, Kind::PauseClients | Kind::KillClients)
    }

    /// Whether the machine with ZooKeeper can be struck so.
    fn strikes_zookeeper(self) -> bool {
        matches!(self, Kind::Kill | Kind::Crash | Kind::Pause)
    }

    fn strikes_links(self) -> bool {
        matches!(self, Kind::Cut | Kind::Slow | Kind::Hold | Kind::Reset)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Sorted; none means the usual ones.
    pub kinds: Vec<Kind>,
    /// Between two faults of one broker, about.
    pub every: Duration,
    pub from: Instant,
    pub until: Instant,
    /// How long a fault lasts, at least and at most.
    pub lasts: (Duration, Duration),
    /// The comments and blank lines above it.
    pub above: Vec<String>,
}

impl Default for Swarm {
    fn default() -> Self {
        Swarm {
            kinds: Vec::new(),
            every: Duration::from_secs(6),
            from: Instant::from_millis(1_000),
            until: Instant::from_millis(40_000),
            lasts: (Duration::from_millis(200), Duration::from_secs(12)),
            above: Vec::new(),
        }
    }
}

impl Display for Swarm {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.above {
            writeln!(f, "{line}")?;
        }
        f.write_str("swarm")?;
        self.kinds.iter().try_for_each(|kind| write!(f, " {}", kind.word()))?;
        let [from, until] = [self.from, self.until].map(|at| Span(at.since(Instant::ZERO)));
        let (least, most) = self.lasts;
        write!(f, " every={} from={from} until={until} for={}..{}", Span(self.every), Span(least), Span(most))
    }
}

impl Line<'_> {
    pub(super) fn swarm(&self) -> Result<Swarm, ParseError> {
        let mut swarm = Swarm::default();
        let mut words = self.words.iter().skip(1).peekable();
        while let Some(word) = words.next_if(|word| !word.bytes().contains(&b'=')) {
            let text = word.text().unwrap_or_default();
            match Kind::ALL.into_iter().find(|kind| kind.word() == text) {
                Some(kind) => swarm.kinds.push(kind),
                None => {
                    let known = Kind::ALL.map(Kind::word);
                    let hint = hint(&text, known);
                    return self.at(word, format!("expected some of {}, found {text}.{hint}", known.join(", ")));
                }
            }
        }
        swarm.kinds.arrange();
        swarm.kinds.dedup();
        for (name, value, word) in self.properties(self.words.len() - words.len())? {
            let span = |text: &str| duration(text).filter(|span| *span <= MAX_TIME);
            match (name.as_str(), span(&value), value.split_once("..")) {
                ("every", Some(every), _) if every >= Duration::from_millis(100) => swarm.every = every,
                ("from", Some(from), _) => swarm.from = Instant::ZERO + from,
                ("until", Some(until), _) => swarm.until = Instant::ZERO + until,
                ("for", _, Some((least, most))) => match (span(least), span(most)) {
                    (Some(least), Some(most)) if least <= most => swarm.lasts = (least, most),
                    _ => return self.at(&word, "expected how long a fault lasts, such as for=200ms..12s"),
                },
                ("every" | "from" | "until" | "for", ..) => {
                    let expected = "expected every=6s (at least 100ms), from=1s, until=40s or for=200ms..12s";
                    return self.at(&word, format!("{expected}, found {name}={value}"));
                }
                _ => {
                    let hint = hint(&name, ["every", "from", "until", "for"]);
                    return self.at(&word, format!("expected every, from, until or for, found {name}.{hint}"));
                }
            }
        }
        match swarm.from < swarm.until {
            true => Ok(swarm),
            false => Err(self.error("expected from before until")),
        }
    }
}

/// Faults as they are drawn.
struct Drawing<'a> {
    swarm: &'a Swarm,
    seed: Seed,
    /// What this seed takes.
    kinds: Vec<Kind>,
    lines: Vec<(Instant, Fault)>,
}

impl Scenario {
    /// Whether a producer works off what that client reads.
    fn is_read(&self, name: &str) -> bool {
        let reads = |timed: &Timed| match &timed.action {
            Action::Producer { settings, .. } => settings.get("reads").is_some_and(|reads| reads == name),
            _ => false,
        };
        self.actions.iter().any(reads)
    }

    /// All that happens, in order: the actions of the text, and what the seed draws where there is a swarm.
    pub fn timeline(&self) -> Vec<Timed> {
        let Some(swarm) = &self.swarm else { return self.actions.clone() };
        let mut timeline = swarm.draw(self);
        timeline.extend_from_slice(&self.actions);
        // Stable: at one moment what is drawn comes first, so that what a hand adds there comes last.
        timeline.arrange_by_key(|timed| timed.at);
        timeline
    }

    /// The same run as a text without dice: the drawn lines stand in the place of the line `swarm`.
    pub fn drawn(&self) -> Scenario {
        Scenario { actions: self.timeline(), swarm: None, ..self.clone() }
    }
}

impl Swarm {
    fn draw(&self, scenario: &Scenario) -> Vec<Timed> {
        let kinds = self.taken(scenario.seed);
        let mut drawing = Drawing { swarm: self, seed: scenario.seed, kinds, lines: Vec::new() };
        let brokers: Vec<BrokerId> = (1..=scenario.cluster.brokers as i32).map(BrokerId).collect();
        for &broker in &brokers {
            drawing.machine(&broker.into(), Kind::strikes_machines, 1);
            drawing.link(&broker.into(), &Who::ZooKeeper, self.from, brokers.len());
        }
        drawing.machine(&Who::ZooKeeper, Kind::strikes_zookeeper, 2);
        let pairs = brokers.len() * (brokers.len() - 1) / 2;
        for (place, &one) in brokers.iter().enumerate() {
            for &other in &brokers[place + 1..] {
                drawing.link(&one.into(), &other.into(), self.from, pairs.div_ceil(brokers.len()));
            }
        }
        for timed in &scenario.actions {
            let (Action::Producer { name, .. } | Action::Consumer { name, .. }) = &timed.action else { continue };
            // What shares a process is struck once.
            if !scenario.is_read(name) {
                let from = self.from.max(timed.at + Duration::from_millis(1));
                drawing.client(&Who::Client(name.clone()), from);
            }
            for &broker in &brokers {
                let client = Who::Client(name.clone());
                let from = self.from.max(timed.at + Duration::from_millis(1));
                drawing.link(&client, &broker.into(), from, 2 * brokers.len());
            }
        }
        let mut lines = drawing.lines;
        lines.arrange_by_key(|(at, _)| *at);
        lines.push((self.until, Fault::HealAll));
        lines.into_iter().map(|(at, fault)| Timed { at, action: Action::Fault(fault), above: Vec::new() }).collect()
    }

    /// Some of the kinds, at least one.
    fn taken(&self, seed: Seed) -> Vec<Kind> {
        let all = match self.kinds.is_empty() {
            true => Kind::ALL.into_iter().filter(|kind| kind.is_usual()).collect(),
            false => self.kinds.clone(),
        };
        let dice = &mut seed.stream("swarm");
        let one = all[dice.below(all.len() as u64) as usize];
        all.into_iter().filter(|kind| dice.chance(TAKEN) || *kind == one).collect()
    }
}

/// How often a seed takes a kind of fault, in a million.
const TAKEN: u32 = 400_000;
/// Faults of one broker or link: a text from a stranger's link costs no more than that.
const MOST: usize = 200;

impl Drawing<'_> {
    /// What strikes one machine: one thing after the other.
    fn machine(&mut self, machine: &Who, strikes: fn(Kind) -> bool, seldom: usize) {
        let kinds: Vec<Kind> = self.kinds.iter().copied().filter(|kind| strikes(*kind)).collect();
        let dice = &mut self.seed.stream(&format!("swarm {machine}"));
        let who = || machine.clone();
        self.one_after_the_other(dice, self.swarm.from, &kinds, seldom, |dice, kind, lines, at, back| match kind {
            Kind::Kill => lines.extend([(at, Fault::Kill(who())), (back, Fault::Start(who()))]),
            Kind::Crash => lines.extend([(at, Fault::Crash(who())), (back, Fault::Start(who()))]),
            Kind::Pause => lines.extend([(at, Fault::Pause(who())), (back, Fault::Resume(who()))]),
            Kind::Slow => {
                let by = Duration::from_millis(dice.between(20, 2_000));
                lines.extend([(at, Fault::SlowDisk(who(), by)), (back, Fault::SlowDisk(who(), Duration::ZERO))]);
            }
            Kind::Skew => {
                let by = dice.between(1, 600_000) as i64 - 300_000;
                lines.extend([(at, Fault::Skew(who(), by)), (back, Fault::Skew(who(), 0))]);
            }
            // What has failed on a disk without room comes back with the next start.
            Kind::Fill => {
                let until = at + (back - at) / 2;
                lines.extend([(at, Fault::Fill(who())), (until, Fault::Free(who()))]);
                lines.extend([(until, Fault::Kill(who())), (back, Fault::Start(who()))]);
            }
            Kind::Tear => {
                lines.extend([(at, Fault::Tear(who())), (at, Fault::Crash(who())), (back, Fault::Start(who()))]);
            }
            Kind::Corrupt => {
                lines.extend([(at, Fault::Corrupt(who())), (at, Fault::Crash(who())), (back, Fault::Start(who()))]);
            }
            Kind::Wipe => {
                lines.extend([(at, Fault::Kill(who())), (back, Fault::Wipe(who())), (back, Fault::Start(who()))]);
            }
            Kind::Expire => lines.push((at, Fault::Expire(who()))),
            Kind::Cut | Kind::Hold | Kind::Reset | Kind::PauseClients | Kind::KillClients => {}
        });
    }

    /// What strikes the process of a client.
    fn client(&mut self, client: &Who, from: Instant) {
        let kinds: Vec<Kind> = self.kinds.iter().copied().filter(|kind| kind.strikes_clients()).collect();
        let dice = &mut self.seed.stream(&format!("swarm {client}"));
        self.one_after_the_other(dice, from, &kinds, 2, |_, kind, lines, at, back| {
            let (bad, good): (fn(Who) -> Fault, fn(Who) -> Fault) = match kind {
                Kind::KillClients => (Fault::Kill, Fault::Start),
                _ => (Fault::Pause, Fault::Resume),
            };
            lines.extend([(at, bad(client.clone())), (back, good(client.clone()))]);
        });
    }

    /// What strikes one link, so many times as seldom as a broker is struck.
    fn link(&mut self, one: &Who, other: &Who, from: Instant, seldom: usize) {
        let kinds: Vec<Kind> = self.kinds.iter().copied().filter(|kind| kind.strikes_links()).collect();
        let dice = &mut self.seed.stream(&format!("swarm {one} {other}"));
        self.one_after_the_other(dice, from, &kinds, seldom, |dice, kind, lines, at, back| {
            let link = match dice.below(4) {
                0 => Link { from: one.clone(), to: other.clone(), one_way: true },
                1 => Link { from: other.clone(), to: one.clone(), one_way: true },
                _ => Link { from: one.clone(), to: other.clone(), one_way: false },
            };
            match kind {
                Kind::Cut => lines.extend([(at, Fault::Cut(link.clone())), (back, Fault::Heal(link))]),
                Kind::Slow => {
                    let by = Duration::from_millis(dice.between(5, 1_000));
                    lines.push((at, Fault::SlowLink(link.clone(), by)));
                    lines.push((back, Fault::SlowLink(link, Duration::ZERO)));
                }
                Kind::Hold => lines.push((at, Fault::Hold(link, back - at))),
                Kind::Reset => lines.push((at, Fault::Reset(link.from, link.to))),
                _ => {}
            }
        });
    }

    /// (3)
    fn one_after_the_other(
        &mut self,
        dice: &mut Stream,
        from: Instant,
        kinds: &[Kind],
        seldom: usize,
        strike: impl Fn(&mut Stream, Kind, &mut Vec<(Instant, Fault)>, Instant, Instant),
    ) {
        let Swarm { until, every, lasts: (least, most), .. } = *self.swarm;
        let millis = |dice: &mut Stream, from: Duration, to: Duration| {
            Duration::from_millis(dice.between(from.as_millis() as u64, to.as_millis() as u64))
        };
        // Twice the mean, so that the mean is what was asked for.
        let gap = every * 2 * seldom as u32;
        let mut at = from + millis(dice, Duration::ZERO, gap);
        for _ in 0..MOST {
            if at >= until || kinds.is_empty() {
                break;
            }
            let kind = kinds[dice.below(kinds.len() as u64) as usize];
            let back = (at + millis(dice, least, most)).min(until);
            strike(dice, kind, &mut self.lines, at, back);
            at = back + millis(dice, Duration::ZERO, gap);
        }
    }
}
