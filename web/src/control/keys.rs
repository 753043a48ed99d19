//! The keyboard, and the sheet that tells of it.

use leptos::prelude::*;
use ottla_core::time::{Duration, Instant};
use web_sys::KeyboardEvent;

use crate::browser;
use crate::control::dialog::Dialog;
use crate::run;
use crate::store::{SPEEDS, Session, Sheet, Source, Tab};

/// What each key does, as the sheet tells it.
const KEYS: [(&[&str], &str); 11] = [
    (&["Space"], "play, pause"),
    (&["→", "←"], "one event on, one event back"),
    (&["Shift →", "Shift ←"], "one second on, one second back"),
    (&["Home"], "to the start"),
    (&["Page ↑", "Page ↓"], "on the line of time: a tenth of it on, back"),
    (&["+", "−"], "faster, slower"),
    (&["1", "2", "3"], "lesson, scenario, events"),
    (&["S"], "share this moment"),
    (&["G"], "gallery"),
    (&["D"], "light, dark"),
    (&["Esc"], "close, let go"),
];

pub fn listen(session: Session) {
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        if !event.default_prevented() && press(session, &event) {
            event.prevent_default();
        }
    });
    // It listens as long as the page lives.
    std::mem::forget(handle);
}

/// True if the key meant something.
fn press(session: Session, event: &KeyboardEvent) -> bool {
    if event.ctrl_key() || event.meta_key() || event.alt_key() {
        return false;
    }
    let target = event.target().and_then(|target| {
        use wasm_bindgen::JsCast;
        target.dyn_into::<web_sys::Element>().ok()
    });
    let on = |selector: &str| target.as_ref().is_some_and(|element| element.matches(selector).unwrap_or(false));
    if event.key() == "Escape" {
        escape(session);
        return true;
    }
    // A button that a mouse has left the focus on is not one that the keyboard is at.
    let at_button = on("button:focus-visible, [role=button]:focus-visible");
    if on("input:not([type=range]), textarea, select") || (event.key() == " " && at_button) {
        return false;
    }
    if on("input[type=range]") && event.key().starts_with("Arrow") {
        return false;
    }
    match event.key().as_str() {
        " " => session.playing.update(|playing| *playing = !*playing),
        "ArrowRight" if event.shift_key() => jump(session, 1.0),
        "ArrowLeft" if event.shift_key() => jump(session, -1.0),
        "ArrowRight" => run::step(session, true),
        "ArrowLeft" => run::step(session, false),
        "Home" => session.go(Instant::ZERO),
        "+" | "=" => session.speed.update(|speed| *speed = (*speed + 1).min(SPEEDS.len() - 1)),
        "-" | "−" => session.speed.update(|speed| *speed = speed.saturating_sub(1)),
        "1" => session.tab.set(Tab::Lesson),
        "2" => session.tab.set(Tab::Scenario),
        "3" => session.tab.set(Tab::Events),
        "s" | "S" if session.source.get_untracked() == Source::Simulated => session.share(),
        "g" | "G" => session.sheet.set(Sheet::Gallery),
        "d" | "D" => browser::set_dark(!browser::is_dark()),
        "?" => session.sheet.set(Sheet::Help),
        _ => return false,
    }
    true
}

fn escape(session: Session) {
    if session.sheet.get_untracked() != Sheet::None {
        // A form is what its sheet shows: both go.
        if session.sheet.get_untracked() == Sheet::Hand {
            session.form.set(None);
        }
        session.sheet.set(Sheet::None);
    } else if session.form.get_untracked().is_some() {
        session.form.set(None);
    } else if session.notice.get_untracked().is_some() {
        session.notice.set(None);
    } else {
        session.held.set(None);
    }
}

fn jump(session: Session, seconds: f64) {
    let now = session.view.with_untracked(|view| view.now);
    let by = Duration::from_secs_f64(seconds.abs());
    session.go(if seconds < 0.0 { Instant::ZERO + now.since(Instant::ZERO + by) } else { now + by });
}

#[component]
pub fn Help() -> impl IntoView {
    let rows = KEYS.map(|(keys, what)| {
        view! { <dt>{keys.iter().map(|key| view! { <kbd>{*key}</kbd> }).collect_view()}</dt><dd>{what}</dd> }
    });
    view! {
        <Dialog title="Keys">
            <dl class="keys">{rows.into_iter().collect_view()}</dl>
            <p>
                "Everything on the stage answers to a click: a message shows its request, a cell its batch, a box its \
                 settings and what can be done to it. What you do becomes part of the scenario, so going back in time \
                 and sharing the link keep it."
            </p>
            <p>
                "Tab goes through the stage, Enter takes something in hand. On a partition the arrows go from batch to \
                 batch; on “in flight” they go from message to message. Of a broker or client in hand the panel lists the \
                 links, to be cut and healed."
            </p>
        </Dialog>
    }
}
