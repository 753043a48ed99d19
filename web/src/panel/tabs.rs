//! A row of tabs under the keyboard: Tab stops at the one that is on, the arrows go from one to the other.

use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

/// Of the element with `role=tablist`.
pub fn walk(event: KeyboardEvent) {
    let by = match event.key().as_str() {
        "ArrowRight" => 1,
        "ArrowLeft" => -1,
        _ => return,
    };
    let row = event.current_target().and_then(|row| row.dyn_into::<Element>().ok());
    let Some(tabs) = row.and_then(|row| row.query_selector_all("[role=tab]").ok()) else { return };
    let tab = |index: u32| tabs.item(index).and_then(|tab| tab.dyn_into::<HtmlElement>().ok());
    // A tab that a mouse has left the focus on leaves the arrows to time.
    let on = |index: &u32| tab(*index).is_some_and(|tab| tab.matches(":focus-visible").unwrap_or(false));
    let Some(here) = (0..tabs.length()).find(on) else { return };
    if let Some(next) = tab((i64::from(here) + by).rem_euclid(i64::from(tabs.length())) as u32) {
        let _ = next.focus();
        next.click();
    }
    event.prevent_default();
    event.stop_propagation();
}

/// Where Tab stops.
pub fn stop(on: bool) -> &'static str {
    if on { "0" } else { "-1" }
}
