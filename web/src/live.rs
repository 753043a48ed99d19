//! A server, watched: views over a WebSocket, details and actions over HTTP.
//!
//! The page keeps the last views, so that one can stand still and look back while the server goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use gloo_timers::callback::Timeout;
use leptos::prelude::*;
use leptos::task::spawn_local;
use ottla_core::time::{Duration, Instant};
use ottla_core::view::{Detail, Level, Target, View};
use wasm_bindgen::prelude::*;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use crate::browser;
use crate::store::{Session, Sheet, Source, sentence};

/// Of the address that opens with the server on the stage.
pub const FRAGMENT: &str = "#live";
/// Views kept for looking back: two minutes at the server's ten a second.
const KEPT: usize = 1_200;
/// Wait before the first new attempt to connect, and the longest one.
const BACK_OFF_MILLIS: (u32, u32) = (500, 8_000);
/// Facts about a thing that changes are asked for this often.
const DETAIL_MILLIS: f64 = 1_000.0;

/// How it stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is there; nobody looks.
    Known,
    Connecting,
    Open,
    /// Lost; tried again after so many ms.
    Waiting {
        millis: u32,
    },
}

#[derive(Default)]
pub struct Live {
    socket: Option<Socket>,
    views: VecDeque<Arc<View>>,
    /// The wall clock when the newest view came, and how long its predecessor had lasted, in ms.
    came: f64,
    spacing: f64,
    attempt: u32,
    retry: Option<Timeout>,
    last_detail: f64,
    detail_of: Option<Target>,
}

/// A connection with its callbacks, which must live as long.
struct Socket {
    socket: WebSocket,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}

/// Shows the server on the stage.
pub fn watch(session: Session) {
    if session.source.get_untracked() == Source::Server {
        return;
    }
    session.source.set(Source::Server);
    session.held.set(None);
    session.form.set(None);
    session.detail.set(None);
    session.view.set(Arc::default());
    session.sheet.set(Sheet::None);
    session.playing.set(true);
    session.live.update_value(|live| *live = Live::default());
    browser::set_fragment(FRAGMENT);
    connect(session);
}

/// Back to the simulated cluster, which has stood still meanwhile.
pub fn leave(session: Session) {
    session.live.update_value(|live| *live = Live::default());
    session.link.set(Some(Link::Known));
    session.held.set(None);
    session.form.set(None);
    session.detail.set(None);
    session.playing.set(false);
    browser::set_fragment(&session.home.get_value());
    session.source.set(Source::Simulated);
    session.view.set(Arc::default());
    session.run.update_value(|run| {
        run.player_mut();
    });
}

/// Does on the server what a line says.
pub fn post(session: Session, line: String) {
    spawn_local(async move {
        // One JSON object a line, with `done` or `error`; a refusal has them too.
        let words = |text: &str, name: &str| {
            let outcome: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
            Some(outcome.get(name)?.as_str()?.to_string())
        };
        match browser::fetch("POST", "api/actions", Some(&line)).await {
            Ok(answer) => {
                session.form.set(None);
                session.say(Level::Good, sentence(&format!("{line}: {}", words(&answer, "done").unwrap_or_default())));
            }
            Err(why) => {
                let why = words(&why, "error").unwrap_or(why);
                session.say(Level::Bad, sentence(&format!("The server did not do it: {why}")));
            }
        }
    });
}

/// Stands still at the view of that moment.
pub fn look_back(session: Session, to: Instant) {
    session.playing.set(false);
    let view = session.live.with_value(|live| {
        let after = live.views.partition_point(|view| view.now <= to);
        live.views.get(after.saturating_sub(1)).cloned()
    });
    show(session, view);
}

/// One view on or back.
pub fn step(session: Session, forward: bool) {
    let now = session.view.with_untracked(|view| view.now);
    let view = session.live.with_value(|live| match forward {
        true => live.views.iter().find(|view| view.now > now).cloned(),
        false => live.views.iter().rev().find(|view| view.now < now).cloned(),
    });
    show(session, view);
}

/// The moments that one can go back to.
pub fn span(session: Session) -> (Instant, Instant) {
    session.live.with_value(|live| {
        let at = |view: Option<&Arc<View>>| view.map_or(Instant::ZERO, |view| view.now);
        (at(live.views.front()), at(live.views.back()))
    })
}

