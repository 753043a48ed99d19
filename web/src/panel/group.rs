//! A group of consumers, as its coordinator knows it: who is a member, who reads what, what is committed, and in words what
//! the state it is in means.

use leptos::prelude::*;
use ottla_core::id::BrokerId;
use ottla_core::view::{CommittedView, GroupView, MemberView, Target};

use crate::panel::node::Facts;
use crate::scene::words::number;
use crate::store::Session;

#[component]
pub fn Group(id: String) -> impl IntoView {
    let session = Session::get();
    let ids = StoredValue::new(id.clone());
    let group = Memo::new(move |_| {
        session.view.with(|view| view.groups.iter().find(|group| ids.with_value(|id| group.id == *id)).cloned())
    });
    let state = Memo::new(move |_| group.with(|group| group.as_ref().map(|group| group.state.clone())));
    let lesson = move || state.with(|state| lesson(state.as_deref()));
    let facts = move || group.with(|group| group.as_ref().map(facts).unwrap_or_default());
    let members = Memo::new(move |_| group.with(|group| group.as_ref().map_or(Vec::new(), |it| it.members.clone())));
    let offsets = Memo::new(move |_| group.with(|group| group.as_ref().map_or(Vec::new(), |it| it.offsets.clone())));
    let member = move |member: MemberView| {
        let name = member.client_id.clone();
        let hold = move |_| session.held.set(Some(Target::Consumer { name: name.clone() }));
        view! {
            <li>
                <button title="Show this consumer" on:click=hold>{member.client_id.clone()}</button>
                <span class="owns">{owns(&member)}</span>
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
        <p class="hint">{lesson}</p>
        <Facts facts=Signal::derive(facts)/>
        <h3>"Members, and what each reads"</h3>
        <Show when=move || members.with(Vec::is_empty)><p class="hint">"Nobody at this moment."</p></Show>
        <ul class="members">{move || members.get().into_iter().map(member).collect_view()}</ul>
        <h3>"Committed, of what there is"</h3>
        <Show when=move || offsets.with(Vec::is_empty)>
            <p class="hint">"Nothing yet: whoever takes over now begins where auto.offset.reset says."</p>
        </Show>
        <dl class="facts">{move || offsets.get().into_iter().map(offset).collect_view()}</dl>
    }
}

fn facts(group: &GroupView) -> Vec<(&'static str, String)> {
    let (protocol, epoch) = match group.kind.as_str() {
        "consumer" => ("consumer (KIP-848): the coordinator assigns", "group epoch"),
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

/// `orders-0, orders-2`, with what is said of a member that is behind its group.
fn owns(member: &MemberView) -> String {
    let partitions: Vec<String> =
        member.assigned.iter().map(|(topic, partition)| format!("{topic}-{partition}")).collect();
    let partitions = if partitions.is_empty() { "nothing".to_owned() } else { partitions.join(", ") };
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
    fn a_member_says_what_it_reads_and_an_offset_how_far_it_is() {
        let mut member =
            MemberView { assigned: vec![("orders".into(), 0), ("orders".into(), 2)], ..Default::default() };
        assert_eq!(owns(&member), "orders-0, orders-2");
        (member.assigned, member.instance_id) = (Vec::new(), Some("till-3".into()));
        assert_eq!(owns(&member), "nothing · static, till-3");
        let committed = CommittedView { offset: 7, high_watermark: 12, lag: 5, ..Default::default() };
        assert_eq!(progress(&committed), "7 of 12, lag 5");
        assert_eq!(progress(&CommittedView { high_watermark: -1, ..committed }), "7, and nobody leads");
    }
}
