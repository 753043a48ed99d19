//! A transactional id: where its transaction stands, and in words what that means for who reads its partitions.

use leptos::prelude::*;
use ottla_core::id::BrokerId;
use ottla_core::view::{Target, TransactionView, View};

use crate::panel::node::Facts;
use crate::panel::steps::{Steps, Way};
use crate::scene::words::number;
use crate::store::Session;

#[component]
pub fn Transaction(id: String) -> impl IntoView {
    let state = Memo::new({
        let id = id.clone();
        let session = Session::get();
        move |_| session.view.with(|view| find(view, &id).map(|transaction| transaction.state.clone()))
    });
    let facts = {
        let (id, session) = (id.clone(), Session::get());
        move || session.view.with(|view| find(view, &id).map(facts).unwrap_or_default())
    };
    view! {
        <h2>{id.clone()}" "<span class="state dim">{move || state.get().unwrap_or_else(|| "not there at this moment".to_owned())}</span></h2>
        <Stand id/>
        <Facts facts=Signal::derive(facts)/>
    }
}

/// Where a transaction stands: the steps, the words, its partitions.
#[component]
pub fn Stand(id: String) -> impl IntoView {
    let session = Session::get();
    let id = StoredValue::new(id);
    let stand = Memo::new(move |_| session.view.with(|view| id.with_value(|id| Stage::of(view, id))));
    let way = Memo::new(move |_| {
        let begun = stand.get().filter(|stage| *stage != Stage::Empty);
        begun.map(|stage| Way { steps: &STEPS, at: stage.step() })
    });
    let partitions = Memo::new(move |_| {
        session.view.with(|view| id.with_value(|id| find(view, id).map(|it| stops(view, it)).unwrap_or_default()))
    });
    let partition = |(target, name, stops): (Option<Target>, String, String)| {
        let session = Session::get();
        let hold = move |_| session.held.set(target.clone());
        view! { <dt><button class="plain name" title="Show this partition" on:click=hold>{name}</button></dt><dd>{stops}</dd> }
    };
    view! {
        <Steps way/>
        <p class="words">{move || stand.get().map(Stage::lesson)}</p>
        <Show when=move || !partitions.with(Vec::is_empty)>
            <h3>"Where read_committed stops"</h3>
            <dl class="facts">{move || partitions.get().into_iter().map(partition).collect_view()}</dl>
        </Show>
    }
}

const STEPS: [&str; 4] = ["open", "decision", "markers", "done"];

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Empty,
    Open,
    /// The coordinator has been asked to end it and has not written down yet how.
    Deciding,
    Marking {
        commit: bool,
    },
    Done {
        commit: bool,
    },
}

impl Stage {
    fn of(view: &View, id: &str) -> Option<Stage> {
        let transaction = find(view, id)?;
        let asked = |producer: &ottla_core::view::ProducerView| {
            let identity = producer.identity.as_ref().filter(|it| it.transactional_id.as_deref() == Some(id));
            let ends = |state: &str| matches!(state, "COMMITTING_TRANSACTION" | "ABORTING_TRANSACTION");
            identity.is_some_and(|identity| ends(&identity.state))
        };
        Some(match transaction.state.as_str() {
            "Ongoing" if view.producers.iter().any(asked) => Stage::Deciding,
            "Ongoing" => Stage::Open,
            "PrepareCommit" => Stage::Marking { commit: true },
            "PrepareAbort" => Stage::Marking { commit: false },
            "CompleteCommit" => Stage::Done { commit: true },
            "CompleteAbort" => Stage::Done { commit: false },
            _ => Stage::Empty,
        })
    }

    fn step(self) -> usize {
        match self {
            Stage::Empty => STEPS.len(),
            Stage::Open => 0,
            Stage::Deciding => 1,
            Stage::Marking { .. } => 2,
            Stage::Done { .. } => 3,
        }
    }

