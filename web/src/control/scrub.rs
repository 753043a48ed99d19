//! The scrubber: a line of time to drag along, back as well as forward, with marks where something happened.

use leptos::html::Div;
use leptos::prelude::*;
use ottla_core::arrange::Arrange;
use ottla_core::time::Instant;
use ottla_core::view::{Level, Mark};
use wasm_bindgen::JsCast;
use web_sys::{KeyboardEvent, PointerEvent};

use crate::live;
use crate::store::{Session, Source, clock_words};

/// Marks closer than this are one.
const MERGE_PX: f64 = 14.0;
/// A label needs this much room; without it, it drops out and the mark's title still says it.
const LABEL_PX: f64 = 128.0;
const LABEL_GAP_PX: f64 = 12.0;
const TICK_PX: f64 = 80.0;

#[component]
pub fn Scrub() -> impl IntoView {
    let session = Session::get();
    let line = NodeRef::<Div>::new();
    let width = RwSignal::new(800.0);
    let measure = move || {
        if let Some(line) = line.get_untracked() {
            width.set(f64::from(line.client_width()).max(1.0));
        }
    };
    Effect::new(move |_| {
        line.track();
        measure();
    });
    window_event_listener(leptos::ev::resize, move |_| measure());

    let span = Memo::new(move |_| match session.source.get() {
        Source::Simulated => Span { from: 0, to: session.horizon.get().as_nanos() },
        Source::Server => {
            session.view.track();
            let (from, to) = live::span(session);
            Span { from: from.as_nanos(), to: to.as_nanos().max(from.as_nanos() + 1) }
        }
    });
    let now = Memo::new(move |_| session.view.with(|view| view.now));
    let place = move || format!("{:.3}%", 100.0 * span.get().share(now.get()));

    let dragging = RwSignal::new(false);
    let seek = move |event: &PointerEvent| {
        let Some(line) = line.get_untracked() else { return };
        let bounds = line.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - bounds.left()) / bounds.width().max(1.0);
        session.go(span.get_untracked().at(share));
    };
    let down = move |event: PointerEvent| {
        // A mark is a button of its own.
        let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        if target.is_some_and(|target| target.closest("button").ok().flatten().is_some()) {
            return;
        }
        if let Some(line) = line.get_untracked() {
            let _ = line.set_pointer_capture(event.pointer_id());
        }
        dragging.set(true);
        seek(&event);
    };

    // As a slider, where the keyboard is on it; a mouse that has been there leaves the arrows to single events.
    let keys = move |event: KeyboardEvent| {
        let by_keyboard = line.get_untracked().is_some_and(|line| line.matches(":focus-visible").unwrap_or(false));
        if !by_keyboard || event.shift_key() || event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let (span, now) = (span.get_untracked(), now.get_untracked());
        let here = span.share(now);
        let to = match event.key().as_str() {
            "Home" => 0.0,
            "End" => 1.0,
            "ArrowRight" | "ArrowUp" => here + 0.01,
            "ArrowLeft" | "ArrowDown" => here - 0.01,
            "PageUp" => here + 0.1,
            "PageDown" => here - 0.1,
            _ => return,
        };
        event.prevent_default();
        event.stop_propagation();
        session.go(span.at(to));
    };

    let live = Memo::new(move |_| session.source.get() == Source::Server);
    let ticks = move || {
        ticks(span.get(), width.get(), live.get()).into_iter().map(|(share, words)| {
        let minor = words.is_empty();
        view! { <i class="tick" class:minor=minor style:left=format!("{:.3}%", 100.0 * share)><span>{words}</span></i> }
    }).collect_view()
    };
    let marks = move || {
        if session.source.get() == Source::Server {
            return Vec::new();
        }
        let span = span.get();
        placed(&session.marks.get(), span, width.get()).into_iter().map(|placed| mark(session, placed)).collect()
    };

    view! {
        <div class="scrub" node_ref=line role="slider" tabindex="0" aria-label="Moment"
            aria-valuemin=move || (span.get().from / 1_000_000).to_string() aria-valuemax=move || (span.get().to / 1_000_000).to_string()
            aria-valuenow=move || now.get().as_millis().to_string()
            aria-valuetext=move || clock_words(now.get())
            on:keydown=keys
            on:pointerdown=down
            on:pointermove=move |event| if dragging.get_untracked() { seek(&event) }
            on:pointerup=move |_| dragging.set(false)
            on:pointercancel=move |_| dragging.set(false)>
            <div class="track"></div>
            <div class="done" style:width=place></div>
            {ticks}
            {marks}
            <div class="knob" style:left=place></div>
        </div>
    }
}

/// What the line stands for, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u64,
    to: u64,
}

impl Span {
    fn share(self, at: Instant) -> f64 {
        let whole = (self.to - self.from).max(1) as f64;
        (at.as_nanos().saturating_sub(self.from) as f64 / whole).clamp(0.0, 1.0)
    }

    fn at(self, share: f64) -> Instant {
        Instant::from_nanos(self.from + ((self.to - self.from) as f64 * share.clamp(0.0, 1.0)) as u64)
    }
}

