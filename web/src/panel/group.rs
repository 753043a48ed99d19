//! A group of consumers: who reads what at this moment, what its coordinator knows (members, assignment, what is
//! committed), and in words what the state that it is in means.

use leptos::prelude::*;
use ottla_core::id::BrokerId;
use ottla_core::vec_map::VecMap;
use ottla_core::vec_set::VecSet;
use ottla_core::view::{CommittedView, ConsumerView, GroupView, Health, MemberView, Target, View};

use crate::panel::node::Facts;
use crate::panel::steps::{Steps, Way};
use crate::scene::hue_of;
use crate::scene::words::{is_live, number};
use crate::store::Session;

/// More partitions than that are counted, not shown.
const TILES: usize = 60;

#[component]
pub fn Group(id: String) -> impl IntoView {
    let session = Session::get();
    let ids = StoredValue::new(id.clone());
    let group = Memo::new(move |_| {
        session.view.with(|view| view.groups.iter().find(|group| ids.with_value(|id| group.id == *id)).cloned())
    });
    let state = Memo::new(move |_| group.with(|group| group.as_ref().map(|group| group.state.clone())));
    let way = Memo::new(move |_| group.with(|group| group.as_ref().and_then(way)));
    let lesson = move || state.with(|state| lesson(state.as_deref()));
    let facts = move || group.with(|group| group.as_ref().map(facts).unwrap_or_default());
    let readers = Memo::new(move |_| {
        session.view.with(|view| group.with(|group| group.as_ref().map(|it| readers(view, it)).unwrap_or_default()))
    });
    let members = Memo::new(move |_| {
        session.view.with(|view| group.with(|group| group.as_ref().map(|it| members(view, it)).unwrap_or_default()))
    });
    let offsets = Memo::new(move |_| group.with(|group| group.as_ref().map_or(Vec::new(), |it| it.offsets.clone())));
    let tile = |tile: Tile| {
        let title = match tile.reader.is_empty() {
            true => format!("{}: nobody reads it", tile.partition),
            false => format!("{}: {} reads it", tile.partition, tile.reader),
        };
        let reader = if tile.reader.is_empty() { "nobody".to_owned() } else { tile.reader.clone() };
        view! {
            <li class:nobody={tile.reader.is_empty()} style=tile.hue title=title>
                <span>{tile.partition}</span><b>{reader}</b>
            </li>
        }
    };
    let member = move |(name, doing, owns): (String, String, String)| {
        let target = Target::Consumer { name: name.clone() };
        let hold = move |_| session.held.set(Some(target.clone()));
        view! {
            <li>
                <button title="Show this consumer" on:click=hold>{name}</button>
                <span class="owns">{owns}{(!doing.is_empty()).then(|| view! { <em>{doing}</em> })}</span>
            </li>
        }
    };
    let offset = |committed: CommittedView| {
        let part = match committed.high_watermark {
            ..1 => 100.0,
            end => 100.0 * committed.offset as f64 / end as f64,
        };
        view! {
            <dt>{format!("{}-{}", committed.topic, committed.partition)}</dt>
            <dd title="the share of the log that is committed">
                {progress(&committed)}
                <div class="bar"><i style:width=format!("{part:.1}%")></i></div>
            </dd>
        }
    };
    view! {
        <h2>{id}" "<span class="state dim">{move || state.get().unwrap_or_else(|| "not there at this moment".to_owned())}</span></h2>
        <Steps way/>
        <p class="words">{lesson}</p>
        <Show when=move || !readers.with(Vec::is_empty)>
            <h3>"Who reads what now"</h3>
            <ul class="tiles">{move || readers.get().into_iter().take(TILES).map(tile).collect_view()}</ul>
            <p class="verdict" class:warn=move || readers.with(|readers| stand_still(readers) > 0)>
                {move || readers.with(|readers| verdict(readers))}
            </p>
        </Show>
        <h3>"Members"</h3>
        <Show when=move || members.with(Vec::is_empty)><p class="hint">"Nobody at this moment."</p></Show>
        <ul class="members">{move || members.get().into_iter().map(member).collect_view()}</ul>
        <Facts facts=Signal::derive(facts)/>
        <h3>"Committed, of what there is"</h3>
        <Show when=move || offsets.with(Vec::is_empty)>
            <p class="hint">"Nothing yet: whoever takes over now begins where auto.offset.reset says."</p>
        </Show>
        <dl class="facts">{move || offsets.get().into_iter().map(offset).collect_view()}</dl>
    }
}

/// A partition of the group's topics, and who reads it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tile {
    partition: String,
    /// Empty is nobody.
    reader: String,
    hue: String,
}

