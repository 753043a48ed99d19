//! A producer: how fast it writes, what it has in hand, who it is to brokers, and in words what its transaction is doing.

use leptos::prelude::*;
use ottla_core::sim::scenario::Action;
use ottla_core::view::{Health, IdentityView, ProducerView, TopicView, View};

use crate::panel::node::{Facts, Links, More, State};
use crate::panel::stages::Stages;
use crate::panel::transaction::Stand;
use crate::scene::words::{is_live, number};
use crate::store::{Form, Session, Source};

/// Records a second on a scale that is fine where it is low: 0, 0.1 … 1,000.
const RATE_STEPS: f64 = 40.0;

fn rate_of(step: f64) -> f64 {
    if step <= 0.0 { 0.0 } else { 10f64.powf(step / RATE_STEPS * 4.0 - 1.0) }
}

fn step_of(rate: f64) -> f64 {
    if rate < 0.1 { 0.0 } else { ((rate.log10() + 1.0) * RATE_STEPS / 4.0).clamp(0.0, RATE_STEPS) }
}

/// Two significant digits, as one says a rate.
pub fn rate_words(rate: f64) -> String {
    if rate >= 9.95 { format!("{rate:.0}") } else { format!("{rate:.1}").trim_end_matches(".0").to_string() }
}

#[component]
pub fn Producer(name: String) -> impl IntoView {
    let session = Session::get();
    let names = StoredValue::new(name.clone());
    let producer = Memo::new(move |_| {
        session.view.with(|view| {
            view.producers.iter().find(|producer| names.with_value(|name| producer.name == *name)).cloned()
        })
    });
    let health = Memo::new(move |_| producer.with(|producer| producer.as_ref().map(|producer| producer.health)));
    let live = Memo::new(move |_| session.view.with(|view| is_live(view)));
    let rate = Memo::new(move |_| producer.with(|producer| producer.as_ref().map_or(0.0, |producer| producer.rate)));
    // While the slider is dragged it shows where it would go.
    let wish = RwSignal::new(None::<f64>);
    let shown = move || wish.get().unwrap_or_else(|| rate.get());
    let change = move |_| {
        if let Some(rate) = wish.get_untracked() {
            wish.set(None);
            let milli_per_second = (rate_words(rate).parse::<f64>().unwrap_or(rate) * 1e3).round() as u64;
            session.act(Action::Rate { client: names.get_value(), milli_per_second });
        }
    };
    let facts = move || producer.with(|producer| producer.as_ref().map(live_facts).unwrap_or_default());
    let editable = Memo::new(move |_| {
        session.source.get() == Source::Simulated && health.get().is_some_and(|health| health != Health::Dead)
    });
    let identity =
        Memo::new(move |_| producer.with(|producer| producer.as_ref().and_then(|producer| producer.identity.clone())));
    let transactional = Memo::new(move |_| {
        identity.with(|identity| identity.as_ref().and_then(|identity| identity.transactional_id.clone()))
    });
    let risk = Memo::new(move |_| {
        session.view.with(|view| producer.with(|producer| producer.as_ref().and_then(|it| risk_of(view, it))))
    });
    let topic = Memo::new(move |_| producer.with(|producer| producer.as_ref().map(|producer| producer.topic.clone())));
    let send = move |_| session.fill_in(Form::Send { topic: topic.get_untracked(), partition: None });
    view! {
        <h2>{name}<State health=health/></h2>
        <p class="mono">{move || producer.with(|producer| producer.as_ref().map(|producer| producer.settings.clone()))}</p>
        <Show when=move || editable.get()>
            <label>
                {move || format!("{} records/s", rate_words(shown()))}
                <input class="rate" type="range" min="0" max=RATE_STEPS step="1" aria-label="Records a second"
                    prop:value=move || step_of(shown()).to_string()
                    on:input=move |event| wish.set(event_target_value(&event).parse().ok().map(rate_of))
                    on:change=change/>
            </label>
            <div class="actions">
                <button on:click=send>"Send one record…"</button>
                <button class="danger" title="It goes for good" on:click=move |_| session.act(Action::Stop(names.get_value()))>"Stop"</button>
            </div>
        </Show>
        {move || transactional.get().map(|id| view! { <h3>"Its transaction"</h3><Stand id/> })}
        <Stages producer/>
        <Show when=move || live.get()><Facts facts=Signal::derive(facts)/></Show>
        <Show when=move || identity.with(Option::is_some)>
            <h3>"Who it is to brokers"</h3>
            <p class="words">{move || if transactional.with(Option::is_some) { FENCES } else { IDEMPOTENT }}</p>
            <Facts facts=Signal::derive(move || identity.with(|it| it.as_ref().map(identity_facts).unwrap_or_default()))/>
            <Show when=move || risk.with(Option::is_some)>
                <ul class="faults"><li>{move || risk.get()}</li></ul>
            </Show>
        </Show>
        <Links name=names.get_value()/>
        <More/>
    }
}

