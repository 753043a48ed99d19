//! A broker, a partition, a consumer: how it is doing, and what can be done to it.

use leptos::prelude::*;
use ottla_core::id::BrokerId;
use ottla_core::sim::scenario::{Action, Fault};
use ottla_core::time::Duration;
use ottla_core::vec_map::VecMap;
use ottla_core::view::{BrokerView, ConsumerView, Detail, FactGroup, Health, LinkView, ReplicaView, Target};

use crate::panel::group::Group;
use crate::panel::producer::Producer;
use crate::panel::topic::Topic;
use crate::panel::transaction::Transaction;
use crate::panel::znode::{Znode, ZooKeeper};
use crate::scene::words::{is_live, number, role};
use crate::store::{Form, Session, Source};

#[component]
pub fn NodeView(target: Target) -> impl IntoView {
    match target {
        Target::Broker { id } => view! { <Broker id/> }.into_any(),
        Target::Partition { broker, topic, partition } => view! { <Partition broker topic partition/> }.into_any(),
        Target::Producer { name } => view! { <Producer name/> }.into_any(),
        Target::Consumer { name } => view! { <Consumer name/> }.into_any(),
        Target::Group { id } => view! { <Group id/> }.into_any(),
        Target::Transaction { id } => view! { <Transaction id/> }.into_any(),
        Target::Topic { name } => view! { <Topic name/> }.into_any(),
        Target::ZooKeeper => view! { <ZooKeeper/> }.into_any(),
        Target::Znode { path } => view! { <Znode path/> }.into_any(),
        Target::Message { .. } | Target::Batch { .. } => ().into_any(),
    }
}

/// Names and values, looked up anew with every view, written only where they changed.
#[component]
pub fn Facts(#[prop(into)] facts: Signal<Vec<(&'static str, String)>>) -> impl IntoView {
    let names = Memo::new(move |_| facts.with(|facts| facts.iter().map(|(name, _)| *name).collect::<Vec<_>>()));
    let rows = move || {
        names
            .get()
            .into_iter()
            .enumerate()
            .map(|(index, name)| {
                let value = Memo::new(move |_| {
                    facts.with(|facts| facts.get(index).map(|(_, value)| value.clone()).unwrap_or_default())
                });
                view! { <dt>{name}</dt><dd>{move || value.get()}</dd> }
            })
            .collect_view()
    };
    view! { <dl class="facts">{rows}</dl> }
}

/// What only the node itself can tell.
#[component]
pub fn More() -> impl IntoView {
    let session = Session::get();
    let groups = Memo::new(move |_| {
        session.detail.with(|detail| match detail.as_deref() {
            Some(Detail::Facts(groups)) => groups.clone(),
            _ => Vec::new(),
        })
    });
    let group = |group: FactGroup| {
        let rows = group.facts.into_iter().map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> });
        view! { <h3>{group.title}</h3><dl class="facts">{rows.collect_view()}</dl> }
    };
    // Opened once, it stays open for whatever is picked up next.
    let open = session.more;
    view! {
        <Show when=move || !groups.with(Vec::is_empty)>
            <button class="more" aria-expanded=move || open.get().to_string() on:click=move |_| open.update(|open| *open = !*open)>
                "All that it knows of itself"
            </button>
            <Show when=move || open.get()>{move || groups.get().into_iter().map(group).collect_view()}</Show>
        </Show>
    }
}

#[component]
pub fn State(#[prop(into)] health: Signal<Option<Health>>) -> impl IntoView {
    let words = move || match health.get() {
        Some(Health::Running) => ("state level-good", "running"),
        Some(Health::Paused) => ("state level-warn", "paused"),
        Some(Health::Dead) => ("state level-bad", "dead"),
        None => ("state dim", "not there at this moment"),
    };
    view! { <span class=move || words().0>{move || words().1}</span> }
}

#[component]
fn Broker(id: i32) -> impl IntoView {
    let session = Session::get();
    let broker =
        Memo::new(move |_| session.view.with(|view| view.brokers.iter().find(|broker| broker.id == id).cloned()));
    let health = Memo::new(move |_| broker.with(|broker| broker.as_ref().map(|broker| broker.health)));
    let live = Memo::new(move |_| session.view.with(|view| is_live(view)));
    let facts = move || {
        broker
            .with(|broker| broker.as_ref().map(|broker| broker_facts(broker, live.get_untracked())).unwrap_or_default())
    };
    let faults = Memo::new(move |_| {
        broker.with(|broker| broker.as_ref().map(|broker| broker.faults.clone()).unwrap_or_default())
    });
    view! {
        <h2>{BrokerId(id).to_string()}<State health=health/></h2>
        <div class="actions">{move || broker_actions(session, id, health.get())}</div>
        <Show when=move || !faults.with(Vec::is_empty)>
            <ul class="faults">{move || faults.get().into_iter().map(|fault| view! { <li>{fault}</li> }).collect_view()}</ul>
            <div class="actions">
                <button title="A quick disk with room, a right clock" on:click=move |_| mend(session, id)>"Mend"</button>
            </div>
        </Show>
        <Facts facts=Signal::derive(facts)/>
        <Links name=BrokerId(id).to_string()/>
        <More/>
    }
}

