//! What the parts of the stage share: what is drawn, what the hand rests on, what it holds, what it can do.

use std::sync::Arc;

use leptos::ev::{FocusEvent, KeyboardEvent, MouseEvent, PointerEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use ottla_core::sim::view::{Target, View};

use super::geometry::{Point, point};
use super::layout::Layout;
use super::words;

/// The stage's context; each part takes it with `expect_context`.
#[derive(Clone, Copy)]
pub struct Hand {
    pub view: Signal<Arc<View>>,
    pub layout: Memo<Arc<Layout>>,
    pub selected: RwSignal<Option<Target>>,
    pub rests: RwSignal<Option<Rest>>,
    pub on_act: Callback<String>,
    pub editable: Signal<bool>,
    /// The stage's own element: tips are placed in it.
    pub stage: NodeRef<leptos::html::Div>,
}

/// What the hand or the keyboard rests on, and where on the stage to say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    pub on: On,
    pub at: Point,
}

#[derive(Clone, Debug, PartialEq)]
pub enum On {
    Target(Target),
    Words(String),
}

impl Hand {
    pub fn act(&self, line: impl Into<String>) {
        self.on_act.run(line.into());
    }

    pub fn hold(&self, target: Target) {
        self.selected.set(Some(target));
    }

    pub fn holds(self, target: Target) -> Memo<bool> {
        Memo::new(move |_| self.selected.with(|selected| selected.as_ref() == Some(&target)))
    }

    pub fn tip(&self) -> Option<(String, Point)> {
        self.rests.with(|rests| {
            let rest = rests.as_ref()?;
            let line = match &rest.on {
                On::Target(target) => self.view.with(|view| words::line(view, target))?,
                On::Words(words) => words.clone(),
            };
            Some((line, rest.at))
        })
    }

    pub fn enter(self, on: impl Fn(Point) -> On + 'static) -> impl Fn(PointerEvent) + 'static {
        move |event| {
            let at = self.on_stage(f64::from(event.client_x()), f64::from(event.client_y()));
            self.rests.set(Some(Rest { on: on(at), at }));
        }
    }

    pub fn focus(self, on: impl Fn() -> On + 'static) -> impl Fn(FocusEvent) + 'static {
        move |event| {
            let element = event.current_target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
            // A click focuses too: the pointer then already says where.
            if let Some(element) = element.filter(|element| element.matches(":focus-visible").unwrap_or(false)) {
                let rect = element.get_bounding_client_rect();
                let at = self.on_stage(rect.left() + rect.width().min(120.0) / 2.0, rect.bottom() - 8.0);
                self.rests.set(Some(Rest { on: on(), at }));
            }
        }
    }

    pub fn leave<E>(self) -> impl Fn(E) + 'static {
        move |_| self.rests.set(None)
    }

    /// From the window's coordinates to the stage's.
    pub fn on_stage(&self, x: f64, y: f64) -> Point {
        let rect = self.stage.get_untracked().map(|stage| stage.get_bounding_client_rect());
        rect.map_or(point(x, y), |rect| point(x - rect.left(), y - rect.top()))
    }
}

/// Runs `act` on Enter and space, as a button does.
pub fn pressed(act: impl Fn() + 'static) -> impl Fn(KeyboardEvent) + 'static {
    move |event| {
        if matches!(event.key().as_str(), "Enter" | " ") && event.target() == event.current_target() {
            event.prevent_default();
            act();
        }
    }
}

/// A small button in the world, at least 24 units each way.
#[component]
pub fn Chip(
    #[prop(into)] x: Signal<f64>,
    #[prop(into)] y: Signal<f64>,
    width: f64,
    label: &'static str,
    /// What it does, in words.
    #[prop(into)]
    says: Signal<String>,
    on_press: Callback<()>,
    #[prop(default = "chip")] class: &'static str,
) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let click = move |event: MouseEvent| {
        event.stop_propagation();
        on_press.run(());
    };
    let words = move || On::Words(says.get_untracked());
    view! {
        <g
            class=class
            role="button"
            tabindex="0"
            aria-label=says
            transform=move || format!("translate({:.1} {:.1})", x.get(), y.get())
            on:click=click
            on:keydown=pressed(move || on_press.run(()))
            on:pointerenter=hand.enter(move |_| words())
            on:pointerleave=hand.leave()
            on:focus=hand.focus(words)
            on:blur=hand.leave()
        >
            <rect width=width height="24" rx="6"></rect>
            <text x=width / 2.0 y="16" text-anchor="middle">
                {label}
            </text>
        </g>
    }
}

/// `var(--topic-3)`: the hue of a topic by its place.
pub fn hue_token(hue: Option<usize>) -> String {
    match hue {
        Some(hue) => format!("--hue:var(--topic-{})", hue % super::canvas::Palette::TOPICS),
        None => "--hue:var(--ink-2)".into(),
    }
}