/// Between two views time goes on, so that messages move; what one holds is asked about now and then.
pub fn frame(session: Session, wall: f64) {
    let playing = session.playing.get_untracked();
    let drawn = session.live.with_value(|live| {
        let newest = live.views.back()?;
        // One view behind, so that the next one is there before the time runs out.
        let back = Duration::from_nanos((live.spacing * 1e6) as u64);
        let since = Duration::from_nanos(((wall - live.came).clamp(0.0, live.spacing) * 1e6) as u64);
        Some(Instant::from_nanos(newest.now.as_nanos().saturating_sub(back.as_nanos() as u64)) + since)
    });
    match drawn {
        Some(drawn) if playing => session.live_now.set(drawn),
        _ => {}
    }
    let held = session.held.get_untracked();
    let ask = session.live.try_update_value(|live| {
        let other = live.detail_of != held;
        let again = wall - live.last_detail >= DETAIL_MILLIS
            && playing
            && match held {
                Some(Target::Batch { .. }) => false,
                // Its answer may still come.
                Some(Target::Message { .. }) => session.detail.with_untracked(|detail| unanswered(detail.as_deref())),
                _ => true,
            };
        (other || (again && held.is_some())).then(|| {
            live.last_detail = wall;
            live.detail_of.clone_from(&held);
            other
        })
    });
    if let Some(Some(other)) = ask {
        if other {
            session.detail.set(None);
        }
        if let Some(target) = held {
            ask_about(session, target);
        }
    }
}

fn unanswered(detail: Option<&Detail>) -> bool {
    let Some(Detail::Message(message)) = detail else { return false };
    message.passed.is_some_and(|passed| passed.answered.is_none())
}

fn ask_about(session: Session, target: Target) {
    let Ok(json) = serde_json::to_string(&target) else { return };
    spawn_local(async move {
        let answer = browser::fetch("GET", &format!("api/detail?target={}", browser::encode_uri(&json)), None).await;
        let answer = answer.ok().and_then(|text| serde_json::from_str::<Option<Detail>>(&text).ok());
        let still = session.held.with_untracked(|held| held.as_ref() == Some(&target));
        if still && answer == Some(None) {
            session.unknown.set(Some(target.clone()));
        }
        if still
            && let Some(detail) = answer.flatten()
            && session.detail.with_untracked(|known| known.as_deref() != Some(&detail))
        {
            session.detail.set(Some(Arc::new(detail)));
        }
    });
}

fn show(session: Session, view: Option<Arc<View>>) {
    if let Some(view) = view {
        session.live_now.set(view.now);
        session.view.set(view);
    }
}

fn connect(session: Session) {
    session.link.set(Some(Link::Connecting));
    let location = window().location();
    let scheme = if location.protocol().is_ok_and(|protocol| protocol == "https:") { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/api/live", location.host().unwrap_or_default());
    let Ok(socket) = WebSocket::new(&url) else { return again(session) };
    let message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        if let Some(text) = event.data().as_string() {
            take(session, &text);
        }
    });
    let close = Closure::<dyn FnMut(CloseEvent)>::new(move |_: CloseEvent| again(session));
    socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(close.as_ref().unchecked_ref()));
    session.live.update_value(|live| live.socket = Some(Socket { socket, _message: message, _close: close }));
}

fn take(session: Session, text: &str) {
    let Ok(view) = serde_json::from_str::<View>(text) else { return };
    let view = Arc::new(view);
    session.live.update_value(|live| {
        let wall = browser::now_millis();
        live.attempt = 0;
        live.spacing = if live.views.is_empty() { 0.0 } else { (wall - live.came).clamp(16.0, 500.0) };
        live.came = wall;
        // A server that was started anew begins at zero again.
        if live.views.back().is_some_and(|last| last.now > view.now) {
            live.views.clear();
        }
        if live.views.len() == KEPT {
            live.views.pop_front();
        }
        live.views.push_back(view.clone());
    });
    if session.link.get_untracked() != Some(Link::Open) {
        session.link.set(Some(Link::Open));
    }
    if session.playing.get_untracked() {
        session.view.set(view);
    }
}

/// Tries again, later each time.
fn again(session: Session) {
    let millis = session.live.try_update_value(|live| {
        let millis = (BACK_OFF_MILLIS.0 << live.attempt.min(8)).min(BACK_OFF_MILLIS.1);
        live.attempt += 1;
        live.retry = Some(Timeout::new(millis, move || {
            if session.source.get_untracked() == Source::Server {
                connect(session);
            }
        }));
        millis
    });
    session.link.set(millis.map(|millis| Link::Waiting { millis }));
}
