//! A topic: its settings, and where its replicas are: a row for each partition, a column for each broker, brokers of a rack
//! side by side, and how many each has.

use leptos::prelude::*;
use ottla_core::arrange::Arrange;
use ottla_core::view::{BrokerView, Health, Target, TopicView, View};

use crate::panel::node::Facts;
use crate::scene::hue_of;
use crate::store::{Form, Session};

#[component]
pub fn Topic(name: String) -> impl IntoView {
    let session = Session::get();
    let names = StoredValue::new(name.clone());
    let topic = Memo::new(move |_| {
        session.view.with(|view| view.topics.iter().find(|topic| names.with_value(|name| topic.name == *name)).cloned())
    });
    let facts = move || topic.with(|topic| topic.as_ref().map(facts).unwrap_or_default());
    let spread = Memo::new(move |_| session.view.with(|view| names.with_value(|name| Spread::of(view, name))));
    let hue = session.view.with_untracked(|view| hue_of(view, &name));
    let configs = Memo::new(move |_| topic.with(|topic| topic.as_ref().map_or(Vec::new(), |it| it.configs.clone())));
    let config = |(name, value): (String, String)| view! { <dt>{name}</dt><dd>{value}</dd> };
    let send = move |_| session.fill_in(Form::Send { topic: Some(names.get_value()), partition: None });
    view! {
        <h2>{name}" "<span class="dim">{move || topic.with(Option::is_none).then_some("not there at this moment")}</span></h2>
        <div class="actions"><button on:click=send>"Send one record…"</button></div>
        <Facts facts=Signal::derive(facts)/>
        <Show when=move || !configs.with(Vec::is_empty)>
            <h3>"Set for it"</h3>
            <dl class="facts">{move || configs.get().into_iter().map(config).collect_view()}</dl>
        </Show>
        <h3>"Where its replicas are"</h3>
        <div class="spread-of" style=hue>{move || spread.with(|spread| table(session, spread))}</div>
        <p class="dim">"Filled: leads. Hollow: follows. Dashed: out of the ISR."</p>
    }
}

fn facts(topic: &TopicView) -> Vec<(&'static str, String)> {
    vec![
        ("partitions", topic.partitions.to_string()),
        ("replication factor", topic.replication_factor.to_string()),
        ("topic id", topic.id.clone()),
    ]
}

/// What one broker is to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Leads,
    Follows,
    Out,
}

/// Who has which replica.
#[derive(Clone, Debug, Default, PartialEq)]
struct Spread {
    topic: String,
    brokers: Vec<Column>,
    /// Racks with how many columns each spans; empty where brokers have none.
    racks: Vec<(String, usize)>,
    partitions: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    id: i32,
    dead: bool,
    rack: Option<String>,
    /// By partition.
    parts: Vec<Option<Part>>,
}

impl Column {
    fn replicas(&self) -> usize {
        self.parts.iter().flatten().count()
    }

    fn leads(&self) -> usize {
        self.parts.iter().filter(|part| **part == Some(Part::Leads)).count()
    }
}

impl Spread {
    fn of(view: &View, name: &str) -> Spread {
        let Some(topic) = view.topics.iter().find(|topic| topic.name == name) else { return Spread::default() };
        let partitions: Vec<i32> = (0..topic.partitions as i32).collect();
        let column = |broker: &BrokerView| {
            let part = |partition: &i32| {
                let mut mine = broker.replicas.iter().filter(|replica| replica.topic == name);
                let replica = mine.find(|replica| replica.partition == *partition)?;
                let leads = topic.leaders.get(*partition as usize) == Some(&broker.id);
                Some(match (leads, replica.in_sync) {
                    (true, _) => Part::Leads,
                    (_, true) => Part::Follows,
                    (_, false) => Part::Out,
                })
            };
            let dead = broker.health == Health::Dead;
            Column { id: broker.id, dead, rack: broker.rack.clone(), parts: partitions.iter().map(part).collect() }
        };
        let mut brokers: Vec<Column> = view.brokers.iter().map(column).collect();
        brokers.arrange_by(|one, other| (&one.rack, one.id).cmp(&(&other.rack, other.id)));
        let mut racks: Vec<(String, usize)> = Vec::new();
        if brokers.iter().any(|broker| broker.rack.is_some()) {
            for broker in &brokers {
                let rack = broker.rack.clone().unwrap_or_else(|| "none".to_owned());
                match racks.last_mut() {
                    Some((last, columns)) if *last == rack => *columns += 1,
                    _ => racks.push((rack, 1)),
                }
            }
        }
        Spread { topic: name.to_owned(), brokers, racks, partitions }
    }

