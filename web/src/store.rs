//! What the page holds: the run or the server that it shows, and what one has picked up. One [`Session`], given to
//! every part by context; each field is a signal of its own, so that a part is told only of what it reads.

use std::sync::Arc;

use leptos::prelude::*;
use ottla_core::near::hint;
use ottla_core::sim::Outcome;
use ottla_core::sim::history::Player;
use ottla_core::sim::scenario::prepared::{self, Prepared};
use ottla_core::sim::scenario::{Action, ParseError, link, parse};
use ottla_core::time::{Duration, Instant};
use ottla_core::view::{Detail, Level, Mark, Target, View};

use crate::browser;
use crate::live::{self, Link, Live};
use crate::panel::lesson::Story;
use crate::run::Run;

/// Whose view is on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Simulated,
    Server,
}

/// The tabs on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Lesson,
    Scenario,
    Events,
}

/// What lies open over the page, or on a phone over the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sheet {
    None,
    Story,
    Hand,
    Gallery,
    Help,
}

/// A form in the right panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Send { topic: Option<String>, partition: Option<i32> },
    Producer,
    Consumer,
    Topic,
}

/// Words over the stage, until they are put away or others come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub level: Level,
    pub text: String,
    /// To be copied by hand.
    pub link: Option<String>,
}

/// What went wrong up to a moment: an invariant was broken, or an expectation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub at: Instant,
    /// What was broken.
    pub what: String,
    pub found: String,
}

/// What became of a run’s expectations and invariants up to a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub outcomes: Vec<Outcome>,
    /// The first, and how many there are.
    pub breach: Option<(Breach, usize)>,
}

impl Verdict {
    pub fn of(player: &Player) -> Verdict {
        let simulation = player.simulation();
        let outcomes = simulation.outcomes();
        let broken = simulation.violations().iter().filter(|violation| violation.exempt.is_none());
        let broken =
            broken.map(|violation| (violation.at, format!("{} is violated", violation.invariant), &violation.found));
        let failed = outcomes.iter().filter(|outcome| !outcome.held);
        let failed =
            failed.map(|outcome| (outcome.at, format!("expect {} FAILED", outcome.expectation), &outcome.found));
        // Of one moment, the invariant first: it is why the expectation failed.
        let all: Vec<_> = broken.chain(failed).collect();
        let first = all.iter().min_by_key(|(at, ..)| *at);
        let breach = first.map(|(at, what, found)| Breach { at: *at, what: what.clone(), found: (*found).clone() });
        Verdict { outcomes: outcomes.to_vec(), breach: breach.map(|breach| (breach, all.len())) }
    }
}

/// Simulated seconds a second on the wall, as the page says them.
pub const SPEEDS: [(f64, &str); 13] = [
    (0.01, "1/100×"),
    (0.02, "1/50×"),
    (0.05, "1/20×"),
    (0.1, "1/10×"),
    (0.2, "1/5×"),
    (0.5, "1/2×"),
    (1.0, "1×"),
    (2.0, "2×"),
    (5.0, "5×"),
    (10.0, "10×"),
    (20.0, "20×"),
    (50.0, "50×"),
    (100.0, "100×"),
];
/// Slow enough to follow a message with the eye.
const FIRST_SPEED: usize = 3;
/// By then a simulated cluster has made its topics, and by the later one its clients have begun.
const FIRST_SIGHT: (Duration, Duration) = (Duration::from_millis(1_200), Duration::from_millis(3_000));
/// That long before the first thing that happens one begins to look.
const BEFORE: Duration = Duration::from_millis(500);
/// For how long good news stands.
const GOOD_NEWS: Duration = Duration::from_secs(6);
/// What the scrubber spans at least.
const LEAST_HORIZON: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
pub struct Session {
    pub source: RwSignal<Source>,
    /// The one signal that changes with every frame.
    pub view: RwSignal<Arc<View>>,
    /// The moment at which a server's messages are drawn; it runs on between two of its views.
    pub live_now: RwSignal<Instant>,

    pub held: RwSignal<Option<Target>>,
    pub detail: RwSignal<Option<Arc<Detail>>>,
    /// What the server was asked about and knows nothing of, or no more.
    pub unknown: RwSignal<Option<Target>>,
    pub form: RwSignal<Option<Form>>,
    /// Whether all that a thing knows of itself is shown too.
    pub more: RwSignal<bool>,
    pub tab: RwSignal<Tab>,
    pub sheet: RwSignal<Sheet>,
    pub notice: RwSignal<Option<Notice>>,

    pub playing: RwSignal<bool>,
    /// Its place among [`SPEEDS`].
    pub speed: RwSignal<usize>,
    /// The machine cannot run the cluster as fast as it is asked to.
    pub behind: RwSignal<bool>,
    /// On the way to that moment, over more than one frame.
    pub going: RwSignal<Option<Instant>>,
    pub marks: RwSignal<Arc<Vec<Mark>>>,
    pub verdict: RwSignal<Arc<Verdict>>,
    /// Where the scrubber ends.
    pub horizon: RwSignal<Instant>,