    fn lesson(self) -> &'static str {
        match self {
            Stage::Empty => "It has a producer id and an epoch, and no transaction yet.",
            Stage::Open => {
                "A transaction is open. Its records are in the logs already, under a bracket on the stage. A read_committed \
                 consumer cannot know yet how it ends: it stops before the first of them, at the last stable offset."
            }
            Stage::Deciding => {
                "The producer has asked for the end. The coordinator writes its decision into __transaction_state: from \
                 then on it stands, whoever dies."
            }
            Stage::Marking { commit: true } => {
                "It is decided: commit. The coordinator has the leader of each partition write a marker; where that is, \
                 read_committed consumers go on and get the records."
            }
            Stage::Marking { commit: false } => {
                "It is decided: abort. The coordinator has the leader of each partition write a marker; where that is, \
                 read_committed consumers go on and leave the records out."
            }
            Stage::Done { commit: true } => {
                "The last one is committed: every partition has its marker, and everybody reads the records."
            }
            Stage::Done { commit: false } => {
                "The last one is aborted: its records stay in the logs, hollow on the stage. read_committed consumers \
                 leave them out; read_uncommitted ones get them, without a word."
            }
        }
    }
}

fn find<'a>(view: &'a View, id: &str) -> Option<&'a TransactionView> {
    view.transactions.iter().find(|transaction| transaction.id == id)
}

/// Of each partition in it: how far consumers read, by what its leader knows.
fn stops(view: &View, transaction: &TransactionView) -> Vec<(Option<Target>, String, String)> {
    let partition = |(topic, partition): &(String, i32)| {
        let led = view.brokers.iter().find_map(|broker| {
            let mine = |it: &&ottla_core::view::ReplicaView| it.topic == *topic && it.partition == *partition;
            broker.replicas.iter().find(|it| it.leader && mine(it)).map(|replica| (broker.id, replica))
        });
        let target = led.map(|(broker, _)| Target::Partition { broker, topic: topic.clone(), partition: *partition });
        let words = led.map_or_else(
            || "nobody leads it".to_owned(),
            |(_, replica)| format!("{} of {}", number(replica.stable), number(replica.high_watermark)),
        );
        (target, format!("{topic}-{partition}"), words)
    };
    transaction.partitions.iter().map(partition).collect()
}

fn facts(transaction: &TransactionView) -> Vec<(&'static str, String)> {
    vec![
        ("coordinator", BrokerId(transaction.coordinator).to_string()),
        ("producer id", transaction.producer_id.to_string()),
        ("epoch", transaction.producer_epoch.to_string()),
        ("transaction.timeout.ms", transaction.timeout_ms.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use ottla_core::view::{IdentityView, ProducerView};

    use super::*;

    #[test]
    fn the_decision_is_under_way_between_the_producers_wish_and_the_coordinators_record() {
        let transaction =
            |state: &str| TransactionView { id: "bank".into(), state: state.into(), ..Default::default() };
        let producer = |state: &str| {
            let identity =
                IdentityView { transactional_id: Some("bank".into()), state: state.into(), ..Default::default() };
            ProducerView { identity: Some(identity), ..Default::default() }
        };
        let stage = |own: &str, coordinators: &str| {
            let view = View {
                transactions: vec![transaction(coordinators)],
                producers: vec![producer(own)],
                ..Default::default()
            };
            Stage::of(&view, "bank")
        };
        assert_eq!(stage("IN_TRANSACTION", "Ongoing"), Some(Stage::Open));
        assert_eq!(stage("COMMITTING_TRANSACTION", "Ongoing"), Some(Stage::Deciding));
        assert_eq!(stage("READY", "PrepareCommit"), Some(Stage::Marking { commit: true }));
        assert_eq!(stage("IN_TRANSACTION", "CompleteAbort"), Some(Stage::Done { commit: false }));
        assert_eq!(Stage::of(&View::default(), "bank"), None);
    }
}
