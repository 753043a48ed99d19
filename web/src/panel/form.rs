//! Forms: one chosen record, a producer, a consumer, a topic. Each says the line of scenario text that it is.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use ottla_core::client::SendRecord;
use ottla_core::client::admin::Errand;
use ottla_core::sim::scenario::{Action, is_name, parse, topic_name};
use ottla_core::vec_map::VecMap;
use wasm_bindgen::JsCast;
use web_sys::HtmlInputElement;

use crate::browser;
use crate::store::{Form, Session};

#[component]
pub fn FormView(form: Form) -> impl IntoView {
    match form {
        Form::Send { topic, partition } => view! { <Send topic partition/> }.into_any(),
        Form::Producer => view! { <Producer/> }.into_any(),
        Form::Consumer => view! { <Consumer/> }.into_any(),
        Form::Topic => view! { <Topic/> }.into_any(),
    }
}

/// A form: its fields, the line that they amount to, why it is refused if it is, and the button that does it, as Enter in
/// a field does.
#[component]
fn Filled(
    title: &'static str,
    action: Signal<Result<Action, String>>,
    name: &'static str,
    children: Children,
) -> impl IntoView {
    let session = Session::get();
    let own = NodeRef::<leptos::html::Form>::new();
    let checked = Memo::new(move |_| {
        action.get().and_then(|action| {
            let line = action.to_string();
            parse::action(&line).map(|_| line).map_err(|error| error.message)
        })
    });
    let act = move |event: SubmitEvent| {
        event.prevent_default();
        if let Ok(action) = action.get_untracked()
            && checked.get_untracked().is_ok()
        {
            session.act(action);
        }
    };
    Effect::new(move |_| {
        // A phone would put its keyboard over the form at once.
        let own = own.get().filter(|_| !browser::is_phone());
        let first = own.and_then(|own| own.query_selector("input, select").ok().flatten());
        if let Some(first) = first.and_then(|first| first.dyn_into::<HtmlInputElement>().ok()) {
            let _ = first.focus();
            first.select();
        }
    });
    view! {
        <form node_ref=own on:submit=act>
            <h2>{title}</h2>
            {children()}
            {move || match checked.get() {
                Ok(line) => view! { <div class="says">{line}</div> }.into_any(),
                Err(why) => view! { <div class="refused" role="alert">{why}</div> }.into_any(),
            }}
            <div class="actions">
                <button class="main do" disabled=move || checked.with(Result::is_err)>{name}</button>
                <button type="button" on:click=move |_| session.form.set(None)>"Cancel"</button>
            </div>
        </form>
    }
}

#[component]
fn Field(name: &'static str, value: RwSignal<String>, #[prop(optional)] hint: &'static str) -> impl IntoView {
    view! {
        <label>{name}
            <input name=name.replace(' ', "-") placeholder=hint autocomplete="off" spellcheck="false" prop:value=move || value.get()
                on:input=move |event| value.set(event_target_value(&event))/>
        </label>
    }
}

/// The topics there are; one may also write another name.
#[component]
fn TopicField(value: RwSignal<String>) -> impl IntoView {
    let session = Session::get();
    let topics = Memo::new(move |_| {
        session.view.with(|view| view.topics.iter().map(|topic| topic.name.clone()).collect::<Vec<_>>())
    });
    view! {
        <label>"topic"
            <input name="topic" list="topics" autocomplete="off" spellcheck="false" prop:value=move || value.get()
                on:input=move |event| value.set(event_target_value(&event))/>
            <datalist id="topics">{move || topics.get().into_iter().map(|topic| view! { <option value=topic></option> }).collect_view()}</datalist>
        </label>
    }
}

fn first_topic(session: Session) -> String {
    session.view.with_untracked(|view| view.topics.first().map(|topic| topic.name.clone()).unwrap_or_default())
}

/// An empty field is left out.
fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("{name}: “{text}” is not a whole number")),
    }
}

fn needed(field: &str, text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err(format!("{field}: give it a name")),
        text => Ok(text.to_string()),
    }
}

