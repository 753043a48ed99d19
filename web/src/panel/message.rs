//! A message: who says what to whom, and the real fields of the request or response.

use leptos::prelude::*;
use ottla_core::time::{Duration, Instant};
use ottla_core::view::{MessageDetail, MessageView, Passed};

use crate::store::{Session, clock_words};

#[component]
pub fn MessageFields(message: MessageDetail) -> impl IntoView {
    let MessageDetail { message, api, version, correlation_id, client_id, fields, passed, .. } = message;
    let kind = if message.response { "response" } else { "request" };
    view! {
        <h2>{api.clone()}" "<span class="dim">{kind}</span></h2>
        <div class="route">
            <b>{message.from.clone()}</b>" → "<b>{message.to.clone()}</b>
            {passed.is_none().then(|| view! { <OnItsWay arrives=message.arrives/> })}
        </div>
        <div class="line">{message.line.clone()}</div>
        <dl class="facts">
            <dt>"API"</dt><dd>{api}</dd>
            <dt>"version"</dt><dd>{version}</dd>
            <dt>"correlation id"</dt><dd>{correlation_id}</dd>
            <dt>"client.id"</dt><dd>{client_id.filter(|id| !id.is_empty()).unwrap_or_else(|| "none".to_string())}</dd>
            {times(&message, passed).into_iter().map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> }).collect_view()}
        </dl>
        <h3>{format!("Fields of the {kind}")}</h3>
        <pre class="fields">{fields}</pre>
    }
}

#[component]
fn OnItsWay(arrives: Instant) -> impl IntoView {
    let session = Session::get();
    let still = Memo::new(move |_| session.view.with(|view| view.now < arrives));
    view! {
        <span class="state" class:dim=move || !still.get()>{move || if still.get() { "on its way" } else { "arrived" }}</span>
    }
}

/// A simulated message has a way; what a live server knows is when it read the request and when it had answered.
fn times(message: &MessageView, passed: Option<Passed>) -> Vec<(&'static str, String)> {
    let millis = |span: Duration| format!("{:.3} ms", span.as_secs_f64() * 1e3);
    match passed {
        None => vec![
            ("departed", clock_words(message.departed)),
            ("arrives", clock_words(message.arrives)),
            ("on its way for", millis(message.arrives.since(message.departed))),
        ],
        Some(Passed { read, answered }) => vec![
            ("request read", clock_words(read)),
            ("answered", answered.map_or_else(|| "not yet".to_string(), clock_words)),
            ("answered after", answered.map_or_else(|| "no answer so far".to_string(), |at| millis(at.since(read)))),
        ],
    }
}
