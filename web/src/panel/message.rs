//! A message: who says what to whom, and the real fields of the request or response.

use leptos::prelude::*;
use ottla_core::sim::view::MessageDetail;

use crate::store::{Session, clock_words};

#[component]
pub fn MessageFields(message: MessageDetail) -> impl IntoView {
    let session = Session::get();
    let MessageDetail { message, api, version, correlation_id, client_id, fields, .. } = message;
    let kind = if message.response { "response" } else { "request" };
    let took = message.arrives.since(message.departed);
    let arrives = message.arrives;
    let state = Memo::new(move |_| session.view.with(|view| view.now < arrives));
    view! {
        <h2>{api.clone()}" "<span class="dim">{kind}</span></h2>
        <div class="route">
            <b>{message.from.clone()}</b>" → "<b>{message.to.clone()}</b>
            <span class="state" class:dim=move || !state.get()>{move || if state.get() { "on its way" } else { "arrived" }}</span>
        </div>
        <div class="line">{message.line.clone()}</div>
        <dl class="facts">
            <dt>"API"</dt><dd>{api}</dd>
            <dt>"version"</dt><dd>{version}</dd>
            <dt>"correlation id"</dt><dd>{correlation_id}</dd>
            <dt>"client.id"</dt><dd>{client_id.unwrap_or_else(|| "none".to_string())}</dd>
            <dt>"departed"</dt><dd>{clock_words(message.departed)}</dd>
            <dt>"arrives"</dt><dd>{clock_words(arrives)}</dd>
            <dt>"on its way for"</dt><dd>{format!("{:.3} ms", took.as_secs_f64() * 1e3)}</dd>
        </dl>
        <h3>{format!("Fields of the {kind}")}</h3>
        <pre class="fields">{fields}</pre>
    }
}
