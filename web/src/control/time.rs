//! The footer: time, as a thing to take in the hand.

use leptos::prelude::*;
use ottla_core::time::Instant;

use crate::control::scrub::Scrub;
use crate::live::Link;
use crate::run;
use crate::scene::words::number;
use crate::store::{Breach, SPEEDS, Session, Source, clock_words};

#[component]
pub fn Time() -> impl IntoView {
    let session = Session::get();
    let server = move || session.source.get() == Source::Server;
    view! {
        <footer class="time">
            <div class="transport" role="group" aria-label="Time">
                <button class="to-start" title="To the start (Home)" aria-label="To the start"
                    on:click=move |_| session.go(Instant::ZERO)>
                    <Glyph path="M1 1h2v10H1zM11 1v10L4 6z"/>
                </button>
                <button class="step-back" title="One event back (←)" aria-label="One event back"
                    on:click=move |_| run::step(session, false)>
                    <Glyph path="M9 1v10L2 6z"/>
                </button>
                <button class="play" title="Play, pause (Space)"
                    aria-label=move || if session.playing.get() { "Pause" } else { "Play" }
                    on:click=move |_| session.playing.update(|playing| *playing = !*playing)>
                    {move || match session.playing.get() {
                        true => view! { <Glyph path="M1 1h4v10H1zM7 1h4v10H7z"/> },
                        false => view! { <Glyph path="M2 0.5v11L11.5 6z"/> },
                    }}
                </button>
                <button class="step" title="One event on (→)" aria-label="One event on"
                    on:click=move |_| run::step(session, true)>
                    <Glyph path="M3 1v10l7-5z"/>
                </button>
                <Show when=move || !server()><Speed/></Show>
            </div>
            <div class="scrub-cell"><Scrub/></div>
            <Clock/>
        </footer>
    }
}

#[component]
fn Glyph(path: &'static str) -> impl IntoView {
    view! { <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"><path d=path/></svg> }
}

#[component]
fn Speed() -> impl IntoView {
    let session = Session::get();
    let words = move || SPEEDS[session.speed.get()].1;
    view! {
        <label class="speed" title="Simulated seconds a second (+, −)">
            <output>{words}</output>
            <input type="range" aria-label="Speed" aria-valuetext=words min="0" max=SPEEDS.len() - 1 step="1"
                prop:value=move || session.speed.get().to_string()
                on:input=move |event| {
                    if let Ok(place) = event_target_value(&event).parse::<usize>() {
                        session.speed.set(place.min(SPEEDS.len() - 1));
                    }
                }/>
        </label>
    }
}

#[component]
fn Clock() -> impl IntoView {
    let session = Session::get();
    let now = Memo::new(move |_| session.view.with(|view| view.now));
    let counts = Memo::new(move |_| session.view.with(|view| (view.event, view.seed)));
    view! {
        <div class="clock">
            <b>
                {move || clock_words(now.get())}
                <small class="desk-only">{move || format!("{:03}", now.get().as_nanos() / 1_000 % 1_000)}</small>
            </b>
            <div class="mono desk-only">
                {move || match counts.get() {
                    (event, Some(seed)) => format!("event {} · seed {seed}", number(event as i64)),
                    (0, None) => String::new(),
                    (event, None) => format!("{} requests answered", number(event as i64)),
                }}
            </div>
            <div>{move || state(session)}</div>
            <Wrong/>
        </div>
    }
}

/// That something went wrong before this moment; a press goes to the line that tells of it.
#[component]
fn Wrong() -> impl IntoView {
    let session = Session::get();
    let words = move |(breach, count): (Breach, usize)| {
        let more = if count > 1 { format!(", and {} more", number(count as i64 - 1)) } else { String::new() };
        let title = format!("{} at {}: {}", breach.what, clock_words(breach.at), breach.found);
        view! {
            <button class="wrong" title=title on:click=move |_| session.show_breach(breach.at)>{breach.what.clone()}{more}</button>
        }
    };
    move || session.breach().map(words)
}

/// What there is to say about time itself.
fn state(session: Session) -> impl IntoView + use<> {
    let (class, words) = match session.source.get() {
        Source::Server => match session.link.get() {
            Some(Link::Open) if session.playing.get() => ("good", "● live".to_string()),
            Some(Link::Open) => ("warn", "looking back; play returns to now".to_string()),
            Some(Link::Waiting { millis }) => {
                ("bad", format!("server gone; asks again in {:.1} s", f64::from(millis) / 1e3))
            }
            _ => ("warn", "connecting…".to_string()),
        },
        Source::Simulated => match session.going.get() {
            Some(to) => ("warn", format!("on the way to {}", clock_words(to))),
            None if session.behind.get() => ("warn", "as fast as this machine can".to_string()),
            None if session.playing.get() => ("", String::new()),
            None => ("", "paused".to_string()),
        },
    };
    view! { <span class=class>{words}</span> }
}