/// What the members themselves read at this moment; a live server knows only what it has given to them.
fn readers(view: &View, group: &GroupView) -> Vec<Tile> {
    let mut topics: VecSet<&str> = group.offsets.iter().map(|committed| &*committed.topic).collect();
    let mut reads: VecMap<(&str, i32), Vec<&str>> = VecMap::new();
    let consumers = view.consumers.iter().filter(|consumer| consumer.group.as_ref() == Some(&group.id));
    for consumer in consumers.filter(|consumer| consumer.health != Health::Dead) {
        topics.extend(consumer.topics.iter().map(|topic| &**topic));
        for position in consumer.positions.iter().filter(|_| !is_live(view)) {
            reads.entry((&*position.topic, position.partition)).or_default().push(&consumer.name);
        }
    }
    for member in &group.members {
        topics.extend(member.assigned.iter().map(|(topic, _)| &**topic));
        for (topic, partition) in member.assigned.iter().filter(|_| is_live(view)) {
            reads.entry((&**topic, *partition)).or_default().push(name_of(view, group, member));
        }
    }
    let topics = view.topics.iter().filter(|topic| topics.contains(&*topic.name));
    topics
        .flat_map(|topic| (0..topic.partitions as i32).map(move |partition| (&*topic.name, partition)))
        .map(|(topic, partition)| Tile {
            partition: format!("{topic}-{partition}"),
            reader: reads.get(&(topic, partition)).map(|readers| readers.join(", ")).unwrap_or_default(),
            hue: hue_of(view, topic),
        })
        .collect()
}

fn stand_still(tiles: &[Tile]) -> usize {
    tiles.iter().filter(|tile| tile.reader.is_empty()).count()
}

fn verdict(tiles: &[Tile]) -> String {
    let more = if tiles.len() > TILES { format!(" {} are not shown.", tiles.len() - TILES) } else { String::new() };
    match (stand_still(tiles), tiles.len()) {
        (0, 1) => "It is read.".to_owned(),
        (1, 1) => "It stands still: nobody reads it.".to_owned(),
        (0, all) => format!("All {all} are read.{more}"),
        (still, all) if still == all => format!("All {all} stand still: nobody reads.{more}"),
        (1, all) => format!("1 of {all} stands still.{more}"),
        (still, all) => format!("{still} of {all} stand still.{more}"),
    }
}

/// The consumer that a member is. Its group knows its client.id, which is its name unless it is set.
fn consumer_of<'a>(view: &'a View, group: &GroupView, member: &MemberView) -> Option<&'a ConsumerView> {
    let same =
        |consumer: &&ConsumerView| consumer.group.as_ref() == Some(&group.id) && consumer.client_id == member.client_id;
    view.consumers.iter().find(same)
}

fn name_of<'a>(view: &'a View, group: &GroupView, member: &'a MemberView) -> &'a str {
    consumer_of(view, group, member).map_or(&member.client_id, |consumer| &consumer.name)
}

/// By name: what it is doing about the rebalance, if there is one, and what it owns.
fn members(view: &View, group: &GroupView) -> Vec<(String, String, String)> {
    let doing = |member: &MemberView| {
        let own = consumer_of(view, group, member).map(|consumer| &*consumer.membership);
        match (group.kind.as_str(), group.state.as_str()) {
            ("classic", "PreparingRebalance") if member.joined => "has joined again, waits for the others".to_owned(),
            ("classic", "PreparingRebalance") if own == Some("stable") => {
                "has not heard of it: its next Heartbeat tells it".to_owned()
            }
            ("classic", "PreparingRebalance") => own.unwrap_or("has not joined yet").to_owned(),
            ("classic", "CompletingRebalance") => own.unwrap_or_default().to_owned(),
            ("consumer", _) if member.epoch != group.epoch => {
                format!("is at epoch {} of {}", member.epoch, group.epoch)
            }
            _ => String::new(),
        }
    };
    let shown = |member| (name_of(view, group, member).to_owned(), doing(member), owns(member, &group.state));
    group.members.iter().map(shown).collect()
}

/// Where in a rebalance it is.
fn way(group: &GroupView) -> Option<Way> {
    // Nobody hands anything over in a share group.
    if group.kind == "share" {
        return None;
    }
    let classic = group.kind == "classic";
    let at = match group.state.as_str() {
        "PreparingRebalance" | "Assigning" => 1,
        "CompletingRebalance" | "Reconciling" => 2,
        "Stable" => 3,
        _ => return None,
    };
    let steps: &'static [&'static str] = match classic {
        true => &["change", "all join", "leader assigns", "reading"],
        false => &["change", "assign", "hand over", "reading"],
    };
    Some(Way { steps, at })
}

fn facts(group: &GroupView) -> Vec<(&'static str, String)> {
    let (protocol, epoch) = match group.kind.as_str() {
        "consumer" => ("consumer (KIP-848): the coordinator assigns", "group epoch"),
        "share" => ("share (KIP-932): members share partitions", "group epoch"),
        _ => ("classic: a member assigns, as leader", "generation"),
    };
    let mut facts = vec![
        ("coordinator", BrokerId(group.coordinator).to_string()),
        ("protocol", protocol.to_owned()),
        (epoch, group.epoch.to_string()),
        ("lag", format!("{} records", number(group.lag as i64))),
    ];
    if !group.protocol.is_empty() {
        facts.insert(2, ("assignor", group.protocol.clone()));
    }
    facts
}

