//! What a scenario can break, and how it is put right: one line each, the same words in a simulation and on a live
//! server.
//!
//! | line | what it does |
//! | --- | --- |
//! | `kill X` | the process dies; what it wrote stays |
//! | `crash X` | the machine dies, and with it what was not flushed |
//! | `start X` | the machine runs, and the process, over what is on its disk |
//! | `pause X`, `resume X` | the process stands still (SIGSTOP), and goes on where it stood |
//! | `cut A B`, `cut A -> B` | no message passes: both ways, one way. What is on its way is held, as TCP holds it |
//! | `heal A B`, `heal A -> B` | the link is whole again, and what was held goes on in order |
//! | `heal` | every link is whole and quick, every disk quick and with room, every clock right, who stood still goes on; the dead stay dead |
//! | `slow A B 20ms`, `slow A -> B 20ms`, `slow A B off` | every message takes that much longer |
//! | `hold A B 2s`, `hold A -> B 2s` | the next message takes that much longer; those behind it on its connection wait, those on others overtake it |
//! | `reset A B` | the connections between the two break, and what is on them is lost; who sends again sends twice |
//! | `slow X disk 50ms`, `slow X disk off` | every write, sync and read takes that much longer |
//! | `slow X off` | neither its disk nor any of its links is slow any more |
//! | `fill X`, `free X` | the disk has no room: what is appended fails; and has room again |
//! | `wipe X` | the disk of a machine that is down is empty |
//! | `tear X` | when it crashes next, a batch that was not flushed is there in part |
//! | `corrupt X` | when it crashes next, what was not flushed is there, with a wrong byte |
//! | `skew X +5s`, `skew X -5s`, `skew X off` | its wall clock is wrong by that much |
//!
//! | `expire X` | a broker's session with ZooKeeper ends, as if nothing had been heard of it for its time |
//!
//! `X` is `broker-2`, `rack a` (every broker of it) or `controller`: who that is at the moment when the line is done. What is
//! killed, crashed, started, paused, resumed or skewed can be `zookeeper` too. `A` and `B` can be that as well, and, like the
//! `X` of `kill`, `start`, `pause`, `resume` and `skew`, producers and consumers. A client that is started is another process,
//! with the settings of its line.
//!
//! There is no line that duplicates or reorders messages at will: nodes talk over TCP, which does neither within a
//! connection. A request comes twice where its sender, after a `reset` or a time-out, sends it again; two messages change
//! places where they travel on different connections, by `hold` and by latency.

use std::fmt::{self, Display, Formatter};

use super::Action;
use super::line::{Line, Parsed, none_of};
use super::parse::duration;
use super::text::Span;
use crate::id::BrokerId;
use crate::near::hint;
use crate::time::Duration;
use crate::view::Level;
use crate::zookeeper::NAME as ZOOKEEPER;

/// Longest delay of a link or disk.
const MAX_SLOW: Duration = Duration::from_secs(60);
/// Longest hold.
const MAX_HOLD: Duration = Duration::from_secs(3600);
/// Furthest that a clock can be wrong.
const MAX_SKEW: Duration = Duration::from_secs(366 * 24 * 3600);

/// The words that open a line about a fault.
pub const WORDS: [&str; 17] = [
    "kill", "crash", "start", "pause", "resume", "cut", "heal", "slow", "hold", "reset", "fill", "free", "wipe",
    "tear", "corrupt", "skew", "expire",
];

/// Whether a line that begins so breaks something.
pub fn breaks(word: &str) -> bool {
    WORDS.contains(&word) && !matches!(word, "start" | "resume" | "heal" | "free")
}

/// Names that nobody can be given, because lines about faults use them.
pub(super) const RESERVED: [&str; 6] = ["controller", "zookeeper", "rack", "disk", "off", "broker"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill(Who),
    Crash(Who),
    Start(Who),
    Pause(Who),
    Resume(Who),
    Cut(Link),
    Heal(Link),
    /// Everything but the dead.
    HealAll,
    /// Zero is off.
    SlowLink(Link, Duration),
    /// Zero is off.
    SlowDisk(Who, Duration),
    /// Disk and links.
    Quicken(Who),
    Hold(Link, Duration),
    Reset(Who, Who),
    Fill(Who),
    Free(Who),
    Wipe(Who),
    Tear(Who),
    Corrupt(Who),
    /// By milliseconds; 0 is off.
    Skew(Who, i64),
    /// Its session with ZooKeeper ends.
    Expire(Who),
}

/// Whom a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Broker(BrokerId),
    /// Whoever is the controller when the line is done.
    Controller,
    /// Every broker of that rack.
    Rack(String),
    ZooKeeper,
    /// A producer or consumer.
    Client(String),
}

