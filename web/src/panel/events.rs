//! The event log: what happened, newest last; a click goes to the moment.

use leptos::html::Div;
use leptos::prelude::*;
use ottla_core::view::{Level, LogLine};

use crate::store::Session;

/// What scrolls so soon after a hand was on the list was moved by it.
const HAND_MILLIS: f64 = 500.0;

#[component]
pub fn Events() -> impl IntoView {
    let session = Session::get();
    let filter = RwSignal::new(String::new());
    // The same ends mean the same lines: a run writes its log only once.
    let ends = Memo::new(move |_| {
        session.view.with(|view| {
            let end = |line: Option<&LogLine>| line.map(|line| (line.seq, line.at));
            (end(view.log.first()), end(view.log.last()))
        })
    });
    let lines = move || {
        ends.track();
        let filter = filter.get().to_lowercase();
        session.view.with_untracked(|view| {
            let meant = |line: &&LogLine| {
                filter.is_empty()
                    || line.text.to_lowercase().contains(&filter)
                    || line.node.to_lowercase().contains(&filter)
            };
            view.log.iter().filter(meant).cloned().collect::<Vec<_>>()
        })
    };
    // The newest stays in sight, unless one has scrolled up to read.
    let list = NodeRef::<Div>::new();
    let follow = StoredValue::new(true);
    Effect::new(move |_| {
        ends.track();
        if let Some(list) = list.get()
            && follow.get_value()
        {
            request_animation_frame(move || list.set_scroll_top(list.scroll_height()));
        }
    });
    // Lines that come and go move the list, too: only a hand that is on it makes it stay where it is.
    let touched = StoredValue::new(f64::NEG_INFINITY);
    let touch = move || touched.set_value(js_sys::Date::now());
    let scrolled = move |_| {
        let Some(list) = list.get_untracked() else { return };
        if list.scroll_height() - list.scroll_top() - list.client_height() < 48 {
            follow.set_value(true);
        } else if js_sys::Date::now() - touched.get_value() < HAND_MILLIS {
            follow.set_value(false);
        }
    };
    view! {
        <div class="log-filter">
            <input type="search" placeholder="Only lines with…" aria-label="Filter" prop:value=move || filter.get()
                on:input=move |event| filter.set(event_target_value(&event))/>
        </div>
        <div class="body log-body" node_ref=list on:scroll=scrolled on:wheel=move |_| touch() on:touchmove=move |_| touch()
            on:pointerdown=move |_| touch() on:pointermove=move |event| if event.buttons() != 0 { touch() }
            on:keydown=move |_| touch()>
            <ol class="log mono">
                <For each=lines key=|line| (line.seq, line.at) children=move |line| line_view(session, line)/>
            </ol>
            <Show when=move || ends.get().1.is_none()><p class="hint">"Nothing has happened yet: press play."</p></Show>
        </div>
    }
}

fn line_view(session: Session, line: LogLine) -> impl IntoView {
    let class = match line.level {
        Level::Info => "level-info",
        Level::Good => "level-good",
        Level::Warn => "level-warn",
        Level::Bad => "level-bad",
    };
    let seconds = line.at.as_secs_f64();
    view! {
        <li>
            <button title="Go to this moment" on:click=move |_| session.go(line.at)>
                <span>{format!("{seconds:.3}")}</span>
                <span class=class><b>{line.node}</b>" "{line.text}</span>
            </button>
        </li>
    }
}
