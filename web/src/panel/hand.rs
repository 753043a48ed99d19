//! The right panel: what one holds, or a form to fill in, or what there is to pick up.

use leptos::prelude::*;
use ottla_core::view::{Detail, Target};

use crate::panel::batch::{BatchBytes, BatchFields, BatchRecords};
use crate::panel::form::FormView;
use crate::panel::message::MessageFields;
use crate::panel::node::NodeView;
use crate::panel::tabs;
use crate::store::{Form, Session, Sheet, Source};

/// The tabs of a thing that has more than one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Message,
    Batch,
    Records,
    Bytes,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Message => "Message",
            Side::Batch => "Batch",
            Side::Records => "Records",
            Side::Bytes => "Bytes",
        }
    }
}

#[component]
pub fn Hand() -> impl IntoView {
    let session = Session::get();
    let wanted = RwSignal::new(Side::Message);
    let sides = Memo::new(move |_| {
        session.detail.with(|detail| match detail.as_deref() {
            Some(Detail::Message(message)) if message.batch.is_some() => {
                vec![Side::Message, Side::Batch, Side::Records, Side::Bytes]
            }
            Some(Detail::Message(_)) => vec![Side::Message],
            Some(Detail::Batch(_)) => vec![Side::Batch, Side::Records, Side::Bytes],
            _ => Vec::new(),
        })
    });
    let side = Memo::new(move |_| {
        let sides = sides.get();
        let wanted = wanted.get();
        if sides.contains(&wanted) { Some(wanted) } else { sides.first().copied() }
    });
    // Another kind of thing begins with its first side; the same kind keeps the one that is looked at.
    let name = move || match (session.form.get(), session.held.get()) {
        (Some(Form::Send { .. }), _) => "Send a record",
        (Some(Form::Producer), _) => "Add a producer",
        (Some(Form::Consumer), _) => "Add a consumer",
        (Some(Form::Topic), _) => "Add a topic",
        (None, Some(Target::Message { .. })) => "Message",
        (None, Some(Target::Broker { .. })) => "Broker",
        (None, Some(Target::Partition { .. })) => "Partition",
        (None, Some(Target::Batch { .. })) => "Batch",
        (None, Some(Target::Producer { .. })) => "Producer",
        (None, Some(Target::Consumer { .. })) => "Consumer",
        (None, Some(Target::Group { .. })) => "Group",
        (None, Some(Target::Transaction { .. })) => "Transaction",
        (None, Some(Target::Topic { .. })) => "Topic",
        (None, Some(Target::ZooKeeper)) => "ZooKeeper",
        (None, Some(Target::Znode { .. })) => "Znode",
        (None, None) => "In hand",
    };
    let tabs = move || {
        let sides = if session.form.get().is_some() { Vec::new() } else { sides.get() };
        if sides.is_empty() {
            return view! { <span class="on">{name}</span> }.into_any();
        }
        sides
            .into_iter()
            .map(|each| view! {
                <button role="tab" class:on=move || side.get() == Some(each) tabindex=move || tabs::stop(side.get() == Some(each))
                    aria-selected=move || (side.get() == Some(each)).to_string() on:click=move |_| wanted.set(each)>{each.name()}</button>
            })
            .collect_view()
            .into_any()
    };
    let busy = move || session.form.with(Option::is_some) || session.held.with(Option::is_some);
    let let_go = move |_| {
        if session.form.get_untracked().is_some() {
            session.form.set(None);
        } else {
            session.held.set(None);
        }
        session.sheet.set(Sheet::None);
    };
    view! {
        <aside class="hand" class:up=move || session.sheet.get() == Sheet::Hand aria-label="In hand">
            <div class="tabs" role="tablist" on:keydown=tabs::walk>
                {tabs}
                <button class="close" class:phone-only=move || !busy() title="Let go (Esc)" on:click=let_go>"✕"</button>
            </div>
            {move || match session.form.get() {
                Some(form) => view! { <div class="body"><FormView form/></div> }.into_any(),
                None => view! { <Held side=Signal::from(side)/> }.into_any(),
            }}
        </aside>
    }
}

