//! How fast the stage is: nine brokers and 1,000 messages in flight, for as long as one looks (`?stress`, or
//! `?stress=brokers,messages`). The frame times stand above it, and in `data-` attributes for a test.

use std::sync::Arc;

use leptos::prelude::*;
use ottla_core::time::Instant;

use super::{Stage, sample};

/// Frames that a figure stands for.
const WINDOW: usize = 120;

#[component]
pub fn Stress(
    /// What stands after `stress=` in the address.
    #[prop(into)]
    load: String,
) -> impl IntoView {
    let mut numbers = load.split(',').map(|number| number.parse::<usize>());
    let brokers = numbers.next().and_then(Result::ok).unwrap_or(9).clamp(1, 50);
    let messages = numbers.next().and_then(Result::ok).unwrap_or(1_000).min(100_000);
    let began = now();
    let moment =
        move |at: f64| Instant::from_millis(20_000) + std::time::Duration::from_secs_f64((at - began).max(0.0) / 1e3);
    let view = RwSignal::new(Arc::new(sample::view(brokers, messages, moment(began))));
    let frames = StoredValue::new((began, Vec::<f64>::new()));
    let figures = RwSignal::new(Figures::default());
    let alive = StoredValue::new(());
    fn frame(f: impl Fn() -> bool + Copy + 'static) {
        request_animation_frame(move || {
            if f() {
                frame(f);
            }
        });
    }
    frame(move || {
        if alive.try_get_value().is_none() {
            return false;
        }
        let at = now();
        view.set(Arc::new(sample::view(brokers, messages, moment(at))));
        frames.update_value(|(last, times)| {
            times.push(at - *last);
            *last = at;
            if times.len() == WINDOW {
                figures.set(Figures::of(times));
                times.clear();
            }
        });
        true
    });
    let line = move || {
        let Figures { median, p95, worst, per_second } = figures.get();
        format!(
            "{brokers} brokers, {messages} messages: {per_second:.1} frames a second, median {median:.1} ms, p95 {p95:.1} ms, worst {worst:.1} ms"
        )
    };
    view! {
        <div class="stress">
            <output
                data-fps=move || format!("{:.2}", figures.get().per_second)
                data-median=move || format!("{:.2}", figures.get().median)
                data-p95=move || format!("{:.2}", figures.get().p95)
            >
                {line}
            </output>
            <div class="stress-stage">
                <Stage view=view selected=RwSignal::new(None) on_act=Callback::new(|_| ()) editable=Signal::stored(true) />
            </div>
        </div>
    }
}

/// Frame times in ms.
#[derive(Clone, Copy, Default)]
struct Figures {
    median: f64,
    p95: f64,
    worst: f64,
    per_second: f64,
}

impl Figures {
    fn of(times: &[f64]) -> Figures {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
        let total: f64 = sorted.iter().sum();
        Figures { median: at(0.5), p95: at(0.95), worst: at(1.0), per_second: 1e3 * sorted.len() as f64 / total }
    }
}

fn now() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}