    /// What the editor shows, and what runs.
    pub text: RwSignal<String>,
    pub ran: RwSignal<String>,
    pub errors: RwSignal<Vec<ParseError>>,

    /// How it stands with the server; `None` where there is none.
    pub link: RwSignal<Option<Link>>,
    /// The fragment that brings the simulated run back; a server has one of its own.
    pub home: StoredValue<String>,
    pub run: StoredValue<Run, LocalStorage>,
    pub live: StoredValue<Live, LocalStorage>,
}

/// From where there is something to see, and nothing missed.
fn first_sight(text: &str) -> Instant {
    let first = Story::of(text).steps.first().map(|step| step.at);
    let (least, most) = (Instant::ZERO + FIRST_SIGHT.0, Instant::ZERO + FIRST_SIGHT.1);
    first.map_or(most, |first| (Instant::ZERO + first.since(Instant::ZERO + BEFORE)).clamp(least, most))
}

impl Session {
    pub fn new() -> Session {
        Session {
            source: RwSignal::new(Source::Simulated),
            view: RwSignal::default(),
            live_now: RwSignal::new(Instant::ZERO),
            held: RwSignal::new(None),
            detail: RwSignal::new(None),
            unknown: RwSignal::new(None),
            form: RwSignal::new(None),
            more: RwSignal::new(false),
            tab: RwSignal::new(Tab::Lesson),
            sheet: RwSignal::new(Sheet::None),
            notice: RwSignal::new(None),
            playing: RwSignal::new(false),
            speed: RwSignal::new(FIRST_SPEED),
            behind: RwSignal::new(false),
            going: RwSignal::new(None),
            marks: RwSignal::default(),
            verdict: RwSignal::default(),
            horizon: RwSignal::new(Instant::ZERO + LEAST_HORIZON),
            text: RwSignal::default(),
            ran: RwSignal::default(),
            errors: RwSignal::default(),
            link: RwSignal::new(None),
            home: StoredValue::new(String::new()),
            run: StoredValue::new_local(Run::default()),
            live: StoredValue::new_local(Live::default()),
        }
    }

    pub fn get() -> Session {
        expect_context()
    }

    /// Runs `text` from its beginning. Where it is wrong nothing changes but the errors, and `false` comes back.
    pub fn open(self, text: &str, play: bool) -> bool {
        let scenario = match parse::scenario(text) {
            Ok(scenario) => scenario,
            Err(errors) => {
                self.errors.set(errors);
                return false;
            }
        };
        // Words alone are no cluster: there is nothing to run, and the stage says how to begin.
        let says_nothing = text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'));
        let player = match (!says_nothing).then(|| Player::new(scenario)).transpose() {
            Ok(player) => player,
            Err(why) => {
                self.say(Level::Bad, sentence(&format!("This scenario cannot run: {why}")));
                return false;
            }
        };
        if self.source.get_untracked() == Source::Server {
            live::leave(self);
        }
        self.errors.set(Vec::new());
        self.text.set(text.to_string());
        self.ran.set(text.to_string());
        self.held.set(None);
        self.form.set(None);
        self.detail.set(None);
        self.going.set(None);
        // Those of the new run, even if they are the same, widen the line anew.
        self.marks.set(Arc::default());
        self.verdict.set(Arc::default());
        self.horizon.set(Instant::ZERO + LEAST_HORIZON);
        if player.is_none() {
            self.view.set(Arc::default());
        }
        self.playing.set(play && player.is_some());
        self.run.update_value(|run| run.load(player));
        self.source.set(Source::Simulated);
        true
    }

    /// Shows a text from where there is something to see: when its topics stand and its clients have begun.
    pub fn show(self, text: &str, play: bool) -> bool {
        let opened = self.open(text, play);
        if opened {
            self.going.set(Some(first_sight(text)));
        }
        opened
    }

    /// A reload brings it back. Links that somebody has are not touched by this.
    pub fn remember(self, fragment: String) {
        browser::set_fragment(&fragment);
        self.home.set_value(fragment);
    }

