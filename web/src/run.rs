//! The frame loop. Outside the reactive graph: each animation frame advances the run, takes one view of it and writes
//! one signal.
//!
//! 1. A frame steps no more events than fit its time; what is left waits for the next one, and the page says that it
//!    cannot keep up.
//! 2. While a tab is hidden the browser draws no frames, and the cluster stands still.

use std::sync::Arc;

use leptos::prelude::*;
use ottla_core::sim::history::Player;
use ottla_core::time::{Duration, Instant};
use ottla_core::view::Target;

use crate::browser;
use crate::live;
use crate::store::{SPEEDS, Session, Source, Verdict};

/// What a frame may spend on events, and after which it is told as too slow.
const BUDGET_MILLIS: f64 = 9.0;
/// Longer gaps between frames (a tab that was hidden, a breakpoint) count as this long.
const LONGEST_FRAME_MILLIS: f64 = 100.0;
/// What one holds is looked into this often while it changes.
const DETAIL_MILLIS: f64 = 150.0;
const MARKS_MILLIS: f64 = 250.0;
/// Frames in a row that fell short before the page says so, and before it takes the word back.
const SHORT_FRAMES: i32 = 12;

/// A simulated run and what the loop remembers about it.
#[derive(Default)]
pub struct Run {
    player: Option<Player>,
    /// Something was done to the player that the page has not been shown.
    stale: bool,
    /// Wall clock, in ms.
    last_frame: f64,
    last_detail: f64,
    last_marks: f64,
    /// Something has happened since then.
    unmarked: bool,
    detail_of: Option<Target>,
    events_per_frame: u64,
    short: i32,
}

impl Run {
    pub fn load(&mut self, player: Option<Player>) {
        *self = Run { player, stale: true, last_frame: self.last_frame, ..Run::default() };
    }

    pub fn player(&self) -> Option<&Player> {
        self.player.as_ref()
    }

    /// The player, to do something with it: the next frame shows what came of it.
    pub fn player_mut(&mut self) -> Option<&mut Player> {
        self.stale = true;
        self.last_marks = 0.0;
        self.player.as_mut()
    }

    /// Runs on towards `to` for as long as a frame has time; true if it got there.
    fn advance(&mut self, to: Instant) -> bool {
        let events = self.events_per_frame.max(256);
        let Some(player) = &mut self.player else { return true };
        self.stale = true;
        let began = browser::now_millis();
        let reached = player.advance(to, events) >= to;
        let took = browser::now_millis() - began;
        // Aim at the budget, and trust one measurement only so far.
        if took > BUDGET_MILLIS {
            self.events_per_frame = (events as f64 * (BUDGET_MILLIS / took).max(0.25)) as u64;
        } else if !reached {
            self.events_per_frame = (events as f64 * (BUDGET_MILLIS / took.max(0.5)).min(2.0)) as u64;
        }
        reached
    }
}

/// Starts the loop; it ends with the page.
pub fn start(session: Session) {
    request_animation_frame(move || {
        frame(session);
        start(session);
    });
}

/// One event on or back, standing still.
pub fn step(session: Session, forward: bool) {
    session.playing.set(false);
    session.going.set(None);
    match session.source.get_untracked() {
        Source::Server => live::step(session, forward),
        Source::Simulated => session.run.update_value(|run| {
            if let Some(player) = run.player_mut() {
                if forward { player.step() } else { player.step_back() }
            }
        }),
    }
}

fn frame(session: Session) {
    let wall = browser::now_millis();
    let elapsed = session.run.try_update_value(|run| {
        let elapsed = (wall - run.last_frame).clamp(0.0, LONGEST_FRAME_MILLIS);
        run.last_frame = wall;
        elapsed
    });
    if session.source.get_untracked() == Source::Server {
        live::frame(session, wall);
        return;
    }
    let going = session.going.get_untracked();
    let playing = session.playing.get_untracked();
    let ahead = elapsed.unwrap_or_default() * SPEEDS[session.speed.get_untracked()].0;

    let shown = session.run.try_update_value(|run| {
        if let Some(to) = going {
            let back = run.player.as_mut().filter(|player| to < player.now()).map(|player| player.seek(to)).is_some();
            run.stale |= back;
            if back || run.advance(to) {
                session.going.set(None);
            }
            run.last_marks = 0.0;
        } else if playing && let Some(now) = run.player().map(Player::now) {
            let reached = run.advance(now + Duration::from_nanos((ahead * 1e6) as u64));
            run.short = (run.short + if reached { -1 } else { 1 }).clamp(0, 2 * SHORT_FRAMES);
        } else {
            run.short = 0;
        }
        if session.behind.get_untracked() != (run.short >= SHORT_FRAMES) {
            session.behind.set(run.short >= SHORT_FRAMES);
        }
        if std::mem::take(&mut run.stale) { run.player().map(Player::view) } else { None }
    });
    let changed = match shown.flatten() {
        Some(view) => {
            widen(session, view.now, 2);
            session.view.set(Arc::new(view));
            true
        }
        None => false,
    };
    look_closer(session, wall, changed);
}

/// The scrubber reaches as far as anything has happened, with room ahead.
fn widen(session: Session, now: Instant, room: u64) {
    if now > session.horizon.get_untracked() {
        session.horizon.set(now + Duration::from_nanos(now.as_nanos() / room));
    }
}

/// Marks, what went wrong and what one holds: rarely enough to cost nothing, at once when something was done.
fn look_closer(session: Session, wall: f64, changed: bool) {
    let held = session.held.get_untracked();
    let found = session.run.try_update_value(|run| {
        run.unmarked |= changed;
        let marks = (run.unmarked && wall - run.last_marks >= MARKS_MILLIS).then(|| {
            run.last_marks = wall;
            run.unmarked = false;
            run.player().map(|player| (player.marks(), Verdict::of(player)))
        });
        let other = run.detail_of != held;
        let detail = (other || (changed && wall - run.last_detail >= DETAIL_MILLIS)).then(|| {
            run.last_detail = wall;
            run.detail_of.clone_from(&held);
            held.as_ref().and_then(|target| run.player()?.detail(target))
        });
        (marks.flatten(), detail, other)
    });
    let Some((marks, detail, other)) = found else { return };
    let (marks, verdict) = marks.unzip();
    if let Some(verdict) = verdict.filter(|verdict| session.verdict.with_untracked(|known| **known != *verdict)) {
        session.verdict.set(Arc::new(verdict));
    }
    if let Some(marks) = marks.filter(|marks| session.marks.with_untracked(|known| **known != *marks)) {
        if let Some(last) = marks.iter().map(|mark| mark.at).max() {
            widen(session, last, 10);
        }
        session.marks.set(Arc::new(marks));
    }
    match detail {
        // What has arrived cannot be asked about any more, but it can still be read.
        Some(None) if !other => {}
        Some(detail) if session.detail.with_untracked(|known| known.as_deref() != detail.as_ref()) => {
            session.detail.set(detail.map(Arc::new));
        }
        _ => {}
    }
}
