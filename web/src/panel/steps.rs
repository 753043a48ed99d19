//! The steps that something takes, and the one that it is at.

use leptos::prelude::*;

/// Names in their order, and the place of the current one; whoever is past the last one is done with all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    pub steps: &'static [&'static str],
    pub at: usize,
}

#[component]
pub fn Steps(way: Memo<Option<Way>>) -> impl IntoView {
    let steps = move || {
        let Way { steps, at } = way.get()?;
        let step = |(index, name): (usize, &&'static str)| {
            let on = index == at;
            view! { <li class:done={index < at} class:on=on aria-current=on.then_some("step")>{*name}</li> }
        };
        Some(view! { <ol class="steps">{steps.iter().enumerate().map(step).collect_view()}</ol> })
    };
    view! { {steps} }
}
