//! The world in the middle of the page: what a [`View`] says, drawn.
//!
//! Once a frame the page sets a new view. What has a name is SVG, keyed by name: each part has a memo of just what it
//! shows, so that a frame in which one log grows touches one strip. What moves is drawn on one canvas above it.
//!
//! `shape.rs` what of a view decides where things lie | `layout.rs` where they lie | `geometry.rs` paths |
//! `camera.rs` pan and zoom | `strip.rs` a log as cells | `marks.rs` messages as marks, merged when many |
//! `canvas.rs` draws them | `broker.rs` `client.rs` `zookeeper.rs` `link.rs` the SVG parts | `hand.rs` what the hand rests on and holds |
//! `motion.rs` pans and zooms | `legend.rs` what the marks mean | `words.rs` the one-line texts | `sample.rs` `stress.rs` a made-up cluster, and how fast it is drawn
//!
//! 1. Nothing here changes the cluster: what the hand does leaves as an action line of a scenario.
//! 2. Every message in flight is on the canvas: `data-marks` counts them, `data-drawn` the marks after merging.

mod broker;
mod camera;
mod canvas;
mod client;
mod geometry;
mod hand;
mod layout;
mod legend;
mod link;
mod marks;
mod motion;
mod sample;
mod shape;
mod stress;
mod strip;
pub mod words;
mod zookeeper;

use std::sync::Arc;