/// Where along the line, and the words at every fifth. Of a server only the last minutes are there: they are counted
/// back from now.
fn ticks(span: Span, width: f64, live: bool) -> Vec<(f64, String)> {
    let seconds = (span.to - span.from) as f64 / 1e9;
    let least = seconds * TICK_PX / width;
    let power = 10f64.powf(least.max(1e-6).log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least).unwrap_or(least);
    let minor = step / 5.0;
    let zero = if live { span.to } else { 0 } as f64 / 1e9;
    let from = span.from as f64 / 1e9;
    let first = ((from - zero) / minor).ceil() as i64;
    let last = ((span.to as f64 / 1e9 - zero) / minor).floor() as i64;
    (first..=last.min(first + 400))
        .map(|index| {
            let at = index as f64 * minor;
            let words = match (index % 5, live) {
                (0, true) if index == 0 => "now".to_string(),
                (0, true) => format!("−{}", moment_words(-at)),
                (0, false) => moment_words(at),
                _ => String::new(),
            };
            ((zero + at - from) / seconds, words)
        })
        .collect()
}

/// `5 s`, `0.25 s`, `2 min`, `2 min 30.5 s`.
fn moment_words(seconds: f64) -> String {
    let rounded = |seconds: f64| (seconds * 1e6).round() / 1e6;
    if seconds < 120.0 {
        return format!("{} s", rounded(seconds));
    }
    match rounded(seconds % 60.0) {
        0.0 => format!("{} min", (seconds / 60.0) as u64),
        rest => format!("{} min {rest} s", (seconds / 60.0) as u64),
    }
}

/// Marks that stand together on the line.
struct Placed {
    share: f64,
    marks: Vec<Mark>,
    labelled: bool,
    /// Pixels that its label has.
    room: f64,
}

fn placed(marks: &[Mark], span: Span, width: f64) -> Vec<Placed> {
    let mut sorted: Vec<&Mark> = marks.iter().filter(|mark| mark.at.as_nanos() > 0).collect();
    sorted.arrange_by_key(|mark| mark.at);
    let mut placed: Vec<Placed> = Vec::new();
    for mark in sorted {
        let share = span.share(mark.at);
        match placed.last_mut() {
            Some(last) if (share - last.share) * width < MERGE_PX => {
                last.marks.push(mark.clone());
            }
            _ => placed.push(Placed { share, marks: vec![mark.clone()], labelled: false, room: 0.0 }),
        }
    }
    // The loudest get their label first.
    let mut order: Vec<usize> = (0..placed.len()).collect();
    order.arrange_by_key(|index| std::cmp::Reverse(placed[*index].loudest().level.weight()));
    for index in order {
        let here = placed[index].share;
        let edge = LABEL_PX / 2.0 / width;
        let free = placed.iter().all(|other| !other.labelled || (other.share - here).abs() * width >= LABEL_PX);
        placed[index].labelled = free && here > edge && here < 1.0 - edge;
    }
    for index in 0..placed.len() {
        let here = placed[index].share;
        let others = placed.iter().enumerate().filter(|(at, other)| *at != index && other.labelled);
        let nearest = others.map(|(_, other)| (other.share - here).abs()).fold(f64::INFINITY, f64::min);
        placed[index].room = nearest.min(2.0 * here).min(2.0 * (1.0 - here)) * width - LABEL_GAP_PX;
    }
    placed
}

impl Placed {
    /// The first of those that say most.
    fn loudest(&self) -> &Mark {
        let quiet = |mark: &&Mark| std::cmp::Reverse(mark.level.weight());
        self.marks.iter().min_by_key(quiet).unwrap_or(&self.marks[0])
    }
}

trait Loudness {
    fn weight(self) -> u8;
}

impl Loudness for Level {
    fn weight(self) -> u8 {
        match self {
            Level::Info => 0,
            Level::Good => 1,
            Level::Warn => 2,
            Level::Bad => 3,
        }
    }
}

fn mark(session: Session, placed: Placed) -> impl IntoView {
    let Mark { at, text: loudest, level } = placed.loudest().clone();
    let left = format!("{:.3}%", 100.0 * placed.share);
    let (class, shape) = match level {
        Level::Info => ("at level-info", view! { <circle r="3.6" fill="currentColor"/> }.into_any()),
        Level::Good => (
            "at level-good",
            view! { <path d="M-4 0l3 3 5-6" fill="none" stroke="currentColor" stroke-width="2"/> }.into_any(),
        ),
        Level::Warn => ("at level-warn", view! { <path d="M0-5l5 5-5 5-5-5z" fill="currentColor"/> }.into_any()),
        Level::Bad => {
            ("at level-bad", view! { <path d="M-4-4l8 8m0-8l-8 8" stroke="currentColor" stroke-width="2"/> }.into_any())
        }
    };
    let more = placed.marks.len() - 1;
    let label = placed.labelled.then(|| {
        let words = if more > 0 { format!("{loudest} +{more}") } else { loudest };
        let room = format!("{:.0}px", placed.room);
        view! { <span class="label" style:left=left.clone() style:max-width=room>{words}</span> }
    });
    let line = |mark: &Mark| format!("{} · {}", moment_words(mark.at.as_secs_f64()), mark.text);
    let title = placed.marks.iter().map(line).collect::<Vec<_>>().join("\n");
    view! {
        <button class=class style:left=left.clone() title=title.clone() aria-label=title on:click=move |_| session.go(at)>
            <svg width="1" height="1">{shape}</svg>
        </button>
        {label}
    }
    .into_any()
}