/// The name of a topic. What Kafka would refuse is refused here, where it is known which field is wrong.
fn topic_named(field: &str, text: &str) -> Result<String, String> {
    let name = needed(field, text)?;
    topic_name(&name).map_err(|_| {
        format!(
            "{field}: “{name}” cannot be a topic’s name: Kafka takes a–z, A–Z, 0–9, ., _ and -, at most 249 of them"
        )
    })?;
    Ok(name)
}

/// Topics with commas between them.
fn topics_named(field: &str, text: &str) -> Result<Vec<String>, String> {
    needed(field, text)?.split(',').map(|each| topic_named(field, each)).collect()
}

fn client_named(field: &str, text: &str) -> Result<String, String> {
    let name = needed(field, text)?;
    match is_name(&name) {
        true => Ok(name),
        false => Err(format!(
            "{field}: “{name}” cannot be a name: it may have a–z, A–Z, 0–9, ., _ and -, at most 64 of them"
        )),
    }
}

/// Records a second.
fn per_second(field: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(rate) if rate >= 0.0 && rate.is_finite() => Ok(format!("{text}/s")),
        _ => Err(format!("{field}: “{text}” is not a number")),
    }
}

#[component]
fn Send(topic: Option<String>, partition: Option<i32>) -> impl IntoView {
    let session = Session::get();
    let topic = RwSignal::new(topic.unwrap_or_else(|| first_topic(session)));
    let partition = RwSignal::new(partition.map(|partition| partition.to_string()).unwrap_or_default());
    let key = RwSignal::new(String::new());
    let value = RwSignal::new("hello".to_string());
    let timestamp = RwSignal::new(String::new());
    let headers = RwSignal::new(Vec::<(RwSignal<String>, RwSignal<String>)>::new());
    let action = Signal::derive(move || {
        let text = |text: String| (!text.is_empty()).then(|| text.into_bytes());
        let headers = headers.get().into_iter().map(|(name, value)| (name.get(), text(value.get())));
        let record = SendRecord {
            topic: topic_named("topic", &topic.get())?,
            partition: number("partition", &partition.get())?,
            key: text(key.get()),
            value: text(value.get()),
            headers: headers.filter(|(name, _)| !name.is_empty()).collect(),
            timestamp: number("timestamp", &timestamp.get())?,
        };
        Ok(Action::Send { by: None, record })
    });
    // Said, not refused: to see what becomes of such a record is what a cluster of one's own is for.
    let beyond = Memo::new(move |_| {
        let partition = partition.get().trim().parse::<u32>().ok()?;
        let topic = topic.get();
        let partitions = session
            .view
            .with(|view| view.topics.iter().find(|known| known.name == topic.trim()).map(|known| known.partitions))?;
        let has = if partitions == 1 {
            "only partition 0".to_string()
        } else {
            format!("partitions 0 to {}", partitions - 1)
        };
        (partition >= partitions)
            .then(|| format!("{} has {has}: a producer waits for {partition} until it gives up.", topic.trim()))
    });
    let header = move |(name, value): (RwSignal<String>, RwSignal<String>)| {
        view! {
            <div class="header-row">
                <input aria-label="Header’s name" placeholder="name" prop:value=move || name.get() on:input=move |event| name.set(event_target_value(&event))/>
                <input aria-label="Header’s value" placeholder="null" prop:value=move || value.get() on:input=move |event| value.set(event_target_value(&event))/>
                <button type="button" class="plain" title="Take it away" on:click=move |_| headers.update(|headers| headers.retain(|(each, _)| *each != name))>"✕"</button>
            </div>
        }
    };
    view! {
        <Filled title="One record" action name="Send">
            <div class="pair">
                <TopicField value=topic/>
                <Field name="partition" value=partition hint="by the key"/>
            </div>
            <Field name="key" value=key hint="null"/>
            <Field name="value" value=value hint="null: a tombstone"/>
            <div>
                {move || headers.get().into_iter().map(header).collect_view()}
                <button type="button" class="add-header" on:click=move |_| headers.update(|headers| headers.push(Default::default()))>"+ header"</button>
            </div>
            <Field name="timestamp" value=timestamp hint="ms since 1970; now"/>
            {move || beyond.get().map(|words| view! { <div class="warned" role="status">{words}</div> })}
        </Filled>
    }
}

