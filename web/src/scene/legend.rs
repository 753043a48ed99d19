//! What the marks mean.

use leptos::prelude::*;
use ottla_core::view::{Fate, MessageKind, ReplicaView};

use super::hand::Hand;

#[component]
pub fn Legend() -> impl IntoView {
    let hand = expect_context::<Hand>();
    // What never was on this stage needs no explanation.
    let replicated = hand.watch(|view| {
        view.topics.iter().any(|topic| topic.replication_factor > 1)
            || view.messages.iter().any(|message| message.kind == MessageKind::ReplicaFetch)
    });
    let epochs = hand.watch(|view| {
        let mut replicas = view.brokers.iter().flat_map(|broker| &broker.replicas);
        replicas.any(|replica| replica.batches.windows(2).any(|pair| pair[0].leader_epoch != pair[1].leader_epoch))
    });
    let any = move |of: fn(&ReplicaView) -> bool| {
        hand.watch(move |view| view.brokers.iter().flat_map(|broker| &broker.replicas).any(of))
    };
    let markers = any(|replica| replica.batches.iter().any(|batch| batch.fate.is_marker()));
    let open = any(|replica| replica.batches.iter().any(|batch| batch.fate == Fate::Open));
    let aborted = any(|replica| replica.batches.iter().any(|batch| batch.fate == Fate::Aborted));
    let stable = any(|replica| replica.stable < replica.high_watermark);
    let flushed = any(|replica| replica.flushed > 0);
    let several = hand.watch(|view| view.brokers.len() > 1);
    view! {
        <ul class="legend" aria-label="What the marks mean">
            <Sign word="Produce">
                <circle class="full" cx="8" cy="8" r="4.6"></circle>
            </Sign>
            <Sign word="reply">
                <circle class="thin" cx="8" cy="8" r="4.6"></circle>
            </Sign>
            <Sign word="Fetch">
                <circle class="thin" cx="8" cy="8" r="4.6"></circle>
                <circle class="dot" cx="8" cy="8" r="1.9"></circle>
            </Sign>
            <Sign word="empty reply">
                <circle class="thin quiet" cx="8" cy="8" r="4.6"></circle>
                <circle class="thin quiet" cx="8" cy="8" r="1.9"></circle>
            </Sign>
            <Sign word="metadata, …">
                <circle class="full quiet" cx="8" cy="8" r="3.2"></circle>
            </Sign>
            <Show when=move || replicated.get()>
                <Sign word="replica Fetch">
                    <path class="full" d="M8 2.4L13.6 8L8 13.6L2.4 8z"></path>
                </Sign>
            </Show>
            <Show when=move || several.get()>
                <Sign word="cluster">
                    <rect class="control" x="4" y="4" width="8" height="8"></rect>
                </Sign>
            </Show>
            <Sign word="ZooKeeper">
                <path class="control" d="M8 2.6L13.4 12.4H2.6z"></path>
            </Sign>
            <Sign word="committed">
                <rect class="cell" x="4" y="1.5" width="7.2" height="13" rx="1.5"></rect>
            </Sign>
            <Sign word="not yet">
                <rect class="cell" x="4" y="1.5" width="7.2" height="13" rx="1.5"></rect>
                <rect fill="url(#hatch)" x="4" y="1.5" width="7.2" height="13"></rect>
            </Sign>
            <Sign word="high watermark">
                <path class="pole" d="M6 1v14"></path>
                <path class="cloth" d="M6 1h5l-1.6 2.4l1.6 2.4h-5z"></path>
            </Sign>
            <Show when=move || epochs.get()>
                <Sign word="new leader epoch">
                    <path class="epoch" d="M3 1v14"></path>
                    <text class="epoch" x="6" y="13">"1"</text>
                </Sign>
            </Show>
            <Show when=move || stable.get()>
                <Sign word="last stable offset">
                    <path class="stable" d="M8 0v16"></path>
                </Sign>
            </Show>
            <Show when=move || open.get()>
                <Sign word="open transaction">
                    <path class="bracket" d="M1.5 4v-2.5h13v2.5"></path>
                    <rect class="cell" x="1.5" y="5" width="6" height="10" rx="1.2"></rect>
                    <rect class="cell" x="8.5" y="5" width="6" height="10" rx="1.2"></rect>
                </Sign>
            </Show>
            <Show when=move || aborted.get()>
                <Sign word="aborted">
                    <path class="bracket aborts" d="M1.5 4v-2.5h13v2.5"></path>
                    <rect class="aborted" x="2" y="5.5" width="5" height="9"></rect>
                    <rect class="aborted" x="9" y="5.5" width="5" height="9"></rect>
                </Sign>
            </Show>
            <Show when=move || markers.get()>
                <Sign word="marker">
                    <rect class="marker" x="6.5" y="1.5" width="3" height="13"></rect>
                </Sign>
            </Show>
            <Show when=move || flushed.get()>
                <Sign word="flushed to disk">
                    <rect class="line" x="1" y="7" width="13" height="1.8" rx="0.9"></rect>
                </Sign>
            </Show>
        </ul>
    }
}

#[component]
fn Sign(word: &'static str, children: Children) -> impl IntoView {
    view! {
        <li>
            <svg width="16" height="16" aria-hidden="true">
                {children()}
            </svg>
            {word}
        </li>
    }
}
