//! What the parts of the stage share: what is drawn, what the hand rests on, what it holds, what it can do.

use std::sync::Arc;

use leptos::ev::{FocusEvent, KeyboardEvent, MouseEvent, PointerEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use ottla_core::vec_map::VecMap;
use ottla_core::view::{Target, View};

use super::geometry::{Point, point};
use super::layout::Layout;
use super::words;

/// The stage's context; each part takes it with `expect_context`.
#[derive(Clone, Copy)]
pub struct Hand {
    pub view: Signal<Arc<View>>,
    pub layout: Memo<Arc<Layout>>,
    /// The camera's.
    pub scale: Memo<f64>,
    pub selected: RwSignal<Option<Target>>,
    pub rests: RwSignal<Option<Rest>>,
    pub on_act: Callback<String>,
    pub editable: Signal<bool>,
    /// The stage's own element: tips are placed in it.
    pub stage: NodeRef<leptos::html::Div>,
    pub watchers: Watchers,
}

/// Whoever draws a part of the view. A memo of the view would wake all that hangs on it once a frame, to find nothing
/// changed: that alone costs half a frame with nine brokers. Here one effect a frame asks each watcher, and only what
/// changed wakes anything.
#[derive(Clone, Copy)]
pub struct Watchers(StoredValue<(u64, VecMap<u64, Watcher>), LocalStorage>);

type Watcher = Box<dyn Fn(&View)>;

impl Watchers {
    pub fn new(view: Signal<Arc<View>>, layout: Memo<Arc<Layout>>) -> Watchers {
        let watchers = Watchers(StoredValue::new_local((0, VecMap::new())));
        Effect::new(move |_| {
            layout.track();
            view.with(|view| watchers.0.with_value(|(_, all)| all.values().for_each(|watcher| watcher(view))));
        });
        watchers
    }

    fn add(&self, watcher: Watcher) {
        let mut key = 0;
        self.0.update_value(|(next, all)| {
            key = *next;
            *next += 1;
            all.insert(key, watcher);
        });
        let all = self.0;
        on_cleanup(move || {
            all.try_update_value(|(_, all)| all.remove(&key));
        });
    }
}

/// What the hand or the keyboard rests on, and where on the stage to say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    pub on: On,
    pub at: Point,
    /// The keyboard rests there, not the pointer.
    pub focus: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum On {
    Target(Target),
    Words(String),
    /// Words that may become others while the hand rests there.
    Says(Signal<String>),
}

impl Hand {
    /// A part of the view, told only when it changes. `of` is asked again for each view and each layout.
    pub fn watch<T>(self, of: impl Fn(&View) -> T + 'static) -> Signal<T>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        let part = RwSignal::new(self.view.with_untracked(|view| of(view)));
        self.watchers.add(Box::new(move |view| {
            let now = of(view);
            if part.try_with_untracked(|before| *before != now) == Some(true) {
                part.set(now);
            }
        }));
        part.into()
    }

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
                On::Says(words) => words.try_get()?,
            };
            Some((line, rest.at))
        })
    }

    pub fn enter(self, on: impl Fn(Point) -> On + 'static) -> impl Fn(PointerEvent) + 'static {
        move |event| {
            let at = self.on_stage(f64::from(event.client_x()), f64::from(event.client_y()));
            self.rests.set(Some(Rest { on: on(at), at, focus: false }));
        }
    }

    pub fn focus(self, on: impl Fn() -> On + 'static) -> impl Fn(FocusEvent) + 'static {
        move |event| {
            let element = event.current_target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
            // A click focuses too: the pointer then already says where.
            if let Some(element) = element.filter(|element| element.matches(":focus-visible").unwrap_or(false)) {
                let rect = element.get_bounding_client_rect();
                let at = self.on_stage(rect.left() + rect.width().min(120.0) / 2.0, rect.bottom() - 8.0);
                self.rests.set(Some(Rest { on: on(), at, focus: true }));
            }
        }
    }

    pub fn leave(self) -> impl Fn(PointerEvent) + 'static {
        move |_| self.forget(false)
    }

    pub fn blur(self) -> impl Fn(FocusEvent) + 'static {
        move |_| self.forget(true)
    }

    /// A click moves the focus: what the pointer rests on stays.
    fn forget(&self, focus: bool) {
        if self.rests.with_untracked(|rests| rests.as_ref().is_some_and(|rest| rest.focus == focus)) {
            self.rests.set(None);
        }
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

/// What was pressed may go with what it did: the keyboard then stands on the part of the world that it belonged to.
fn keep_focus(part: web_sys::Element) {
    let look = move || {
        let lost = document().active_element().is_none_or(|element| element.tag_name().eq_ignore_ascii_case("body"));
        let stop = part.query_selector("[tabindex='0']").ok().flatten().filter(|_| lost);
        if let Some(stop) = stop.and_then(|stop| stop.dyn_into::<web_sys::SvgElement>().ok()) {
            let _ = stop.focus();
        }
    };
    set_timeout(look, std::time::Duration::from_millis(150));
}

const LEAST_TARGET: f64 = 24.0;
/// In units of the world: more than that would lie over others.
const FARTHEST_TARGET: f64 = 52.0;

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
    /// To which side there is room for a finger.
    #[prop(optional)]
    grows_up: bool,
    /// Whether Tab comes by.
    #[prop(default = Signal::stored(true))]
    tab: Signal<bool>,
) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let click = move |event: MouseEvent| {
        event.stop_propagation();
        on_press.run(());
    };
    let words = move || On::Says(says);
    // What a finger hits: 24 pixels at least, however far away the world is.
    let reach = move || (LEAST_TARGET / hand.scale.get()).clamp(LEAST_TARGET, FARTHEST_TARGET);
    let hit = move || {
        let (height, width_of) = (reach(), reach().max(width));
        let (x, y) = ((width - width_of) / 2.0, if grows_up { LEAST_TARGET - height } else { 0.0 });
        format!("M{x:.1} {y:.1}h{width_of:.1}v{height:.1}h{:.1}z", -width_of)
    };
    let chip = NodeRef::<leptos::svg::G>::new();
    let by_key = move || {
        let part = chip.get_untracked().and_then(|chip| chip.closest(".broker, .client, .link").ok().flatten());
        on_press.run(());
        if let Some(part) = part {
            keep_focus(part);
        }
    };
    view! {
        <g
            node_ref=chip
            class="chip"
            role="button"
            tabindex=move || if tab.get() { "0" } else { "-1" }
            aria-label=says
            transform=move || format!("translate({:.1} {:.1})", x.get(), y.get())
            on:click=click
            on:keydown=pressed(by_key)
            on:pointerenter=hand.enter(move |_| words())
            on:pointerleave=hand.leave()
            on:focus=hand.focus(words)
            on:blur=hand.blur()
        >
            <path class="hit" d=hit></path>
            <rect width=width height=LEAST_TARGET rx="6"></rect>
            <text x=width / 2.0 y="16" text-anchor="middle">
                {label}
            </text>
        </g>
    }
}

/// `var(--topic-3)`: a topic's hue.
pub fn hue_token(hue: Option<usize>) -> String {
    match hue {
        Some(hue) => format!("--hue:var(--topic-{})", hue % super::canvas::Palette::TOPICS),
        None => "--hue:var(--ink-2)".into(),
    }
}