#[component]
fn Producer() -> impl IntoView {
    let session = Session::get();
    let name = RwSignal::new(session.free_name('p'));
    let topic = RwSignal::new(first_topic(session));
    let rate = RwSignal::new("5".to_string());
    let acks = RwSignal::new("all".to_string());
    let linger = RwSignal::new(String::new());
    let keys = RwSignal::new(String::new());
    let action = Signal::derive(move || {
        let rate = per_second("records a second", &rate.get())?;
        let mut settings = VecMap::from([("rate".to_string(), rate), ("acks".to_string(), acks.get())]);
        for (key, value) in [("linger.ms", linger.get()), ("keys", keys.get())] {
            if !value.trim().is_empty() {
                settings.insert(key.to_string(), value.trim().to_string());
            }
        }
        Ok(Action::Producer {
            name: client_named("name", &name.get())?,
            topics: topics_named("topic", &topic.get())?,
            settings,
        })
    });
    view! {
        <Filled title="A producer" action name="Add">
            <div class="pair"><Field name="name" value=name/><TopicField value=topic/></div>
            <div class="pair">
                <Field name="records a second" value=rate/>
                <label>"acks"
                    <select name="acks" on:change=move |event| acks.set(event_target_value(&event))>
                        <option value="all">"all"</option><option value="1">"1"</option><option value="0">"0"</option>
                    </select>
                </label>
            </div>
            <div class="pair"><Field name="linger.ms" value=linger hint="5"/><Field name="keys" value=keys hint="none"/></div>
        </Filled>
    }
}

#[component]
fn Consumer() -> impl IntoView {
    let session = Session::get();
    let name = RwSignal::new(session.free_name('c'));
    let topic = RwSignal::new(first_topic(session));
    let group = RwSignal::new(String::new());
    let reset = RwSignal::new("earliest".to_string());
    let action = Signal::derive(move || {
        Ok(Action::Consumer {
            name: client_named("name", &name.get())?,
            topics: topics_named("topic", &topic.get())?,
            settings: [("auto.offset.reset", reset.get()), ("group.id", group.get().trim().to_string())]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_string(), value))
                .collect(),
        })
    });
    view! {
        <Filled title="A consumer" action name="Add">
            <div class="pair"><Field name="name" value=name/><TopicField value=topic/></div>
            <Field name="group.id" value=group hint="none: it reads every partition"/>
            <label>"auto.offset.reset"
                <select name="reset" on:change=move |event| reset.set(event_target_value(&event))>
                    <option value="earliest">"earliest"</option><option value="latest">"latest"</option>
                </select>
            </label>
        </Filled>
    }
}

#[component]
fn Topic() -> impl IntoView {
    let name = RwSignal::new("clicks".to_string());
    let partitions = RwSignal::new("3".to_string());
    let brokers = Session::get().view.with_untracked(|view| view.brokers.len());
    let factor = RwSignal::new(brokers.clamp(1, 3).to_string());
    let config = RwSignal::new(String::new());
    let action = Signal::derive(move || {
        let configs = config
            .get()
            .split_whitespace()
            .map(|pair| {
                let (name, value) =
                    pair.split_once('=').ok_or_else(|| format!("configs: “{pair}” is not of the form name=value"))?;
                Ok((name.to_string(), value.to_string()))
            })
            .collect::<Result<_, String>>()?;
        Ok(Action::Errand(Errand::Create {
            topic: topic_named("name", &name.get())?,
            partitions: number("partitions", &partitions.get())?.unwrap_or(1),
            replication_factor: number("replication.factor", &factor.get())?.unwrap_or(1),
            configs,
        }))
    });
    view! {
        <Filled title="A topic" action name="Add">
            <Field name="name" value=name/>
            <div class="pair"><Field name="partitions" value=partitions/><Field name="replication.factor" value=factor/></div>
            <Field name="configs" value=config hint="retention.ms=60000 …"/>
        </Filled>
    }
}