/// What is held, from the side that is looked at.
#[component]
fn Held(side: Signal<Option<Side>>) -> impl IntoView {
    let session = Session::get();
    let content = move || match session.held.get() {
        None => view! { <Nothing/> }.into_any(),
        Some(target @ (Target::Message { .. } | Target::Batch { .. })) => {
            let absent = absent(&target, session);
            match (session.detail.get(), side.get()) {
                (Some(detail), Some(side)) => {
                    let batch = match &*detail {
                        Detail::Message(message) => message.batch.clone(),
                        Detail::Batch(batch) => Some(batch.clone()),
                        Detail::Znode(_) | Detail::Facts(_) => None,
                    };
                    match (side, batch, &*detail) {
                        (Side::Message, _, Detail::Message(message)) => {
                            view! { <MessageFields message=message.clone()/> }.into_any()
                        }
                        (Side::Batch, Some(batch), _) => view! { <BatchFields batch/> }.into_any(),
                        (Side::Records, Some(batch), _) => view! { <BatchRecords batch/> }.into_any(),
                        (Side::Bytes, Some(batch), _) => view! { <BatchBytes batch/> }.into_any(),
                        _ => absent,
                    }
                }
                _ => absent,
            }
        }
        Some(target) => view! { <NodeView target/> }.into_any(),
    };
    view! { <div class="body">{content}</div> }
}

fn absent(target: &Target, session: Session) -> AnyView {
    let unknown = session.unknown.with(|unknown| unknown.as_ref() == Some(target));
    let words = match (target, session.source.get_untracked()) {
        (Target::Message { .. }, Source::Server) if unknown => {
            "The server does not keep this message any more: it keeps the newest ones, and tells of one that is in hand while they pass."
        }
        (_, Source::Server) if unknown => "The server has no such batch any more.",
        (_, Source::Server) => "The server is asked about it…",
        (Target::Message { .. }, _) => "At this moment this message is not on its way.",
        _ => "At this moment there is no such batch.",
    };
    view! { <p class="hint">{words}</p> }.into_any()
}

/// Of each kind that many are offered.
const OTHERS: usize = 8;

/// An empty hand says what to pick up.
#[component]
fn Nothing() -> impl IntoView {
    let session = Session::get();
    let server = move || session.source.get() == Source::Server;
    let fill = move |form: Form| move |_| session.fill_in(form.clone());
    // What has no place of its own on the stage.
    let others = Memo::new(move |_| {
        session.view.with(|view| {
            let topics = view.topics.iter().filter(|topic| !topic.name.starts_with("__"));
            let topics = topics.map(|topic| ("Topic", topic.name.clone(), Target::Topic { name: topic.name.clone() }));
            let groups = view.groups.iter();
            let groups = groups.map(|group| ("Group", group.id.clone(), Target::Group { id: group.id.clone() }));
            let transactions = view.transactions.iter();
            let transactions =
                transactions.map(|one| ("Transaction", one.id.clone(), Target::Transaction { id: one.id.clone() }));
            topics.take(OTHERS).chain(groups.take(OTHERS)).chain(transactions.take(OTHERS)).collect::<Vec<_>>()
        })
    });
    let other = move |(kind, name, target): (&'static str, String, Target)| {
        view! { <button on:click=move |_| session.held.set(Some(target.clone()))>{kind}" "<b>{name}</b></button> }
    };
    view! {
        <p class="hint">
            "Click a message on its way to read its request, a cell of a strip to open its batch, or a broker, a partition, a \
             producer or a consumer to see how it is doing."
        </p>
        <h3>"Or look at"</h3>
        <div class="actions">
            {move || others.get().into_iter().map(other).collect_view()}
            <button on:click=move |_| session.held.set(Some(Target::Znode { path: "/".to_owned() }))>"Browse ZooKeeper"</button>
        </div>
        <h3>"Or do something"</h3>
        <div class="actions">
            <button on:click=fill(Form::Send { topic: None, partition: None })>"Send one record…"</button>
            <Show when=move || !server()>
                <button on:click=fill(Form::Producer)>"Add a producer…"</button>
                <button on:click=fill(Form::Consumer)>"Add a consumer…"</button>
            </Show>
            <button on:click=fill(Form::Topic)>"Add a topic…"</button>
        </div>
    }
}
