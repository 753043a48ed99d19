//! A sheet over everything: it takes the keyboard's focus, keeps it while it is open, and gives it back.

use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use crate::store::{Session, Sheet};

/// What Tab stops at.
const STOPS: &str = "button:not([disabled]), a[href], input, select, textarea, [tabindex='0']";

#[component]
pub fn Dialog(title: &'static str, children: Children) -> impl IntoView {
    let session = Session::get();
    let own = NodeRef::<Div>::new();
    let close = move || session.sheet.set(Sheet::None);
    let before = StoredValue::new_local(focused());
    Effect::new(move |_| {
        if let Some(own) = own.get() {
            let _ = own.focus();
        }
    });
    on_cleanup(move || {
        before.with_value(|before| {
            if let Some(before) = before {
                let _ = before.focus();
            }
        });
    });
    let keep = move |event: KeyboardEvent| {
        let Some(own) = own.get_untracked() else { return };
        if event.key() != "Tab" {
            return;
        }
        let Ok(stops) = own.query_selector_all(STOPS) else { return };
        let stop = |index: u32| stops.item(index).and_then(|stop| stop.dyn_into::<HtmlElement>().ok());
        let (Some(first), Some(last)) = (stop(0), stop(stops.length().saturating_sub(1))) else { return };
        let here = focused();
        let (edge, other) = if event.shift_key() { (&first, &last) } else { (&last, &first) };
        let at_edge = here.as_ref() == Some(edge);
        let on_itself = event.shift_key() && here.is_some_and(|here| here == *own.unchecked_ref::<HtmlElement>());
        if at_edge || on_itself {
            event.prevent_default();
            let _ = other.focus();
        }
    };
    view! {
        <div class="veil" on:click=move |_| close()>
            <div class="dialog" role="dialog" aria-modal="true" aria-label=title tabindex="-1" node_ref=own on:keydown=keep
                on:click=|event| event.stop_propagation()>
                <div><h2>{title}</h2><button class="plain" title="Close (Esc)" on:click=move |_| close()>"✕"</button></div>
                {children()}
            </div>
        </div>
    }
}

fn focused() -> Option<HtmlElement> {
    document().active_element().and_then(|element| element.dyn_into::<HtmlElement>().ok())
}