/// The way between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub from: Who,
    pub to: Who,
    /// Only from the one to the other.
    pub one_way: bool,
}

impl Fault {
    /// The one of [`WORDS`] that its line begins with.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Kill(_) => "kill",
            Fault::Crash(_) => "crash",
            Fault::Start(_) => "start",
            Fault::Pause(_) => "pause",
            Fault::Resume(_) => "resume",
            Fault::Cut(_) => "cut",
            Fault::Heal(_) | Fault::HealAll => "heal",
            Fault::SlowLink(..) | Fault::SlowDisk(..) | Fault::Quicken(_) => "slow",
            Fault::Hold(..) => "hold",
            Fault::Reset(..) => "reset",
            Fault::Fill(_) => "fill",
            Fault::Free(_) => "free",
            Fault::Wipe(_) => "wipe",
            Fault::Tear(_) => "tear",
            Fault::Corrupt(_) => "corrupt",
            Fault::Skew(..) => "skew",
            Fault::Expire(_) => "expire",
        }
    }

    /// The producers and consumers that it names.
    pub fn clients(&self) -> impl Iterator<Item = &str> {
        let both = match self {
            Fault::HealAll => [None, None],
            Fault::Cut(link) | Fault::Heal(link) | Fault::SlowLink(link, _) | Fault::Hold(link, _) => {
                [Some(&link.from), Some(&link.to)]
            }
            Fault::Reset(one, other) => [Some(one), Some(other)],
            Fault::Kill(who) | Fault::Crash(who) | Fault::Start(who) | Fault::Pause(who) => [Some(who), None],
            Fault::Resume(who) | Fault::SlowDisk(who, _) | Fault::Quicken(who) | Fault::Fill(who) => [Some(who), None],
            Fault::Free(who) | Fault::Wipe(who) | Fault::Tear(who) | Fault::Corrupt(who) => [Some(who), None],
            Fault::Skew(who, _) | Fault::Expire(who) => [Some(who), None],
        };
        both.into_iter().flatten().filter_map(|who| match who {
            Who::Client(name) => Some(&name[..]),
            _ => None,
        })
    }

    /// It goes on until `heal`, or a line of its own, ends it.
    pub fn lasts(&self) -> bool {
        match self {
            Fault::Pause(_) | Fault::Cut(_) | Fault::SlowLink(..) | Fault::SlowDisk(..) => true,
            Fault::Hold(..) | Fault::Fill(_) | Fault::Skew(..) => true,
            Fault::Kill(_) | Fault::Crash(_) | Fault::Start(_) | Fault::Resume(_) | Fault::Heal(_) => false,
            Fault::HealAll | Fault::Quicken(_) | Fault::Reset(..) | Fault::Free(_) | Fault::Wipe(_) => false,
            Fault::Tear(_) | Fault::Corrupt(_) | Fault::Expire(_) => false,
        }
    }

    /// How it looks on the time line and in the event log.
    pub fn level(&self) -> Level {
        match self {
            Fault::Kill(_) | Fault::Crash(_) | Fault::Pause(_) | Fault::Cut(_) | Fault::Reset(..) => Level::Bad,
            Fault::Fill(_) | Fault::Wipe(_) | Fault::Tear(_) | Fault::Corrupt(_) | Fault::Expire(_) => Level::Bad,
            Fault::Start(_) | Fault::Resume(_) | Fault::Heal(_) | Fault::HealAll => Level::Good,
            Fault::Quicken(_) | Fault::Free(_) | Fault::Skew(_, 0) => Level::Good,
            Fault::SlowLink(_, by) | Fault::SlowDisk(_, by) if by.is_zero() => Level::Good,
            Fault::SlowLink(..) | Fault::SlowDisk(..) | Fault::Hold(..) | Fault::Skew(..) => Level::Warn,
        }
    }
}

impl From<BrokerId> for Who {
    fn from(id: BrokerId) -> Who {
        Who::Broker(id)
    }
}

impl From<Fault> for Action {
    fn from(fault: Fault) -> Action {
        Action::Fault(fault)
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Fault::HealAll => Ok(()),
            Fault::Kill(who) | Fault::Crash(who) | Fault::Start(who) => write!(f, " {who}"),
            Fault::Pause(who) | Fault::Resume(who) => write!(f, " {who}"),
            Fault::Fill(who) | Fault::Free(who) | Fault::Wipe(who) => write!(f, " {who}"),
            Fault::Tear(who) | Fault::Corrupt(who) | Fault::Expire(who) => write!(f, " {who}"),
            Fault::Cut(link) | Fault::Heal(link) => write!(f, " {link}"),
            Fault::SlowLink(link, by) => write!(f, " {link} {}", OrOff(*by)),
            Fault::SlowDisk(who, by) => write!(f, " {who} disk {}", OrOff(*by)),
            Fault::Quicken(who) | Fault::Skew(who, 0) => write!(f, " {who} off"),
            Fault::Hold(link, by) => write!(f, " {link} {}", Span(*by)),
            Fault::Reset(one, other) => write!(f, " {one} {other}"),
            Fault::Skew(who, millis) => {
                let sign = if *millis < 0 { '-' } else { '+' };
                write!(f, " {who} {sign}{}", Span(Duration::from_millis(millis.unsigned_abs())))
            }
        }
    }
}