use leptos::ev::{KeyboardEvent, MouseEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use ottla_core::time::Instant;
use ottla_core::view::{Target, View};
use ottla_core::zookeeper::NAME as ZOOKEEPER;

use self::broker::Broker;
use self::camera::{Camera, Size};
use self::canvas::{Frame, Lit, Palette, Stamps};
use self::client::{Add, Consumer, Guest, Producer, What};
use self::geometry::Point;
use self::hand::{Hand, On, Rest, Watchers};
use self::layout::{Layout, layout};
use self::legend::Legend;
use self::link::Link;
use self::marks::Mark;
use self::motion::Motion;
use self::shape::{Links, Shape};
pub use self::stress::Stress;
use self::words::number;
use self::zookeeper::ZooKeeper;

/// The style that gives a topic its hue.
pub fn hue_of(view: &View, topic: &str) -> String {
    hand::hue_token(marks::hue(view, topic))
}

/// A mark is hit within this many pixels: targets are 24 px wide even where the mark is 10.
const REACH: f64 = 12.0;
/// Marks nearer than this merge, when there are many.
const NEAR: f64 = 18.0;

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
    /// Whether producers and consumers are the hand's to change: false hides rates and the boxes with a plus.
    #[prop(into)]
    editable: Signal<bool>,
) -> impl IntoView {
    let stage = NodeRef::<leptos::html::Div>::new();
    let canvas = NodeRef::<leptos::html::Canvas>::new();
    let motion = Motion::new(stage);
    let now = now.unwrap_or_else(|| Signal::derive(move || view.with(|view| view.now)));

    let links = StoredValue::new(Links::default());
    let shape = Memo::new(move |_| {
        view.with(|view| {
            links.update_value(|links| links.hear(view));
            links.with_value(|links| Shape::of(view, links, editable.get()))
        })
    });
    let world = Memo::new(move |_| Arc::new(shape.with(|shape| layout(shape, motion.size.get()))));
    let watchers = Watchers::new(view, world);
    let view_port = motion.view_port(world);
    let scale = Memo::new(move |_| view_port.with(|camera| camera.scale));
    let hand =
        Hand { view, layout: world, scale, selected, rests: RwSignal::new(None), on_act, editable, stage, watchers };
    provide_context(hand);

    let marks = StoredValue::new(Vec::<Mark>::new());
    // The message that the keyboard stands on, and the one under the pointer.
    let walked = RwSignal::new(None::<u64>);
    let merged = RwSignal::new(None::<(usize, usize)>);
    let stamps = StoredValue::new_local(None::<(u32, Stamps)>);

    Effect::new(move |_| {
        let Some(canvas) = canvas.get() else { return };
        let (size, camera, theme) = (motion.size.get(), view_port.get(), motion.theme.get());
        let lit: Vec<u64> = [selected.get(), hand.rests.with(|rests| rests.as_ref().and_then(Rest::target))]
            .into_iter()
            .flatten()
            .filter_map(|target| if let Target::Message { id } = target { Some(id) } else { None })
            .collect();
        stamps.update_value(|stamps| {
            if stamps.as_ref().is_none_or(|(read, _)| *read != theme) {
                *stamps = Some((theme, Stamps::new(Palette::read(&canvas))));
            }
        });
        let (placed, counts) = view.with(|view| {
            world.with(|world| {
                let reduced = motion.reduced();
                let placed = marks::place(view, now.get(), world, reduced, NEAR / camera.scale);
                let lit = lit.iter().filter_map(|id| lit_mark(view, now.get(), world, reduced, *id)).collect();
                stamps.update_value(|stamps| {
                    let Some((_, stamps)) = stamps else { return };
                    let pixel_ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
                    let marks = &placed;
                    canvas::draw(&canvas, stamps, &Frame { size, pixel_ratio, camera, marks, lit });
                });
                let count: u32 = placed.iter().map(|mark| mark.count).sum();
                let counts = (count as usize, placed.len());
                (placed, counts)
            })
        });
        let _ = canvas.set_attribute("data-marks", &counts.0.to_string());
        let _ = canvas.set_attribute("data-drawn", &counts.1.to_string());
        let many = (counts.0 != counts.1).then_some(counts);
        if merged.get_untracked() != many {
            merged.set(many);
        }
        marks.set_value(placed);
    });

    let under = move |at: Point| {
        let camera = view_port.get_untracked();
        let hit = |marks: &Vec<Mark>| marks::hit(marks, camera.to_world(at), REACH / camera.scale).map(|mark| mark.id);
        marks.with_value(hit)
    };
    // A mark lies above everything but a button, also for the hand.
    let choose = move |event: MouseEvent| {
        let on_button = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        if motion.dragging.get_untracked()
            || on_button.is_some_and(|element| element.closest(".chip, button").is_ok_and(|found| found.is_some()))
        {
            return;
        }
        let at = hand.on_stage(f64::from(event.client_x()), f64::from(event.client_y()));
        if let Some(id) = under(at) {
            event.stop_propagation();
            hand.hold(Target::Message { id });
        }
    };
    let hover = move |event: leptos::ev::PointerEvent| {
        let at = hand.on_stage(f64::from(event.client_x()), f64::from(event.client_y()));
        if motion.drag(&event, at) {
            hand.rests.set(None);
            return;
        }
        let rests = hand.rests.get_untracked();
        match (under(at), rests.as_ref().and_then(Rest::target)) {
            (Some(id), _) => hand.rests.set(Some(Rest { on: On::Target(Target::Message { id }), at, focus: false })),
            (None, Some(Target::Message { .. })) => hand.rests.set(None),
            _ => {}
        }
    };
    // To the next message, or the one before.
    let step = move |by: isize| {
        let next = view.with_untracked(|view| {
            let at = walked.get_untracked().and_then(|id| view.messages.iter().position(|message| message.id == id));
            let count = view.messages.len() as isize;
            let next = at.map_or(0, |at| (at as isize + by).rem_euclid(count.max(1)));
            view.messages.get(next as usize).map(|message| message.id)
        });
        walked.set(next);
        let place = next.and_then(|id| {
            let camera = view_port.get_untracked();
            let (view, world) = (view.get_untracked(), world.get_untracked());
            lit_mark(&view, now.get_untracked(), &world, motion.reduced(), id).map(|lit| camera.to_screen(lit.at))
        });
        let rest = next.zip(place).map(|(id, at)| Rest { on: On::Target(Target::Message { id }), at, focus: true });
        hand.rests.set(rest);
    };
    let walk = move |event: KeyboardEvent| {
        match event.key().as_str() {
            "ArrowRight" | "ArrowDown" => step(1),
            "ArrowLeft" | "ArrowUp" => step(-1),
            "Enter" | " " => {
                event.prevent_default();
                if let Some(id) = walked.get_untracked() {
                    hand.hold(Target::Message { id });
                }
                return;
            }
            _ => return,
        }
        event.prevent_default();
        event.stop_propagation();
    };
    let flight = hand.watch(|view| (view.messages.len(), words::is_live(view)));
    let in_flight = move || {
        let (count, live) = flight.get();
        let noun = if count == 1 { "message" } else { "messages" };
        let count = number(count as i64);
        if live { format!("{count} recent {noun}") } else { format!("{count} {noun} in flight") }
    };
    let keys = move |f: fn(&Layout) -> Vec<String>| Memo::new(move |_| world.with(|world| f(world)));
    let brokers =
        Memo::new(move |_| world.with(|world| world.brokers.iter().map(|broker| broker.id).collect::<Vec<_>>()));
    let producers = keys(|world| world.producers.iter().map(|(name, _)| name.clone()).collect());
    let consumers = keys(|world| world.consumers.iter().map(|(name, _)| name.clone()).collect());
    let guests = keys(|world| world.guests.iter().map(|(name, _)| name.clone()).collect());
    let links = Memo::new(move |_| {
        let pair = |link: &layout::LinkPlace| (link.from.clone(), link.to.clone());
        world.with(|world| world.links.iter().map(pair).collect::<Vec<_>>())
    });
    let racks = Memo::new(move |_| world.with(|world| world.racks.clone()));

    view! {
        <div
            class="stage"
            class:dragging=motion.dragging
            node_ref=stage
            role="group"
            aria-label="The cluster"
            tabindex="0"
            on:click:capture=choose
            on:click=move |_| {
                if !motion.dragging.get_untracked() {
                    selected.set(None);
                }
            }
            on:pointerdown=move |event| motion.press(&event, hand.on_stage(f64::from(event.client_x()), f64::from(event.client_y())))
            on:pointermove=hover
            on:pointerup=move |event| motion.release(&event)
            on:pointercancel=move |event| motion.release(&event)
            on:pointerleave=hand.leave()
            on:wheel=move |event| motion.wheel(&event, hand.on_stage(f64::from(event.client_x()), f64::from(event.client_y())))
            on:keydown=move |event| motion.key(&event)
        >
            <svg class="world" aria-hidden="false">
                <defs>
                    <pattern
                        id="hatch"
                        width="4"
                        height="4"
                        patternUnits="userSpaceOnUse"
                        patternTransform="rotate(45)"
                    >
                        <rect class="hatching" width="1.7" height="4"></rect>
                    </pattern>
                </defs>
                <g transform=move || {
                    let Camera { scale, x, y } = view_port.get();
                    format!("translate({x:.2} {y:.2}) scale({scale:.4})")
                }>
                    {move || racks.get().into_iter().map(|place| rack(hand, place)).collect_view()}
                    <g class="links">
                        <For each=move || links.get() key=|link| link.clone() let:link>
                            <Link from=link.0 to=link.1 />
                        </For>
                    </g>
                    <For each=move || producers.get() key=|name| name.clone() let:name>
                        <Producer name />
                    </For>
                    <For each=move || guests.get() key=|name| name.clone() let:name>
                        {
                            if name == ZOOKEEPER {
                                view! { <ZooKeeper name /> }.into_any()
                            } else {
                                view! { <Guest name /> }.into_any()
                            }
                        }
                    </For>
                    <Add what=What::Producer />
                    <Add what=What::Topic />
                    <For each=move || brokers.get() key=|id| *id let:id>
                        <Broker id />
                    </For>
                    <For each=move || consumers.get() key=|name| name.clone() let:name>
                        <Consumer name />
                    </For>
                    <Add what=What::Consumer />
                </g>
            </svg>
            <canvas node_ref=canvas aria-hidden="true" data-marks="0"></canvas>
            <div class="stage-foot">
                <Legend />
                <div class="stage-tools">
                    <button
                        class="flight"
                        on:keydown=walk
                        on:click=move |event| {
                            event.stop_propagation();
                            step(1);
                        }
                        on:blur=move |_| hand.rests.set(None)
                        title="Shows the next message; arrow keys go from one to the other, Enter holds one"
                    >
                        {in_flight}
                    </button>
                    {move || {
                        merged
                            .get()
                            .map(|(_, drawn)| view! { <span class="merged">{format!("near ones merged into {drawn} marks")}</span> })
                    }}
                    <button title="zoom out" aria-label="zoom out" on:click=move |event| { event.stop_propagation(); motion.zoom(1.0 / 1.25) }>
                        "−"
                    </button>
                    <button title="zoom in" aria-label="zoom in" on:click=move |event| { event.stop_propagation(); motion.zoom(1.25) }>
                        "+"
                    </button>
                    <button title="show all of it" on:click=move |event| { event.stop_propagation(); motion.fit() }>
                        "Fit"
                    </button>
                </div>
            </div>
            <div
                class="stage-tip"
                role="status"
                style=move || {
                    let at = hand.rests.with(|rests| rests.as_ref().map(|rest| rest.at)).unwrap_or_default();
                    let Size { width, height } = motion.size.get();
                    let side = if at.x > width / 2.0 { "-100%" } else { "0px" };
                    let over = if at.y > height - 90.0 { "calc(-100% - 28px)" } else { "0px" };
                    format!("left:{:.0}px;top:{:.0}px;transform:translate({side},{over})", at.x, at.y + 16.0)
                }
            >
                {move || hand.tip().map(|(line, _)| line)}
            </div>
        </div>
    }
}