/// What an id is for, for someone who has not seen one.
const IDEMPOTENT: &str = "Idempotent: every batch carries this id, the epoch and a sequence number, so a broker that gets one \
                          twice keeps it once.";
const FENCES: &str = "Whoever comes next with the same transactional.id gets a higher epoch, and this one is fenced.";

fn identity_facts(identity: &IdentityView) -> Vec<(&'static str, String)> {
    let id = if identity.producer_id < 0 { "none yet".to_owned() } else { identity.producer_id.to_string() };
    let mut facts = vec![("producer id", id), ("epoch", identity.producer_epoch.to_string())];
    if let Some(transactional_id) = &identity.transactional_id {
        facts.insert(0, ("transactional.id", transactional_id.clone()));
        if identity.state.is_empty() {
            return facts;
        }
        facts.push(("state", identity.state.clone()));
        let partitions =
            if identity.partitions.is_empty() { "none".to_owned() } else { identity.partitions.join(", ") };
        facts.push(("partitions in it", partitions));
        facts.push(("committed", number(identity.committed as i64)));
        facts.push(("aborted", number(identity.aborted as i64)));
    }
    facts
}

/// Where a transaction's records have fewer copies than it takes to survive one broker.
fn risk_of(view: &View, producer: &ProducerView) -> Option<String> {
    producer.identity.as_ref()?.transactional_id.as_ref()?;
    let written: Vec<&str> = producer.topic.split(',').collect();
    let topics =
        view.topics.iter().filter(|topic| written.contains(&&*topic.name) || topic.name == "__transaction_state");
    let few = |topic: &&TopicView| topic.replication_factor < 3 || topic.min_insync_replicas < 2;
    let few: Vec<&str> = topics.filter(few).map(|topic| &*topic.name).collect();
    let have = if few.len() == 1 { "has" } else { "have" };
    let words = "a replication factor below 3 or min.insync.replicas below 2: one broker that dies can take a committed \
                 transaction with it";
    (!few.is_empty()).then(|| format!("{} {have} {words}", few.join(", ")))
}

/// A server sees requests, not what a client makes of their answers.
fn live_facts(producer: &ProducerView) -> Vec<(&'static str, String)> {
    let mut facts =
        vec![("sent", number(producer.sent as i64)), ("requests in flight", producer.in_flight.to_string())];
    if !producer.topic.is_empty() {
        facts.insert(0, ("topic", producer.topic.clone()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_at_risk_where_its_topics_or_the_one_that_keeps_it_have_few_copies() {
        let told = |copies: [(u32, u32); 2], transactional_id: Option<&str>| {
            let topics = ["orders", "__transaction_state"].into_iter().zip(copies);
            let topics = topics.map(|(name, (replication_factor, min_insync_replicas))| TopicView {
                name: name.to_owned(),
                replication_factor,
                min_insync_replicas,
                ..TopicView::default()
            });
            let view = View { topics: topics.collect(), ..View::default() };
            let transactional_id = transactional_id.map(str::to_owned);
            let identity = Some(IdentityView { transactional_id, ..IdentityView::default() });
            let producer = ProducerView { topic: "orders".to_owned(), identity, ..ProducerView::default() };
            risk_of(&view, &producer).map(|words| words.split(" a replication").next().unwrap_or_default().to_owned())
        };
        assert_eq!(told([(3, 2), (3, 2)], Some("t")), None);
        assert_eq!(told([(1, 1), (1, 1)], None), None);
        assert_eq!(told([(3, 1), (3, 2)], Some("t")).as_deref(), Some("orders has"));
        assert_eq!(told([(2, 2), (3, 1)], Some("t")).as_deref(), Some("orders, __transaction_state have"));
    }
}