impl Display for Who {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Who::Broker(id) => id.fmt(f),
            Who::Controller => f.write_str("controller"),
            Who::Rack(rack) => write!(f, "rack {rack}"),
            Who::ZooKeeper => f.write_str(ZOOKEEPER),
            Who::Client(name) => f.write_str(name),
        }
    }
}

impl Display for Link {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let arrow = if self.one_way { " ->" } else { "" };
        write!(f, "{}{arrow} {}", self.from, self.to)
    }
}

struct OrOff(Duration);

impl Display for OrOff {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("off") } else { Span(self.0).fmt(f) }
    }
}

/// Who may stand in a place of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// What can be started: nobody is the controller before that.
    Machines,
    /// The same, where it is not ZooKeeper's.
    Disks,
    /// What can die with its machine.
    Processes,
    /// What can die.
    Killable,
    Brokers,
    All,
}

impl Of {
    fn takes_controller(self) -> bool {
        !matches!(self, Of::Machines | Of::Disks)
    }

    fn takes_zookeeper(self) -> bool {
        !matches!(self, Of::Disks | Of::Brokers)
    }

    fn expected(self) -> &'static str {
        match self {
            Of::Machines => "a broker, a rack, zookeeper, or a producer or consumer, such as broker-1 or c1",
            Of::Disks => "a broker or a rack, such as broker-1 or rack a",
            Of::Processes => "a broker, such as broker-1, rack a, controller or zookeeper",
            Of::Killable => "a broker, such as broker-1, rack a, controller, zookeeper, or a producer or consumer",
            Of::Brokers => "a broker, such as broker-1, rack a or controller",
            Of::All => "a node, such as broker-1, rack a, controller or p1",
        }
    }
}

