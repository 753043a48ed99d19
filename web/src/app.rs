//! How the parts lie on the page, and what happens when it opens.

use leptos::prelude::*;
use leptos::task::spawn_local;
use ottla_core::sim::scenario::prepared;
use ottla_core::view::{Level, Target};

use crate::browser;
use crate::control::gallery::{Empty, Gallery};
use crate::control::header::Header;
use crate::control::keys::{self, Help};
use crate::control::time::Time;
use crate::live;
use crate::panel::hand::Hand;
use crate::panel::lesson::title;
use crate::panel::story::Story;
use crate::run;
use crate::scene::Stage;
use crate::store::{Breach, Notice, Session, Sheet, Source, clock_words};

#[component]
pub fn App() -> impl IntoView {
    let session = Session::new();
    provide_context(session);
    begin(session);

    // Picking something up shows it, and puts a form away.
    Effect::new(move |before: Option<Option<Target>>| {
        let held = session.held.get();
        if held.is_some() && before.flatten() != held {
            session.form.set(None);
            if browser::is_phone() {
                session.sheet.set(Sheet::Hand);
            }
        }
        held
    });

    let live = Memo::new(move |_| session.source.get() == Source::Server);
    let now =
        Signal::derive(move || if live.get() { session.live_now.get() } else { session.view.with(|view| view.now) });
    let on_act = Callback::new(move |line: String| session.act_line(&line));
    let editable = Signal::derive(move || !live.get());
    let empty = Memo::new(move |_| session.view.with(|view| view.brokers.is_empty()));

    view! {
        <div class="page">
            <Header/>
            <Story/>
            <main class="world">
                <Stage view=session.view now=now selected=session.held on_act=on_act editable=editable/>
                <Show when=move || empty.get()><Empty/></Show>
                <Notices/>
                <Handles/>
            </main>
            <Hand/>
            <Time/>
        </div>
        <Show when=move || session.sheet.get() == Sheet::Gallery><Gallery/></Show>
        <Show when=move || session.sheet.get() == Sheet::Help><Help/></Show>
    }
}

/// The address says what to open; without a word from it, the first scenario plays, or stands ready for whoever wants
/// little motion.
fn begin(session: Session) {
    let fragment = browser::fragment();
    let of_server = fragment == live::FRAGMENT;
    if fragment.len() > 1 && !of_server {
        session.open_link(&fragment);
    } else if let Some(first) = prepared::ALL.first() {
        session.show(first.text, !browser::is_calm() && !of_server);
    }
    spawn_local(async move {
        let served = browser::served_by_ottla().await;
        if served {
            session.link.set(Some(live::Link::Known));
        }
        match (of_server, served) {
            (true, true) => live::watch(session),
            (true, false) => {
                session.say(Level::Warn, "No server stands behind this page: it shows a simulated cluster.".to_string())
            }
            (false, _) => {}
        }
    });
    run::start(session);
    keys::listen(session);
    window_event_listener(leptos::ev::hashchange, move |_| {
        let fragment = browser::fragment();
        if fragment == live::FRAGMENT && session.link.get_untracked().is_some() {
            live::watch(session);
        } else if fragment.len() > 1 && fragment != live::FRAGMENT {
            session.open_link(&fragment);
        }
    });
    expose(session);
}

/// `ottla.view()`, `ottla.scenario()`, `ottla.detail(target)` in the browser's console, as JSON and text.
fn expose(session: Session) {
    browser::expose("view", move |_| {
        session.view.with_untracked(|view| serde_json::to_string(&**view).unwrap_or_default())
    });
    browser::expose("scenario", move |_| session.ran.get_untracked());
    browser::expose("detail", move |target| {
        let detail = serde_json::from_str(&target)
            .ok()
            .and_then(|target| session.run.with_value(|run| run.player().and_then(|player| player.detail(&target))));
        serde_json::to_string(&detail).unwrap_or_default()
    });
}

/// Words over the stage, one at a time.
#[component]
fn Notices() -> impl IntoView {
    let session = Session::get();
    let shown = move |notice: Notice| {
        let link = notice.link.map(|link| {
            view! {
                <input readonly="" aria-label="Link to this moment" prop:value=link
                    on:focus=move |event| { event_target::<web_sys::HtmlInputElement>(&event).select() }/>
            }
        });
        let level = format!("{:?}", notice.level).to_lowercase();
        view! {
            <div class=format!("notice {level}") role="status">
                <div>{notice.text}{link}</div>
                <button class="plain" title="Put away" on:click=move |_| session.notice.set(None)>"✕"</button>
            </div>
        }
    };
    view! {
        <div class="notices" aria-live="polite">
            <Breached/>
            {move || session.notice.get().map(shown)}
        </div>
    }
}

/// What went wrong first stands over the stage from its moment on, unless it is put away; beside the clock it still stands.
#[component]
fn Breached() -> impl IntoView {
    let session = Session::get();
    let away = RwSignal::new(None::<Breach>);
    let breach = Memo::new(move |_| session.breach().map(|(breach, _)| breach));
    let shown = move |breach: Breach| {
        let at = breach.at;
        let known = breach.clone();
        view! {
            <div class="breach notice bad" role="alert">
                <div><b>{format!("{} at {}", breach.what, clock_words(at))}</b><span>{breach.found}</span></div>
                <button on:click=move |_| session.show_breach(at)>"Show the event"</button>
                <button class="plain" title="Put away" on:click=move |_| away.set(Some(known.clone()))>"✕"</button>
            </div>
        }
    };
    move || breach.get().filter(|breach| away.with(|away| away.as_ref() != Some(breach))).map(shown)
}

/// On a phone, what pulls the sheets up.
#[component]
fn Handles() -> impl IntoView {
    let session = Session::get();
    let toggle = move |sheet: Sheet| session.sheet.update(|now| *now = if *now == sheet { Sheet::None } else { sheet });
    let name = Memo::new(move |_| session.ran.with(|text| title(text)));
    view! {
        <div class="handles phone-only">
            <button on:click=move |_| toggle(Sheet::Story)>
                {move || if session.source.get() == Source::Server { "This server".to_string() } else { name.get() }}
            </button>
            <button on:click=move |_| toggle(Sheet::Hand)>"In hand"</button>
        </div>
    }
}