fn rack(hand: Hand, place: layout::RackPlace) -> impl IntoView {
    let layout::RackPlace { name, label, band } = place;
    let of = name.clone();
    let has = hand.watch(move |view| {
        let brokers = view.brokers.iter().filter(|broker| broker.rack.as_ref() == Some(&of));
        let replicas = brokers.flat_map(shape::rows);
        let (all, led) = replicas.fold((0, 0), |(all, led), one| (all + 1, led + usize::from(one.leader)));
        if all == 0 { String::new() } else { format!(" · {all} replicas, leads {led}") }
    });
    let rect = band.unwrap_or_default();
    view! {
        <g class="rack">
            {band.map(|_| view! { <rect x=rect.x y=rect.y width=rect.width height=rect.height rx="14"></rect> })}
            <text x=label.x y=label.y>
                {format!("rack {name}")}{has}
            </text>
        </g>
    }
}

fn lit_mark<'a>(view: &View, now: Instant, world: &'a Layout, reduced: bool, id: u64) -> Option<Lit<'a>> {
    let message = view.messages.iter().find(|message| message.id == id)?;
    let (link, reversed) = world.route(&message.from, &message.to)?;
    let part = marks::progress(message, now, reduced);
    Some(Lit { at: link.path.at(if reversed { 1.0 - part } else { part }), way: Some(&link.path) })
}

impl Rest {
    fn target(&self) -> Option<Target> {
        match &self.on {
            On::Target(target) => Some(target.clone()),
            On::Words(_) | On::Says(_) => None,
        }
    }
}