/// `orders-0, orders-2`, and whether it is static.
fn owns(member: &MemberView, state: &str) -> String {
    let partitions: Vec<String> =
        member.assigned.iter().map(|(topic, partition)| format!("{topic}-{partition}")).collect();
    let partitions = match (partitions.is_empty(), state) {
        (false, _) => partitions.join(", "),
        (true, "PreparingRebalance" | "CompletingRebalance") => "is being decided anew".to_owned(),
        (true, _) => "nothing".to_owned(),
    };
    match &member.instance_id {
        Some(instance) => format!("{partitions} · static, {instance}"),
        None => partitions,
    }
}

fn progress(committed: &CommittedView) -> String {
    match (committed.high_watermark, committed.lag) {
        (-1, _) => format!("{}, and nobody leads", number(committed.offset)),
        (end, 0) => format!("{} of {}", number(committed.offset), number(end)),
        (end, lag) => format!("{} of {}, lag {}", number(committed.offset), number(end), number(lag as i64)),
    }
}

/// What goes on in that state, for someone who has not seen a rebalance.
fn lesson(state: Option<&str>) -> &'static str {
    match state {
        Some("Stable") => {
            "Every partition has one reader. Each member tells the coordinator again and again that it lives; when one joins, \
             leaves or falls silent for session.timeout.ms, the partitions are shared out anew."
        }
        Some("PreparingRebalance") => {
            "A rebalance has begun: somebody joined, left or fell silent. The coordinator waits until every member has joined \
             again. Members of the eager protocol have let go of all that they read and stand still meanwhile; cooperative \
             ones go on reading what they keep."
        }
        Some("CompletingRebalance") => {
            "All have joined. The leader among the members shares out the partitions; the others wait for the coordinator to \
             pass its answer on."
        }
        Some("Assigning") => "Its members changed, and the coordinator shares out the partitions anew.",
        Some("Reconciling") => {
            "The coordinator has shared out the partitions anew. Each member lets go of what it shall not read any more, says \
             so, and only then the next one gets it; whoever keeps its partitions goes on reading."
        }
        Some("Empty") => "It has no members. What it has committed stays, for offsets.retention.minutes.",
        Some("Dead") => "It is gone, with all that it had committed.",
        Some(_) => "",
        None => "There is no such group at this moment.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_rebalance_it_shows_who_still_reads_what() {
        use ottla_core::view::{ConsumerView, PositionView, TopicView};

        let position = |partition| PositionView { topic: "orders".into(), partition, offset: 7 };
        let consumer = |name: &str, partitions: &[i32]| ConsumerView {
            name: name.into(),
            group: Some("shop".into()),
            topics: vec!["orders".into()],
            positions: partitions.iter().map(|partition| position(*partition)).collect(),
            ..Default::default()
        };
        let view = View {
            seed: Some(1),
            topics: vec![TopicView { name: "orders".into(), partitions: 3, ..Default::default() }],
            consumers: vec![consumer("c1", &[0]), consumer("c2", &[2])],
            ..Default::default()
        };
        let group = GroupView { id: "shop".into(), ..Default::default() };
        let tiles = readers(&view, &group);
        assert_eq!(tiles.iter().map(|tile| &*tile.reader).collect::<Vec<_>>(), ["c1", "", "c2"]);
        assert_eq!(verdict(&tiles), "1 of 3 stands still.");

        let mut renamed = consumer("c1", &[]);
        renamed.client_id = "till".into();
        let view = View { consumers: vec![consumer("c2", &[]), renamed], ..view };
        let member = |client_id: &str| MemberView { client_id: client_id.into(), ..Default::default() };
        assert_eq!(name_of(&view, &group, &member("till")), "c1");
        assert_eq!(name_of(&view, &group, &member("elsewhere")), "elsewhere");
    }

    #[test]
    fn a_member_says_what_it_reads_and_an_offset_how_far_it_is() {
        let mut member =
            MemberView { assigned: vec![("orders".into(), 0), ("orders".into(), 2)], ..Default::default() };
        assert_eq!(owns(&member, "Stable"), "orders-0, orders-2");
        (member.assigned, member.instance_id) = (Vec::new(), Some("till-3".into()));
        assert_eq!(owns(&member, "Stable"), "nothing · static, till-3");
        assert_eq!(owns(&member, "PreparingRebalance"), "is being decided anew · static, till-3");
        let committed = CommittedView { offset: 7, high_watermark: 12, lag: 5, ..Default::default() };
        assert_eq!(progress(&committed), "7 of 12, lag 5");
        assert_eq!(progress(&CommittedView { high_watermark: -1, ..committed }), "7, and nobody leads");
    }
}
