//! The world in the middle of the page: what a [`View`] says, drawn.

mod camera;
mod geometry;
mod layout;
mod marks;
mod sample;
mod shape;
mod strip;

use std::sync::Arc;

use leptos::prelude::*;
use ottla_core::sim::view::{Target, View};
use ottla_core::time::Instant;

/// Draws `view`. It fills its parent, which must have a size and `position: relative`.
#[component]
pub fn Stage(
    /// What to draw. The page sets it once an animation frame while something moves.
    #[prop(into)]
    view: Signal<Arc<View>>,
    /// The moment at which messages are drawn, where it runs ahead of `view` (a live server sends views more rarely
    /// than the screen draws); absent: the view's own.
    #[prop(optional, into)]
    now: Option<Signal<Instant>>,
    /// What the hand holds.
    selected: RwSignal<Option<Target>>,
    /// Takes one action line of a scenario, without its time: `kill broker-1`, `rate p1 20/s`.
    on_act: Callback<String>,
    /// Whether the hand can change this cluster: false hides kill, start, cut, rates and the boxes with a plus.
    #[prop(into)]
    editable: Signal<bool>,
) -> impl IntoView {
    let _ = (now, selected, on_act, editable);
    view! { <div class="stage">{move || format!("{} brokers, {} messages", view.get().brokers.len(), view.get().messages.len())}</div> }
}