/// Whom a node has a link with, and what can be done to each.
#[component]
pub fn Links(#[prop(into)] name: String) -> impl IntoView {
    let session = Session::get();
    let name = StoredValue::new(name);
    let links = Memo::new(move |_| {
        let other = |link: &LinkView| {
            name.with_value(|name| match (link.from == *name, link.to == *name) {
                (true, _) => Some((link.to.clone(), link.cut)),
                (_, true) => Some((link.from.clone(), link.cut)),
                _ => None,
            })
        };
        // A live server's clients are not its own to cut off.
        let editable = session.source.get() == Source::Simulated;
        let is_broker = |name: &str| name.starts_with("broker-");
        session.view.with(|view| {
            let mine = view.links.iter().filter_map(other);
            let links: VecMap<String, bool> = mine
                .filter(|(other, _)| editable || (is_broker(other) && name.with_value(|name| is_broker(name))))
                .collect();
            links.into_iter().collect::<Vec<_>>()
        })
    });
    let row = move |(other, cut): (String, bool)| {
        let line = name.with_value(|name| format!("{} {name} {other}", if cut { "heal" } else { "cut" }));
        let says = line.clone();
        view! {
            <li>
                <span>{other}{cut.then_some(", cut")}</span>
                <button title=says.clone() aria-label=says on:click=move |_| session.act_line(&line)>
                    {if cut { "Heal" } else { "Cut" }}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || !links.with(Vec::is_empty)>
            <h3>"Links"</h3>
            <ul class="links-of">{move || links.get().into_iter().map(row).collect_view()}</ul>
        </Show>
    }
}

/// What can be done to a broker in that state: a button for each.
fn broker_actions(session: Session, id: i32, health: Option<Health>) -> AnyView {
    let who = move || BrokerId(id).into();
    let fault = move |class: &'static str, name: &'static str, title: &'static str, fault: Fault| {
        let act = move |_| session.act(fault.clone().into());
        view! { <button class=class title=title on:click=act>{name}</button> }
    };
    let kill = move || fault("danger", "Kill", "The process dies; what it wrote stays", Fault::Kill(who()));
    let crash =
        move || fault("danger", "Crash", "The machine dies, and with it what was not flushed", Fault::Crash(who()));
    match health {
        None => ().into_any(),
        Some(Health::Dead) => view! {
            {fault("main", "Start", "Over what is on its disk", Fault::Start(who()))}
            {fault("danger", "Wipe disk", "It gets another disk, empty", Fault::Wipe(who()))}
        }
        .into_any(),
        Some(Health::Paused) => view! {
            {fault("main", "Resume", "It goes on where it stood", Fault::Resume(who()))}
            {kill()}
            {crash()}
        }
        .into_any(),
        Some(Health::Running) => view! {
            {kill()}
            {crash()}
            {fault("danger", "Pause", "The process stands still; its sockets stay open", Fault::Pause(who()))}
            {fault("", "Slow disk", "Every write, sync and read takes 100 ms longer", Fault::SlowDisk(who(), SLOW))}
            {fault("", "Fill disk", "What is appended fails", Fault::Fill(who()))}
        }
        .into_any(),
    }
}

/// How much longer a disk takes that is slow.
const SLOW: Duration = Duration::from_millis(100);

fn mend(session: Session, id: i32) {
    let who = || BrokerId(id).into();
    for fault in [Fault::Quicken(who()), Fault::Free(who()), Fault::Skew(who(), 0)] {
        session.act(fault.into());
    }
}

fn broker_facts(broker: &BrokerView, live: bool) -> Vec<(&'static str, String)> {
    let led = broker.replicas.iter().filter(|replica| replica.leader).count();
    // A server counts what it reads and writes; what of that are records is told below.
    let mut facts = vec![
        ("listens on", format!("{}:{}", broker.host, broker.port)),
        // Of one that is dead the others may still believe that it leads.
        (
            "leads",
            match broker.health {
                Health::Dead => "nothing: it is dead, and the controller finds out when its session ends".to_owned(),
                _ => format!("{led} of {} partitions", broker.replicas.len()),
            },
        ),
        ("connections", broker.connections.to_string()),
        ("parked requests", broker.parked.to_string()),
    ];
    if live {
        facts.push(("bytes of requests in", bytes_words(broker.bytes_in)));
        facts.push(("bytes of answers out", bytes_words(broker.bytes_out)));
    }
    if broker.controller {
        facts.insert(0, ("duty", "controller".to_string()));
    }
    if let Some(rack) = &broker.rack {
        facts.insert(1, ("rack", rack.clone()));
    }
    facts
}

