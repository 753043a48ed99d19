//! The left panel: lesson, scenario, events.

use leptos::prelude::*;

use crate::panel::events::Events;
use crate::panel::lesson::Lesson;
use crate::panel::script::Script;
use crate::panel::tabs;
use crate::store::{Session, Sheet, Source, Tab};

#[component]
pub fn Story() -> impl IntoView {
    let session = Session::get();
    let server = Memo::new(move |_| session.source.get() == Source::Server);
    let shown = Memo::new(move |_| if server.get() { Tab::Events } else { session.tab.get() });
    let tab = move |tab: Tab, name: &'static str| {
        view! {
            <button role="tab" class:on=move || shown.get() == tab tabindex=move || tabs::stop(shown.get() == tab) aria-selected=move || (shown.get() == tab).to_string()
                on:click=move |_| session.tab.set(tab)>{name}</button>
        }
    };
    view! {
        <aside class="story" class:up=move || session.sheet.get() == Sheet::Story aria-label="Story">
            <div class="tabs" role="tablist" on:keydown=tabs::walk>
                <Show when=move || !server.get()>
                    {tab(Tab::Lesson, "Lesson")}
                    {tab(Tab::Scenario, "Scenario")}
                </Show>
                {tab(Tab::Events, "Events")}
                <button class="close phone-only" title="Close" on:click=move |_| session.sheet.set(Sheet::None)>"✕"</button>
            </div>
            {move || match shown.get() {
                Tab::Lesson => view! { <Lesson/> }.into_any(),
                Tab::Scenario => view! { <Script/> }.into_any(),
                Tab::Events => view! { <Events/> }.into_any(),
            }}
        </aside>
    }
}