impl Line<'_> {
    /// The rest of a line that begins with one of [`WORDS`], which stands at `at`.
    pub(super) fn fault(&self, at: usize, word: &str) -> Parsed<Fault> {
        let next = at + 1;
        match word {
            "kill" => self.alone(next, Of::Killable).map(Fault::Kill),
            "crash" => self.alone(next, Of::Processes).map(Fault::Crash),
            "start" => self.alone(next, Of::Machines).map(Fault::Start),
            "pause" => self.alone(next, Of::All).map(Fault::Pause),
            "resume" => self.alone(next, Of::All).map(Fault::Resume),
            "fill" => self.alone(next, Of::Brokers).map(Fault::Fill),
            "free" => self.alone(next, Of::Brokers).map(Fault::Free),
            "wipe" => self.alone(next, Of::Disks).map(Fault::Wipe),
            "tear" => self.alone(next, Of::Brokers).map(Fault::Tear),
            "corrupt" => self.alone(next, Of::Brokers).map(Fault::Corrupt),
            "heal" if self.words.len() == next => Ok(Fault::HealAll),
            "heal" => self.link(next).and_then(|(link, next)| self.end(next).map(|()| Fault::Heal(link))),
            "cut" => self.link(next).and_then(|(link, next)| self.end(next).map(|()| Fault::Cut(link))),
            "hold" => {
                let (link, next) = self.link(next)?;
                let by = self.span(next, "how long", "2s", MAX_HOLD)?;
                self.end(next + 1)?;
                Ok(Fault::Hold(link, by))
            }
            "reset" => {
                let (link, after) = self.link(next)?;
                if link.one_way {
                    return self.wrong(next, "expected reset A B: a connection breaks at both ends");
                }
                self.end(after)?;
                Ok(Fault::Reset(link.from, link.to))
            }
            "slow" => self.slow(next),
            "skew" => self.skew(next),
            "expire" => self.alone(next, Of::Brokers).map(Fault::Expire),
            _ => self.wrong(at, none_of(word, WORDS.into_iter())),
        }
    }

    /// `X disk 50ms`, `X disk off`, `X off`, `A B 20ms`, `A -> B 20ms`, `A B off`.
    fn slow(&self, at: usize) -> Parsed<Fault> {
        let (who, next) = self.who(at, Of::All)?;
        match self.text(next, "disk, another node, or off")?.as_str() {
            "off" => {
                self.end(next + 1)?;
                Ok(Fault::Quicken(who))
            }
            "disk" => {
                if let Who::Client(_) | Who::ZooKeeper = who {
                    return self.wrong(at, format!("expected a broker: {who} has no disk that can be slow"));
                }
                let by = self.span_or_off(next + 1)?;
                self.end(next + 2)?;
                Ok(Fault::SlowDisk(who, by))
            }
            _ => {
                let (link, next) = self.link(at)?;
                let by = self.span_or_off(next)?;
                self.end(next + 1)?;
                Ok(Fault::SlowLink(link, by))
            }
        }
    }

    fn skew(&self, at: usize) -> Parsed<Fault> {
        let (who, next) = self.who(at, Of::All)?;
        let text = self.text(next, "by how much, such as +5s, -5s or off")?;
        self.end(next + 1)?;
        if text == "off" {
            return Ok(Fault::Skew(who, 0));
        }
        let signed = text.strip_prefix('+').map(|rest| (1, rest)).or(text.strip_prefix('-').map(|rest| (-1, rest)));
        let by = signed.and_then(|(sign, rest)| Some((sign, duration(rest).filter(|by| *by <= MAX_SKEW)?)));
        match by {
            Some((sign, by)) if by.as_nanos() % 1_000_000 == 0 => Ok(Fault::Skew(who, sign * by.as_millis() as i64)),
            _ => {
                let expected = "expected whole milliseconds up to a year with a sign, such as +5s, or off";
                self.wrong(next, format!("{expected}, found {text}"))
            }
        }
    }

    /// One node, or one rack, and the line ends.
    fn alone(&self, at: usize, of: Of) -> Parsed<Who> {
        let (who, next) = self.who(at, of)?;
        self.end(next)?;
        Ok(who)
    }

    /// Two nodes, with an arrow between them where it is one way; and which word follows.
    fn link(&self, at: usize) -> Parsed<(Link, usize)> {
        let (from, next) = self.who(at, Of::All)?;
        let one_way = self.words.get(next).is_some_and(|word| word.bytes() == b"->");
        let second = next + usize::from(one_way);
        let (to, next) = self.who(second, Of::All)?;
        if from == to && !matches!(from, Who::Rack(_)) {
            return self.wrong(second, format!("expected another node than {from}: a link has two ends"));
        }
        Ok((Link { from, to, one_way }, next))
    }

    /// What may stand in such a place beside clients, in one word.
    fn machines(&self, of: Of) -> Vec<String> {
        let mut names = self.broker_names();
        names.extend((of.takes_controller()).then(|| "controller".to_owned()));
        names.extend((of.takes_zookeeper()).then(|| ZOOKEEPER.to_owned()));
        names
    }

    /// Whom the word there names (`rack a` is two words), and which word follows.
    fn who(&self, at: usize, of: Of) -> Parsed<(Who, usize)> {
        let text = self.text(at, of.expected())?;
        match text.as_str() {
            "controller" if of.takes_controller() => Ok((Who::Controller, at + 1)),
            ZOOKEEPER if of.takes_zookeeper() => Ok((Who::ZooKeeper, at + 1)),
            "rack" => {
                let rack = self.text(at + 1, "a rack's name, such as rack a")?;
                self.known_rack(at + 1, &rack)?;
                Ok((Who::Rack(rack), at + 2))
            }
            _ if text.starts_with("broker-") => Ok((Who::Broker(self.broker(at)?), at + 1)),
            _ if matches!(of, Of::All | Of::Killable | Of::Machines) => {
                let known = self.is_known_client(&text, true, true, &self.machines(of));
                known.or_else(|message| self.wrong(at, message))?;
                Ok((Who::Client(text), at + 1))
            }
            _ => {
                let near = hint(&text, self.machines(of).iter().map(String::as_str));
                self.wrong(at, format!("expected {}, found {text}.{near}", of.expected()))
            }
        }
    }

    fn span(&self, at: usize, what: &str, example: &str, most: Duration) -> Parsed<Duration> {
        let text = self.text(at, &format!("{what}, such as {example}"))?;
        match duration(&text).filter(|span| !span.is_zero() && *span <= most) {
            Some(span) => Ok(span),
            None => self.wrong(at, format!("expected {what}, up to {}, such as {example}, found {text}", Span(most))),
        }
    }

    fn span_or_off(&self, at: usize) -> Parsed<Duration> {
        match self.words.get(at).is_some_and(|word| word.bytes() == b"off") {
            true => Ok(Duration::ZERO),
            false => self.span(at, "by how much, or off", "50ms", MAX_SLOW),
        }
    }
}
