//! The way of a record through a producer, stage by stage: send(), serializer, partitioner, the batches that fill and wait
//! for each partition, and those that are on their way.

use leptos::prelude::*;
use ottla_core::view::{PendingView, ProducerView, QueueView, StagesView, View};

use crate::panel::node::bytes_words;
use crate::panel::producer::rate_words;
use crate::scene::{hue_of, words::number};
use crate::store::Session;

/// More partitions than that show only while something is in them.
const ROWS: usize = 12;

#[component]
pub fn Stages(producer: Memo<Option<ProducerView>>) -> impl IntoView {
    let session = Session::get();
    let stages = Memo::new(move |_| producer.with(|producer| producer.as_ref().and_then(|it| it.stages.clone())));
    let text = move |of: fn(&ProducerView, &StagesView) -> String| {
        Memo::new(move |_| {
            producer.with(|it| it.as_ref().and_then(|it| Some(of(it, it.stages.as_ref()?))).unwrap_or_default())
        })
    };
    let blocked = Memo::new(move |_| stages.with(|stages| stages.as_ref().and_then(|stages| stages.blocked.clone())));
    let send = text(|producer, stages| match &stages.blocked {
        Some(why) => format!("waits: {why}"),
        None => format!("{} records so far, {} a second", number(producer.sent as i64), rate_words(producer.rate)),
    });
    let partitioner = text(|_, stages| stages.partitioner.clone());
    let batches = text(|_, stages| {
        format!("leave when {} or {} ms old", bytes_words(u64::from(stages.batch_size)), stages.linger_ms)
    });
    let memory =
        text(|it, _| format!("{} of {} buffer.memory", bytes_words(it.buffered), bytes_words(it.buffer_memory)));
    let filled = Memo::new(move |_| {
        producer.with(|producer| {
            let filled = |it: &ProducerView| 100.0 * it.buffered as f64 / (it.buffer_memory as f64).max(1.0);
            format!("{:.1}%", producer.as_ref().map_or(0.0, filled))
        })
    });
    let ends = text(|it, _| {
        let retries = match it.retries {
            0 => String::new(),
            1 => ", 1 batch sent again".to_owned(),
            more => format!(", {} batches sent again", number(more as i64)),
        };
        format!("{} acknowledged, {} failed{retries}", number(it.acked as i64), number(it.failed as i64))
    });
    let rows = Memo::new(move |_| {
        session.view.with(|view| producer.with(|it| it.as_ref().map(|it| rows(view, it)).unwrap_or_default()))
    });
    let batch_size = Memo::new(move |_| stages.with(|stages| stages.as_ref().map_or(1, |stages| stages.batch_size)));
    view! {
        <Show when=move || stages.with(Option::is_some)>
            <ol class="stages">
                <li class:waits=move || blocked.with(Option::is_some)><b>"send()"</b><span>{move || send.get()}</span></li>
                <li><b>"serializer"</b><span>"key and value become bytes"</span></li>
                <li><b>"partitioner"</b><span>{move || partitioner.get()}</span></li>
                <li>
                    <b>"batches"</b><span>{move || batches.get()}</span>
                    <div class="queues">
                        <i></i><i>"wait"</i><i>"in flight"</i>
                        {move || rows.get().into_iter().map(|row| queue(row, batch_size.get())).collect_view()}
                    </div>
                    <div class="bar"><i style:width=move || filled.get()></i></div>
                    <span>{move || memory.get()}</span>
                </li>
                <li><b>"answer"</b><span>{move || ends.get()}</span></li>
            </ol>
        </Show>
    }
}

/// A row for each partition that it writes to, with something in it or not, so that none jumps.
fn rows(view: &View, producer: &ProducerView) -> Vec<(String, QueueView)> {
    let Some(stages) = &producer.stages else { return Vec::new() };
    let written: Vec<&str> = producer.topic.split(',').collect();
    let topics = view.topics.iter().filter(|topic| written.contains(&&*topic.name));
    let mut rows: Vec<QueueView> = topics
        .flat_map(|topic| (0..topic.partitions as i32).map(move |partition| (topic.name.clone(), partition)))
        .map(|(topic, partition)| QueueView { topic, partition, ..QueueView::default() })
        .collect();
    if rows.len() > ROWS {
        rows.clear();
    }
    for queue in &stages.queues {
        match rows.iter_mut().find(|row| (&row.topic, row.partition) == (&queue.topic, queue.partition)) {
            Some(row) => row.clone_from(queue),
            None => rows.push(queue.clone()),
        }
    }
    rows.truncate(ROWS);
    rows.into_iter().map(|row| (hue_of(view, &row.topic), row)).collect()
}

fn queue((hue, queue): (String, QueueView), batch_size: u32) -> impl IntoView {
    let waits = |batch: &PendingView| {
        let filled = 100.0 * f64::from(batch.bytes) / f64::from(batch_size.max(1));
        let again = if batch.attempts > 0 { ", to be sent again" } else { "" };
        let title = format!("{} records, {}{again}", batch.records, bytes_words(u64::from(batch.bytes)));
        view! {
            <u title=title class:again={batch.attempts > 0}><s style:height=format!("{:.0}%", filled.clamp(12.0, 100.0))></s></u>
        }
    };
    let flies = |batch: &PendingView| {
        let title = format!("{} records, {}", batch.records, bytes_words(u64::from(batch.bytes)));
        view! { <em title=title></em> }
    };
    let more = |all: u32, shown: usize| (all as usize > shown).then(|| format!("+{}", all as usize - shown));
    view! {
        <span class="mono">{format!("{}-{}", queue.topic, queue.partition)}</span>
        <span style=hue.clone()>{queue.batches.iter().map(waits).collect_view()}{more(queue.waiting, queue.batches.len())}</span>
        <span style=hue>{queue.flying.iter().map(flies).collect_view()}{more(queue.in_flight, queue.flying.len())}</span>
    }
}
