//! ZooKeeper's box, among the clients above: brokers are its clients.

use leptos::prelude::*;
use ottla_core::view::Target;

use super::client::{Frame, place};
use super::hand::Hand;
use super::words::number;

#[component]
pub fn ZooKeeper(name: String) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let name = StoredValue::new(name);
    let rect = place(hand, |layout| &layout.guests, name);
    let health = hand.watch(|view| view.zookeeper.health);
    let health = Memo::new(move |_| health.get());
    let znodes = hand.watch(|view| format!("{} znodes", number(i64::from(view.zookeeper.znodes))));
    let sessions = hand.watch(|view| match view.zookeeper.sessions {
        1 => "1 session".to_owned(),
        sessions => format!("{sessions} sessions"),
    });
    view! {
        <Frame name health rect target=Target::ZooKeeper style=Signal::stored(String::new())>
            <text class="name" x="12" y="22">
                {name.get_value()}
            </text>
            <text class="mono" x="12" y="40">
                {znodes}
            </text>
            <text class="mono" x="12" y="55">
                {sessions}
            </text>
        </Frame>
    }
}