    /// What the address says: a scenario's name, or a shared moment, whole, or the reason why not.
    pub fn open_link(self, fragment: &str) -> bool {
        self.home.set_value(fragment.to_string());
        let name = fragment.trim_start_matches('#');
        let named = |one: &&Prepared| one.name == name;
        if let Some(one) = prepared::ALL.iter().chain(prepared::SEARCHES).find(named) {
            self.notice.set(None);
            return self.show(one.text, !browser::is_calm());
        }
        let is_a_name = name.len() <= 64 && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric());
        let read = match is_a_name {
            true => {
                Err(format!("there is no scenario {name}.{}", hint(name, prepared::ALL.iter().map(|one| one.name))))
            }
            false => link::decode(fragment),
        };
        let opened = read.and_then(|(text, cursor)| match parse::scenario(&text) {
            Ok(_) if self.open(&text, false) => Ok(cursor),
            Ok(_) => Err("its scenario cannot run".to_string()),
            Err(errors) => Err(errors.first().map_or_else(String::new, ToString::to_string)),
        });
        match opened {
            Ok(cursor) => {
                self.notice.set(None);
                // A link to the very start is one to the run as a whole: it is shown from where there is something to see.
                if cursor == Instant::ZERO {
                    self.playing.set(!browser::is_calm());
                    self.going.set(Some(first_sight(&self.ran.get_untracked())));
                } else {
                    self.go(cursor);
                }
                true
            }
            Err(why) => {
                self.say(Level::Bad, sentence(&format!("The link was not opened: {why}")));
                false
            }
        }
    }

    /// To a moment, before or after.
    pub fn go(self, to: Instant) {
        match self.source.get_untracked() {
            Source::Simulated => self.going.set(Some(to)),
            Source::Server => live::look_back(self, to),
        }
    }

    /// Does what a line of a scenario says, now, to the cluster on the stage.
    pub fn act_line(self, line: &str) {
        match parse::action(line) {
            Ok(action) => self.act(action),
            Err(error) => self.say(Level::Bad, format!("“{line}”: {}", error.message)),
        }
    }

    pub fn act(self, action: Action) {
        match self.source.get_untracked() {
            Source::Server => live::post(self, action.to_string()),
            Source::Simulated => {
                let mut done = Err("nothing runs yet: choose a scenario".to_string());
                self.run.update_value(|run| {
                    if let Some(player) = run.player_mut() {
                        done = player.act(action).map(|()| player.scenario().to_string());
                    }
                });
                match done {
                    Ok(text) => {
                        self.text.set(text.clone());
                        self.ran.set(text);
                        self.errors.set(Vec::new());
                        self.form.set(None);
                        self.notice.set(None);
                    }
                    Err(why) => self.say(Level::Bad, sentence(&format!("That cannot be done here: {why}"))),
                }
            }
        }
    }

    /// The first thing that went wrong up to this moment of a simulated run, and how many there are.
    pub fn breach(self) -> Option<(Breach, usize)> {
        let simulated = self.source.get() == Source::Simulated;
        self.verdict.with(|verdict| verdict.breach.clone()).filter(|_| simulated)
    }

    /// To its moment, where its line is the last of the events.
    pub fn show_breach(self, at: Instant) {
        self.playing.set(false);
        self.tab.set(Tab::Events);
        if browser::is_phone() {
            self.sheet.set(Sheet::Story);
        }
        self.go(at);
    }

    /// This moment as a link: into the address, the clipboard, and before the eyes.
    pub fn share(self) {
        let mut fragment = None;
        self.run.update_value(|run| {
            if let Some(player) = run.player_mut() {
                // A moment is all of it: what else happens at this very instant belongs to the link's cursor.
                let now = player.now();
                player.advance(now, u64::MAX);
                fragment = Some(link::encode(&self.ran.get_untracked(), now));
            }
        });
        match fragment {
            Some(fragment) => {
                let link = browser::set_fragment(&fragment);
                self.home.set_value(fragment);
                browser::copy(link, move |link, copied| {
                    let text = match copied {
                        true => {
                            "The link to this moment is copied. Whoever opens it sees what you see, and can go on from here."
                        }
                        false => "This is the link to this moment; copy it from here.",
                    };
                    self.notice.set(Some(Notice { level: Level::Good, text: text.to_string(), link: Some(link) }));
                });
            }
            None => self.say(Level::Warn, "Only a simulated run can be shared as a link.".to_string()),
        }
    }

    /// Good news goes by itself.
    pub fn say(self, level: Level, text: String) {
        let notice = Notice { level, text, link: None };
        self.notice.set(Some(notice.clone()));
        if level == Level::Good {
            let gone = move || {
                if self.notice.with_untracked(|shown| shown.as_ref() == Some(&notice)) {
                    self.notice.set(None);
                }
            };
            set_timeout(gone, GOOD_NEWS);
        }
    }

    pub fn fill_in(self, form: Form) {
        self.form.set(Some(form));
        if browser::is_phone() {
            self.sheet.set(Sheet::Hand);
        }
    }

    /// A name that no node has yet, here or later in the scenario: `p1`, `p2`, …
    pub fn free_name(self, letter: char) -> String {
        self.view.with_untracked(|view| {
            let taken = |name: &str| {
                self.ran.with_untracked(|text| text.split_whitespace().any(|word| word == name))
                    || view.producers.iter().any(|producer| producer.name == name)
                    || view.consumers.iter().any(|consumer| consumer.name == name)
            };
            (1..).map(|number| format!("{letter}{number}")).find(|name| !taken(name)).unwrap_or_default()
        })
    }
}

/// Ends with a full stop, unless it ends already.
pub fn sentence(text: &str) -> String {
    let ended = text.ends_with(['.', '?', '!', '…']);
    format!("{text}{}", if ended { "" } else { "." })
}

/// `1:02.345`.
pub fn clock_words(at: Instant) -> String {
    let millis = at.as_millis();
    format!("{}:{:02}.{:03}", millis / 60_000, millis / 1_000 % 60, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_once() {
        assert_eq!(
            ["was it?", "begins with v1.", "it is dead"].map(sentence),
            ["was it?", "begins with v1.", "it is dead."]
        );
    }
}
