//! The curved lines between nodes that hold a connection. The hand can cut one, and heal it.

use leptos::prelude::*;
use ottla_core::view::{Target, View};
use ottla_core::zookeeper::NAME as ZOOKEEPER;

use super::geometry::point;
use super::hand::{Chip, Hand, On};

/// Where on its link the chip stands: what a cut link holds stays in the middle, and nearer to its client it may pass others.
const BESIDE: f64 = 0.66;

#[component]
pub fn Link(from: String, to: String) -> impl IntoView {
    let hand = expect_context::<Hand>();
    // A live server's clients are not its own to cut off.
    let of_brokers = [&from, &to].iter().all(|name| name.starts_with("broker-"));
    let keeper = from == ZOOKEEPER || to == ZOOKEEPER;
    let ends = StoredValue::new((from, to));
    let place = Memo::new(move |_| {
        let find = |(from, to): &(String, String)| {
            hand.layout.with(|layout| layout.route(from, to).map(|(link, _)| (link.path.clone(), link.cut)))
        };
        ends.with_value(find)
    });
    let cut = Memo::new(move |_| place.with(|place| place.as_ref().is_some_and(|(_, cut)| *cut)));
    let d = Memo::new(move |_| place.with(|place| place.as_ref().map(|(path, _)| path.d()).unwrap_or_default()));
    let chip =
        Memo::new(move |_| place.with(|place| place.as_ref().map_or(point(0.0, 0.0), |(path, _)| path.at(BESIDE))));
    let lit = Memo::new(move |_| {
        let touches = |(from, to): &(String, String)| {
            let name = hand.selected.with(|selected| hand.view.with_untracked(|view| named(view, selected.as_ref()?)));
            name.is_some_and(|name| name == *from || name == *to)
        };
        ends.with_value(touches)
    });
    let words = move || {
        let state = if cut.get() { "cut: no message passes" } else { "open" };
        ends.with_value(|(from, to)| format!("{from} to {to}, {state}"))
    };
    let act = move |word: &'static str| {
        Callback::new(move |()| ends.with_value(|(from, to)| hand.act(format!("{word} {from} {to}"))))
    };
    let says = move |word: &'static str| {
        Signal::derive(move || ends.with_value(|(from, to)| format!("{word} the link between {from} and {to}")))
    };
    // There are many links: Tab comes by those of the node that is held.
    let tab = Signal::derive(move || lit.get() || cut.get());
    let x = Signal::derive(move || chip.get().x - 22.0);
    let y = Signal::derive(move || chip.get().y - 12.0);
    view! {
        <g class="link" class:cut=cut class:lit=lit class:keeper=keeper>
            <path class="line" d=d></path>
            <path
                class="target"
                d=d
                on:pointerenter=hand.enter(move |_| On::Words(words()))
                on:pointerleave=hand.leave()
            ></path>
            <Show when=move || hand.editable.get() || of_brokers>
                <Show
                    when=move || cut.get()
                    fallback=move || {
                        view! {
                            <g class="tools">
                                <Chip x y width=44.0 label="cut" says=says("cut") on_press=act("cut") tab />
                            </g>
                        }
                    }
                >
                    <Chip x y width=44.0 label="heal" says=says("heal") on_press=act("heal") tab />
                </Show>
            </Show>
        </g>
    }
}

/// The node that a target is, or is part of.
fn named(view: &View, target: &Target) -> Option<String> {
    match target {
        Target::Producer { name } | Target::Consumer { name } => Some(name.clone()),
        Target::Broker { id } => view.brokers.iter().find(|broker| broker.id == *id).map(|broker| broker.name.clone()),
        Target::ZooKeeper => Some(view.zookeeper.name.clone()),
        _ => None,
    }
}
