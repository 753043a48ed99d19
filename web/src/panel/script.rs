//! The scenario as text: to read, to change, to run. Every mistake is told by line and column, and shown in its place.

use leptos::html::Textarea;
use leptos::prelude::*;
use ottla_core::sim::scenario::{ParseError, breaks, link, parse};
use ottla_core::time::Instant;

use crate::store::Session;

#[component]
pub fn Script() -> impl IntoView {
    let session = Session::get();
    let area = NodeRef::<Textarea>::new();
    let changed = Memo::new(move |_| session.text.with(|text| session.ran.with(|ran| text != ran)));
    let wrong =
        Memo::new(move |_| session.errors.with(|errors| errors.iter().map(|error| error.line).collect::<Vec<_>>()));
    let input = move |event| {
        let text = event_target_value(&event);
        session.errors.set(parse::scenario(&text).err().unwrap_or_default());
        session.text.set(text);
    };
    let numbers = move || {
        let lines = session.text.with(|text| text.split('\n').count());
        let wrong = wrong.get();
        (1..=lines).map(|number| view! { <span class:wrong=wrong.contains(&number)>{number}</span>"\n" }).collect_view()
    };
    let coloured = move || {
        session.text.with(|text| {
            session.errors.with(|errors| {
                text.split('\n').zip(1..).map(|(line, number)| line_view(line, number, errors)).collect_view()
            })
        })
    };
    let to = move |error: &ParseError| {
        let Some(area) = area.get_untracked() else { return };
        let at = session.text.with_untracked(|text| utf16_offset(text, error.line, error.column));
        let _ = area.focus();
        let _ = area.set_selection_range(at, at + 1);
    };
    let error = move |error: ParseError| {
        let place = format!("{}:{}", error.line, error.column);
        let message = error.message.clone();
        view! { <li><button on:click=move |_| to(&error)><b>{place}</b>" "{message}</button></li> }
    };
    view! {
        <div class="body editor-body">
            <div class="editor">
                <div class="numbers" aria-hidden="true">{numbers}</div>
                <div class="sheet">
                    <pre aria-hidden="true">{coloured}</pre>
                    <textarea node_ref=area aria-label="Scenario" spellcheck="false" autocapitalize="off" autocomplete="off" wrap="off"
                        prop:value=move || session.text.get()
                        on:input=input
                        on:keydown=move |event| if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
                            event.prevent_default();
                            run(session);
                        }></textarea>
                </div>
            </div>
            <div class="under">
                <Show when=move || session.errors.with(|errors| !errors.is_empty())>
                    <ul class="errors" role="alert">{move || session.errors.get().into_iter().map(error).collect_view()}</ul>
                </Show>
                <div class="row">
                    <button class="main run" disabled=move || session.errors.with(|errors| !errors.is_empty())
                        title="From the beginning (Ctrl Enter)" on:click=move |_| run(session)>"Run"</button>
                    <Show when=move || changed.get()>
                        <button on:click=move |_| { session.text.set(session.ran.get_untracked()); session.errors.set(Vec::new()) }>"Undo"</button>
                    </Show>
                    <span class="dim grow">{move || match (session.errors.with(Vec::len), changed.get()) {
                        (0, false) => "This text runs.".to_string(),
                        (0, true) => "Changed: run it to see.".to_string(),
                        (1, _) => "One line is wrong.".to_string(),
                        (wrong, _) => format!("{wrong} lines are wrong."),
                    }}</span>
                </div>
            </div>
        </div>
    }
}

fn run(session: Session) {
    let text = session.text.get_untracked();
    if session.open(&text, true) {
        session.remember(link::encode(&text, Instant::ZERO));
        session.notice.set(None);
    }
}

/// One line with its colours; from where it is wrong on, underlined.
fn line_view(line: &str, number: usize, errors: &[ParseError]) -> AnyView {
    let Some(error) = errors.iter().find(|error| error.line == number) else {
        return view! { {colour(line)}"\n" }.into_any();
    };
    let from = line.char_indices().nth(error.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let (right, wrong) = line.split_at(from);
    let word = wrong.find(char::is_whitespace).filter(|end| *end > 0).unwrap_or(wrong.len());
    let (wrong, rest) = wrong.split_at(word);
    let wrong = if wrong.is_empty() { " ".to_string() } else { wrong.to_string() };
    view! { {colour(right)}<span class="wavy">{wrong}</span>{rest.to_string()}"\n" }.into_any()
}

/// A line of a scenario: its time, its verb, its names of properties, its comment.
pub fn colour(line: &str) -> AnyView {
    if line.trim_start().starts_with('#') {
        return view! { <span class="c">{line.to_string()}</span> }.into_any();
    }
    let mut parts: Vec<AnyView> = Vec::new();
    let mut verb = true;
    for word in line.split_inclusive(' ') {
        let text = word.to_string();
        let bare = word.trim_end();
        if bare.is_empty() {
            parts.push(text.into_any());
        } else if verb && bare.starts_with('@') {
            parts.push(view! { <span class="a">{text}</span> }.into_any());
        } else if verb {
            verb = false;
            let class = if breaks(bare) { "f" } else { "k" };
            parts.push(view! { <span class=class>{text}</span> }.into_any());
        } else if let Some((name, value)) =
            word.split_once('=').filter(|(name, _)| !name.is_empty() && !name.starts_with('"'))
        {
            parts.push(view! { <span class="p">{format!("{name}=")}</span>{value.to_string()} }.into_any());
        } else {
            parts.push(text.into_any());
        }
    }
    parts.into_any()
}

/// Where a line and column (from 1, in characters) lie in a text as JavaScript counts.
fn utf16_offset(text: &str, line: usize, column: usize) -> u32 {
    let before: usize = text.split('\n').take(line.saturating_sub(1)).map(|line| line.encode_utf16().count() + 1).sum();
    let within: usize = text
        .split('\n')
        .nth(line.saturating_sub(1))
        .map_or(0, |line| line.chars().take(column.saturating_sub(1)).map(char::len_utf16).sum());
    u32::try_from(before + within).unwrap_or(u32::MAX)
}
