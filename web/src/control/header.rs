//! The header: where one is, whose cluster it is, and what can be taken away from here.

use leptos::prelude::*;

use crate::browser;
use crate::live;
use crate::panel::lesson::title;
use crate::store::{Session, Sheet, Source};

#[component]
pub fn Header() -> impl IntoView {
    let session = Session::get();
    let name = Memo::new(move |_| session.ran.with(|text| title(text)));
    let dark = RwSignal::new(browser::is_dark());
    let server = move || session.source.get() == Source::Server;
    view! {
        <header class="top">
            <span class="mark">
                <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
                    <rect x="1" y="4" width="20" height="14" rx="3" fill="none" stroke="currentColor" stroke-width="1.6"/>
                    <path d="M5 8v6M9 8v6M13 8v6" stroke="var(--accent)" stroke-width="2.4" stroke-linecap="round"/>
                    <path d="M17 8v6" stroke="currentColor" stroke-width="1.6" stroke-dasharray="1.5 2"/>
                </svg>
                "Ottla"
            </span>
            <span class="crumb desk-only">
                {move || if server() {
                    view! { <b>"This server"</b> }.into_any()
                } else {
                    view! {
                        <button on:click=move |_| session.sheet.set(Sheet::Gallery)>"Scenarios"</button>
                        "\u{2002}/\u{2002}"
                        <b>{move || name.get()}</b>
                    }.into_any()
                }}
            </span>
            <span class="grow phone-only"></span>
            <Show when=move || session.link.get().is_some()>
                <span class="segments" role="group" aria-label="Whose cluster">
                    <button class:on=move || !server() on:click=move |_| live::leave(session)>"Simulated"</button>
                    <button class:on=server on:click=move |_| live::watch(session)>"This server"</button>
                </span>
            </Show>
            <button class="gallery" title="Scenarios to begin with (G)" on:click=move |_| session.sheet.set(Sheet::Gallery)>
                "Gallery"
            </button>
            <button class="main share" title="Copies a link to exactly this moment (S)" disabled=server on:click=move |_| session.share()>
                "Share"<span class="desk-only">" this moment"</span>
            </button>
            <button class="icon desk-only" title="Keys (?)" aria-label="Keys" on:click=move |_| session.sheet.set(Sheet::Help)>"?"</button>
            <button class="icon" aria-label="Light or dark" title="Light or dark (D)"
                on:click=move |_| { browser::set_dark(!browser::is_dark()); dark.set(browser::is_dark()) }>
                {move || if dark.get() { "◑" } else { "◐" }}
            </button>
        </header>
    }
}