#[component]
fn Partition(broker: i32, topic: String, partition: i32) -> impl IntoView {
    let session = Session::get();
    let (name, of) = (format!("{topic}-{partition}"), topic.clone());
    let replica = Memo::new(move |_| {
        session.view.with(|view| {
            let broker = view.brokers.iter().find(|each| each.id == broker)?;
            let replica = broker.replicas.iter().find(|one| one.topic == of && one.partition == partition)?;
            Some((role(view, broker, replica), replica.clone()))
        })
    });
    let facts = move || replica.with(|replica| replica.as_ref().map(partition_facts).unwrap_or_default());
    let of_topic = topic.clone();
    let whole = {
        let name = topic.clone();
        move |_| session.held.set(Some(Target::Topic { name: name.clone() }))
    };
    let send = move |_| session.fill_in(Form::Send { topic: Some(topic.clone()), partition: Some(partition) });
    view! {
        <h2>{name}" "<span class="dim">{BrokerId(broker).to_string()}</span></h2>
        <div class="actions">
            <button on:click=send>"Send one record here…"</button>
            <button title="Where all its replicas are" on:click=whole>{format!("Topic {of_topic}…")}</button>
        </div>
        <Facts facts=Signal::derive(facts)/>
        <More/>
    }
}

fn partition_facts((role, replica): &(String, ReplicaView)) -> Vec<(&'static str, String)> {
    vec![
        ("role", role.clone()),
        ("leader epoch", replica.leader_epoch.to_string()),
        ("log start offset", replica.log_start.to_string()),
        ("last stable offset", replica.stable.to_string()),
        ("high watermark", replica.high_watermark.to_string()),
        ("log end offset", replica.end.to_string()),
        ("flushed to disk below", replica.flushed.to_string()),
        ("segments", replica.segments.to_string()),
        ("size", bytes_words(replica.bytes)),
    ]
}

#[component]
fn Consumer(name: String) -> impl IntoView {
    let session = Session::get();
    let names = StoredValue::new(name.clone());
    let consumer = Memo::new(move |_| {
        session.view.with(|view| {
            view.consumers.iter().find(|consumer| names.with_value(|name| consumer.name == *name)).cloned()
        })
    });
    let health = Memo::new(move |_| consumer.with(|consumer| consumer.as_ref().map(|consumer| consumer.health)));
    let facts = move || consumer.with(|consumer| consumer.as_ref().map(consumer_facts).unwrap_or_default());
    let positions =
        move || {
            consumer.with(|consumer| {
                let positions = consumer.as_ref().map(|consumer| consumer.positions.clone()).unwrap_or_default();
                positions.into_iter().map(|position| {
                view! { <dt>{format!("{}-{}", position.topic, position.partition)}</dt><dd>{position.offset}</dd> }
            }).collect_view()
            })
        };
    let editable = Memo::new(move |_| {
        session.source.get() == Source::Simulated && health.get().is_some_and(|health| health != Health::Dead)
    });
    let group =
        Memo::new(move |_| consumer.with(|consumer| consumer.as_ref().and_then(|consumer| consumer.group.clone())));
    let whole = move |id: String| {
        let says = format!("Group {id}: who reads what…");
        view! { <button on:click=move |_| session.held.set(Some(Target::Group { id: id.clone() }))>{says}</button> }
    };
    view! {
        <h2>{name}<State health=health/></h2>
        <div class="actions">{move || group.get().map(whole)}</div>
        <p class="mono">{move || consumer.with(|consumer| consumer.as_ref().map(|consumer| consumer.settings.clone()))}</p>
        <Show when=move || editable.get()>
            <div class="actions">
                <button class="danger" title="It goes for good" on:click=move |_| session.act(Action::Stop(names.get_value()))>"Stop"</button>
            </div>
        </Show>
        <Facts facts=Signal::derive(facts)/>
        <h3>"Next offset to fetch"</h3>
        <dl class="facts">{positions}</dl>
        <Links name=names.get_value()/>
        <More/>
    }
}

fn consumer_facts(consumer: &ConsumerView) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("received", number(consumer.received as i64)),
        (
            "lag",
            consumer
                .known_lag()
                .map_or_else(|| "not known yet".to_string(), |lag| format!("{} records", number(lag as i64))),
        ),
    ];
    if let Some(group) = &consumer.group {
        facts.insert(0, ("group", group.clone()));
    }
    facts
}

/// `212 B`, `3.4 KiB`.
pub fn bytes_words(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}