    /// Of each rack: columns, replicas, partitions led.
    fn by_rack(&self) -> Vec<(usize, usize, usize)> {
        let mut columns = self.brokers.iter();
        let rack = |(_, count): &(String, usize)| {
            let mine: Vec<&Column> = columns.by_ref().take(*count).collect();
            let sum = |of: fn(&Column) -> usize| mine.iter().map(|column| of(column)).sum();
            (*count, sum(Column::replicas), sum(Column::leads))
        };
        self.racks.iter().map(rack).collect()
    }
}

fn table(session: Session, spread: &Spread) -> impl IntoView + use<> {
    let racks = (!spread.racks.is_empty()).then(|| {
        let rack = |(name, columns): &(String, usize)| view! { <th colspan={*columns} scope="colgroup">"rack "{name.clone()}</th> };
        view! { <tr class="racks"><th></th>{spread.racks.iter().map(rack).collect_view()}</tr> }
    });
    let id = |column: &Column| {
        let (id, dead) = (column.id, column.dead);
        let hold = move |_| session.held.set(Some(Target::Broker { id }));
        let title = format!("broker-{id}{}", if dead { ", dead" } else { "" });
        view! { <th scope="col"><button class="plain" class:dead=dead title=title on:click=hold>{id}</button></th> }
    };
    let row = |(at, partition): (usize, &i32)| {
        let partition = *partition;
        let cell = |column: &Column| {
            let part = column.parts[at].map(|part| {
                let (class, words) = match part {
                    Part::Leads => ("part leads", "leads"),
                    Part::Follows => ("part", "follows"),
                    Part::Out => ("part out", "is out of the ISR of"),
                };
                let title = format!("broker-{} {words} {}-{partition}", column.id, spread.topic);
                let target = Target::Partition { broker: column.id, topic: spread.topic.clone(), partition };
                let hold = move |_| session.held.set(Some(target.clone()));
                view! { <button class=class title=title.clone() aria-label=title on:click=hold></button> }
            });
            view! { <td>{part}</td> }
        };
        view! { <tr><th scope="row">{format!("{}-{partition}", spread.topic)}</th>{spread.brokers.iter().map(cell).collect_view()}</tr> }
    };
    let sums = |name: &'static str, of: fn(&Column) -> usize| {
        let sums = spread.brokers.iter().map(|column| view! { <td>{of(column)}</td> }).collect_view();
        view! { <tr class="sum"><th scope="row">{name}</th>{sums}</tr> }
    };
    let by_rack = (!spread.racks.is_empty()).then(|| {
        let rack = |(columns, replicas, leads): (usize, usize, usize)| {
            view! { <td colspan=columns>{format!("{replicas}, leads {leads}")}</td> }
        };
        view! { <tr class="sum"><th scope="row">"of the rack"</th>{spread.by_rack().into_iter().map(rack).collect_view()}</tr> }
    });
    view! {
        <table class="spread">
            <thead>{racks}<tr><th>"broker"</th>{spread.brokers.iter().map(id).collect_view()}</tr></thead>
            <tbody>{spread.partitions.iter().enumerate().map(row).collect_view()}</tbody>
            <tfoot>{sums("replicas", Column::replicas)}{sums("leads", Column::leads)}{by_rack}</tfoot>
        </table>
    }
}

#[cfg(test)]
mod tests {
    use ottla_core::view::ReplicaView;

    use super::*;

    #[test]
    fn replicas_are_counted_by_broker_and_by_rack_and_racks_stand_together() {
        let replica =
            |partition| ReplicaView { topic: "orders".into(), partition, in_sync: true, ..Default::default() };
        let broker = |id: i32, rack: &str, partitions: &[i32]| BrokerView {
            id,
            rack: Some(rack.into()),
            replicas: partitions.iter().map(|partition| replica(*partition)).collect(),
            ..Default::default()
        };
        let topic = TopicView { name: "orders".into(), partitions: 2, leaders: vec![1, 2], ..Default::default() };
        let view = View {
            brokers: vec![broker(1, "a", &[0, 1]), broker(2, "b", &[1]), broker(3, "a", &[0])],
            topics: vec![topic],
            ..Default::default()
        };
        let spread = Spread::of(&view, "orders");
        assert_eq!(spread.brokers.iter().map(|column| column.id).collect::<Vec<_>>(), [1, 3, 2]);
        assert_eq!(spread.racks, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(spread.brokers[0].parts, [Some(Part::Leads), Some(Part::Follows)]);
        assert_eq!(spread.by_rack(), [(2, 3, 1), (1, 1, 1)]);
        assert_eq!(Spread::of(&view, "nothing"), Spread::default());
    }
}
