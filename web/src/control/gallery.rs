//! The scenarios to begin with: as a sheet, and on a stage that has nothing to show.

use leptos::prelude::*;
use ottla_core::sim::scenario::link;
use ottla_core::sim::scenario::prepared::{self, Prepared};
use ottla_core::time::Instant;

use crate::control::dialog::Dialog;
use crate::panel::lesson::Story;
use crate::store::{Session, Sheet, Source, Tab};

/// Three brokers and nothing else.
const BLANK: &str = "# A blank cluster\n#\n# Three brokers, and nothing in them. Add a topic and a producer with the boxes on the stage, or write them below the\n# cluster in the Scenario tab:\n#\n# topic orders partitions=3\n# producer p1 topic=orders rate=10/s\n\nseed 1\ncluster brokers=3 latency=20ms..60ms\n";

#[component]
pub fn Gallery() -> impl IntoView {
    view! {
        <Dialog title="Scenarios">
            <p>"Each is a short text: a cluster, who uses it, and what happens when. Change whatever you like while it runs."</p>
            <Cards few=false/>
        </Dialog>
    }
}

/// What to do where there is nothing to see.
#[component]
pub fn Empty() -> impl IntoView {
    let session = Session::get();
    let server = move || session.source.get() == Source::Server;
    view! {
        <div class="empty">
            {move || if server() {
                view! { <div><h2>"Waiting for this server’s first view"</h2><p>"Its brokers and clients appear here as soon as it sends one."</p></div> }.into_any()
            } else {
                view! { <div><h2>"Nothing runs yet"</h2><p>"Begin with one of these, or with three brokers and nothing in them."</p><Cards few=true/></div> }.into_any()
            }}
        </div>
    }
}

#[component]
fn Cards(few: bool) -> impl IntoView {
    let session = Session::get();
    let open = move |text: &'static str, fragment: String, play: bool| {
        let opened = if play { session.show(text, true) } else { session.open(text, false) };
        if opened {
            session.remember(fragment);
            session.sheet.set(Sheet::None);
            session.notice.set(None);
            session.tab.set(Tab::Lesson);
        }
    };
    let card = move |scenario: &'static Prepared| {
        let story = Story::of(scenario.text);
        let first = story.prose.into_iter().next().unwrap_or_default();
        let current = move || session.ran.with(|ran| ran.lines().next() == scenario.text.lines().next());
        view! {
            <button class="card" class:on=current data-scenario=scenario.name
                on:click=move |_| open(scenario.text, format!("#{}", scenario.name), true)>
                <b>{story.title}</b><span>{first}</span>
            </button>
        }
    };
    let alike = |one: &Prepared, next: &Prepared| one.group == next.group;
    let blank = view! {
        <button class="card dashed" data-scenario="blank"
            on:click=move |_| open(BLANK, link::encode(BLANK, Instant::ZERO), false)>
            <b>"+ A blank cluster"</b><span>"Three brokers. Add topics, producers and consumers yourself."</span>
        </button>
    };
    if few {
        let cards = prepared::ALL.iter().take(3).map(card).collect_view();
        return view! { <div class="cards">{cards}{blank}</div> }.into_any();
    }
    let groups = [prepared::ALL, prepared::SEARCHES].into_iter().flat_map(|list| list.chunk_by(alike));
    let groups = groups.map(|group| {
        view! {
            <h3>{group[0].group}</h3>
            <div class="cards">{group.iter().map(card).collect_view()}</div>
        }
    });
    view! { {groups.collect_view()}<h3>"Your own"</h3><div class="cards">{blank}</div> }.into_any()
}
