//! A record batch: its header as words, its records, its bytes.

use leptos::prelude::*;
use ottla_core::view::{BatchDetail, HeaderField, RecordView};

const ROW: usize = 8;

#[component]
fn Title(batch: BatchDetail) -> impl IntoView {
    let place = match batch.at {
        Some((segment, position)) => format!("segment {segment:020}.log, byte {position}"),
        None => "on its way: not in a log yet".to_string(),
    };
    let offsets = match batch.at {
        Some(_) if batch.base_offset == batch.last_offset => format!("@ {}", batch.base_offset),
        Some(_) => format!("@ {}…{}", batch.base_offset, batch.last_offset),
        None => String::new(),
    };
    view! {
        <h2>{format!("{}-{}", batch.topic, batch.partition)}" "<span class="mono dim">{offsets}</span></h2>
        <p class="mono">{format!("{place} · {} B", batch.size)}</p>
        {batch.broken.map(|why| view! { <p class="level-bad">{why}</p> })}
    }
}

/// The header's fields: name, value, and which bytes hold it.
#[component]
pub fn BatchFields(batch: BatchDetail) -> impl IntoView {
    let rows = batch.header.clone().into_iter().map(|field| {
        let bytes = format!("bytes {}…{}", field.at, (field.at + field.len).saturating_sub(1));
        view! { <dt title=bytes.clone()>{field.name}</dt><dd title=bytes class="mono">{field.value}</dd> }
    });
    view! {
        <Title batch=batch.clone()/>
        <dl class="facts header">{rows.collect_view()}</dl>
    }
}

#[component]
pub fn BatchRecords(batch: BatchDetail) -> impl IntoView {
    let records = batch.records.clone().into_iter().map(record);
    view! {
        <Title batch=batch.clone()/>
        {records.collect_view()}
    }
}

fn record(record: RecordView) -> impl IntoView {
    let null = || "null".to_string();
    let headers = record.headers.into_iter().map(|(name, value)| {
        view! { <dt>"header "{name}</dt><dd class="mono">{value.unwrap_or_else(null)}</dd> }
    });
    view! {
        <div class="record">
            <b>"offset "{record.offset}</b>
            <dl class="facts">
                <dt>"key"</dt><dd class="mono">{record.key.unwrap_or_else(null)}</dd>
                {read(record.key_read)}
                <dt>"value"</dt><dd class="mono">{record.value.unwrap_or_else(null)}</dd>
                {read(record.value_read)}
                <dt>"timestamp"</dt><dd class="mono">{record.timestamp}</dd>
                {headers.collect_view()}
            </dl>
        </div>
    }
}

/// What the classes that clients name make of the bytes.
fn read(classes: Vec<(String, String)>) -> impl IntoView {
    let row = |(class, read): (String, String)| view! { <dt class="dim">{class}</dt><dd class="mono">{read}</dd> };
    classes.into_iter().map(row).collect_view()
}

/// As wide as those of a whole row, so that they stand below one another.
fn letters(bytes: &[u8]) -> String {
    let letter = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '·' };
    let letters: String = bytes.iter().map(letter).collect();
    format!("{letters:ROW$}")
}

/// The bytes as they are in the log; a header field and its bytes light up together.
#[component]
pub fn BatchBytes(batch: BatchDetail) -> impl IntoView {
    let lit = RwSignal::new(None::<usize>);
    let fields = StoredValue::new(batch.header.clone());
    let which = move || match lit.get().and_then(|index| fields.with_value(|fields| fields.get(index).cloned())) {
        Some(field) => view! { <b>{field.name}</b>" "<span class="mono">{field.value}</span> }.into_any(),
        None => "Point at a byte of the header, or at a name below.".into_any(),
    };
    let rows = batch.bytes.chunks(ROW).enumerate().map(|(row, bytes)| {
        let at = row * ROW;
        view! {
            <div class="row">
                <i>{format!("{at:04x}")}</i>
                <span>{pieces(&batch.header, at, bytes, lit)}</span>
                <u>{letters(bytes)}</u>
            </div>
        }
    });
    let names = batch.header.iter().cloned().enumerate().map(|(index, field)| {
        view! {
            <div class="field-row" class:lit=move || lit.get() == Some(index)
                on:pointerenter=move |_| lit.set(Some(index)) on:pointerleave=move |_| lit.set(None)>
                <dt>{field.name}</dt><dd class="mono">{field.value}</dd>
            </div>
        }
    });
    let shown = batch.bytes.len();
    let rest = (shown < batch.size as usize)
        .then(|| view! { <p class="dim">{format!("and {} bytes more", batch.size as usize - shown)}</p> });
    view! {
        <Title batch=batch.clone()/>
        <div class="which">{which}</div>
        <div class="hex">{rows.collect_view()}</div>
        {rest}
        <h3>"Header"</h3>
        <dl class="facts header">{names.collect_view()}</dl>
    }
}

/// A row of bytes, cut where header fields begin and end.
fn pieces(header: &[HeaderField], at: usize, bytes: &[u8], lit: RwSignal<Option<usize>>) -> Vec<AnyView> {
    let owner =
        |at: usize| header.iter().position(|field| (field.at as usize..(field.at + field.len) as usize).contains(&at));
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let field = owner(at + from);
        let to = (from + 1..bytes.len()).find(|to| owner(at + to) != field).unwrap_or(bytes.len());
        let text = bytes[from..to].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        pieces.push(match field {
            Some(index) => view! {
                <span class="h" class:odd=index % 2 == 1 class:lit=move || lit.get() == Some(index)
                    on:pointerenter=move |_| lit.set(Some(index)) on:pointerleave=move |_| lit.set(None)>{text}</span>
            }
            .into_any(),
            None => text.into_any(),
        });
        pieces.push(" ".into_any());
        from = to;
    }
    pieces
}
