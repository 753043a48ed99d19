//! Producers above, consumers below, whoever else talks, and the places where the hand can add something.

use leptos::ev::MouseEvent;
use leptos::prelude::*;
use ottla_core::view::{ConsumerView, Health, ProducerView, Target, View};

use super::geometry::Rect;
use super::hand::{Chip, Hand, On, hue_token, pressed};
use super::layout::{Layout, POSITION_HEIGHT};
use super::marks::hue;
use super::words::{cut, cut_partition, free_name, next_rate, number, rate, short_rate};

/// Widths of a letter: of the bold name, of the mono font.
const LETTER: f64 = 7.6;
/// The bold name's where it has many wide ones, as `member-1`.
const WIDE_LETTER: f64 = 8.9;
const MONO: f64 = 6.4;

#[component]
pub fn Producer(name: String) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let name = StoredValue::new(name);
    let me = hand.watch(move |view| name.with_value(|name| view.producers.iter().find(|it| it.name == *name).cloned()));
    let rect = place(hand, |layout| &layout.producers, name);
    let get =
        move |f: fn(&ProducerView) -> String| Memo::new(move |_| me.with(|me| me.as_ref().map(f).unwrap_or_default()));
    let health = Memo::new(move |_| me.with(|me| me.as_ref().map(|me| me.health).unwrap_or_default()));
    let topic_hue = hand.watch(move |view| {
        let me = name.with_value(|name| view.producers.iter().find(|it| it.name == *name));
        me.and_then(|me| hue(view, &me.topic))
    });
    let per_second = get(|me| format!("{}/s", rate(me.rate)));
    // Between the buttons, or in the corner that the name leaves.
    let shown_rate =
        move || me.with(|me| me.as_ref().map(|me| short_rate(me.rate, if hand.editable.get() { 6 } else { 7 })));
    let settings = get(|me| me.settings.clone());
    let failed = get(|me| if me.failed > 0 { format!("{} failed", number(me.failed as i64)) } else { String::new() });
    let buffers = Memo::new(move |_| me.with(|me| me.as_ref().is_some_and(|me| me.buffer_memory > 0)));
    let part = Memo::new(move |_| {
        let part = |me: &ProducerView| {
            let full = me.buffered as f64 / me.buffer_memory.max(1) as f64;
            // Something in the buffer is something to see.
            if me.buffered > 0 { full.clamp(0.015, 1.0) } else { 0.0 }
        };
        me.with(|me| me.as_ref().map_or(0.0, part))
    });
    let set_rate = move |up: bool| {
        Callback::new(move |()| {
            let now = me.with_untracked(|me| me.as_ref().map_or(0.0, |me| me.rate));
            hand.act(format!("rate {} {}/s", name.get_value(), next_rate(now, up)));
        })
    };
    let width = move || rect.get().width;
    let rate_x = move || if hand.editable.get() { width() - 54.0 } else { width() - 12.0 };
    let anchor = move || if hand.editable.get() { "middle" } else { "end" };
    let says = move |verb: &'static str| {
        Signal::derive(move || format!("{verb} {}, now {}", name.get_value(), per_second.get()))
    };
    let settings = move || {
        let failed = failed.with(|failed| failed.chars().count());
        let room = (width() - 24.0) / MONO - if failed > 0 { failed as f64 + 1.0 } else { 0.0 };
        settings.with(|settings| cut(settings, room.max(1.0) as usize))
    };
    let shown = move || name.with_value(|name| cut(name, ((rate_x() - 50.0) / LETTER) as usize));
    view! {
        <Frame
            name
            health
            rect
            target=Target::Producer { name: name.get_value() }
            style=Signal::derive(move || hue_token(topic_hue.get()))
        >
            <text class="name" x="12" y="22">
                {shown}
            </text>
            <text class="mono" x=rate_x y="22" text-anchor=anchor>
                {shown_rate}
            </text>
            <text class="mono" x="12" y="38">
                {settings}
            </text>
            <text class="mono failed" x=move || width() - 12.0 y="38" text-anchor="end">
                {failed}
            </text>
            // Only the client itself knows its buffer.
            <Show when=move || buffers.get()>
                <rect class="trough" x="12" y="46" width=move || width() - 24.0 height="8" rx="4"></rect>
            </Show>
            <rect class="buffer" x="12" y="46" width=move || (width() - 24.0) * part.get() height="8" rx="4"></rect>
        </Frame>
        <Show when=move || hand.editable.get() && health.get() != Health::Dead>
            <g class="tools always" transform=move || corner(rect.get())>
                <Chip x=Signal::derive(move || width() - 100.0) y=6.0 width=24.0 label="−" says=says("slow down") on_press=set_rate(false) />
                <Chip x=Signal::derive(move || width() - 32.0) y=6.0 width=24.0 label="+" says=says("speed up") on_press=set_rate(true) />
            </g>
        </Show>
    }
}

#[component]
pub fn Consumer(name: String) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let name = StoredValue::new(name);
    let me = hand.watch(move |view| name.with_value(|name| view.consumers.iter().find(|it| it.name == *name).cloned()));
    let rect = place(hand, |layout| &layout.consumers, name);
    let health = Memo::new(move |_| me.with(|me| me.as_ref().map(|me| me.health).unwrap_or_default()));
    let lag = Memo::new(move |_| {
        me.with(|me| {
            me.as_ref().map(|me| {
                me.known_lag().map_or_else(|| "lag unknown".into(), |lag| format!("lag {}", number(lag as i64)))
            })
        })
    });
    let group = Memo::new(move |_| me.with(|me| me.as_ref().and_then(|me| me.group.clone())));
    let most = Memo::new(move |_| hand.layout.with(|layout| layout.density.max_positions()));
    let count = Memo::new(move |_| me.with(|me| me.as_ref().map_or(0, |me| me.positions.len().min(most.get()))));
    let rest =
        Memo::new(move |_| me.with(|me| me.as_ref().map_or(0, |me| me.positions.len().saturating_sub(most.get()))));
    let width = move || rect.get().width;
    let room = move || ((width() - 36.0 - 11.0 * MONO) / LETTER) as usize;
    let shown = move || name.with_value(|name| cut(name, room()));
    // What it does about its group, while that is not just to read on.
    let membership = Memo::new(move |_| {
        let busy = |me: &ConsumerView| {
            (me.health == Health::Running && me.membership != "stable").then(|| me.membership.clone())
        };
        me.with(|me| me.as_ref().and_then(busy)).unwrap_or_default()
    });
    let empty = move || match membership.with(String::is_empty) {
        true => "no position yet".to_owned(),
        false => cut(&format!("{}; reads nothing", membership.get()), ((width() - 24.0) / 5.9) as usize),
    };
    let group_name = move || {
        let lag = lag.with(|lag| lag.as_ref().map_or(0, |lag| lag.chars().count())).max(9) as f64;
        let name = name.with_value(|name| name.chars().count().min(room())) as f64;
        let room = (width() - 32.0 - WIDE_LETTER * name - MONO * (lag + 0.3)) / MONO;
        // A few letters of it say nothing.
        group
            .get()
            .filter(|group| group.chars().count() as f64 <= room || room >= 6.0)
            .map(|group| cut(&group, room as usize))
    };
    let top = |line: usize| 34.0 + POSITION_HEIGHT * line as f64;
    view! {
        <Frame
            name
            health
            rect
            target=Target::Consumer { name: name.get_value() }
            style=Signal::stored(String::new())
        >
            <text class="name" x="12" y="22">
                {shown}
                <tspan class="mono" dx="8">
                    {group_name}
                </tspan>
            </text>
            <text class="mono" x=move || width() - 12.0 y="22" text-anchor="end">
                {lag}
            </text>
            <For each=move || 0..count.get() key=|line| *line let:line>
                <Position me line y=top(line) width=Signal::derive(width) />
            </For>
            <Show when=move || count.get() == 0>
                <text class="quiet" class:busy=move || !membership.with(String::is_empty) x="12" y="48">
                    {empty}
                </text>
            </Show>
            <Show when=move || { rest.get() > 0 }>
                <text class="quiet" x="18" y=move || top(most.get()) + 14.0>
                    {move || format!("… {} more", rest.get())}
                </text>
            </Show>
        </Frame>
    }
}

#[component]
fn Position(me: Signal<Option<ConsumerView>>, line: usize, y: f64, width: Signal<f64>) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let here = Memo::new(move |_| {
        me.with(|me| {
            let position = me.as_ref()?.positions.get(line)?;
            let hue = hand.view.with_untracked(|view| hue(view, &position.topic));
            Some((position.topic.clone(), position.partition, number(position.offset), hue))
        })
    });
    let partition = move || {
        here.with(|here| {
            here.as_ref().map(|(topic, partition, offset, _)| {
                cut_partition(topic, *partition, ((width.get() - 40.0) / MONO) as usize - offset.len().min(8))
            })
        })
    };
    view! {
        <g
            transform=format!("translate(0 {y})")
            style=move || hue_token(here.with(|here| here.as_ref().and_then(|here| here.3)))
        >
            <rect class="trough" x="10" width=move || width.get() - 20.0 height="20" rx="5"></rect>
            <rect class="swatch" x="10" width="3" height="20" rx="1.5"></rect>
            <text class="mono ink" x="19" y="14">
                {partition}
            </text>
            <text class="mono" x=move || width.get() - 18.0 y="14" text-anchor="end">
                {move || here.with(|here| here.as_ref().map(|here| here.2.clone()))}
            </text>
        </g>
    }
}

/// The box of a client: chosen by click or Enter, stopped by the small cross at its corner.
#[component]
pub fn Frame(
    name: StoredValue<String>,
    health: Memo<Health>,
    rect: Memo<Rect>,
    target: Target,
    style: Signal<String>,
    children: Children,
) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let held = hand.holds(target.clone());
    let target = StoredValue::new(target);
    let choose = move || hand.hold(target.get_value());
    let about = move || On::Target(target.get_value());
    let kind = match target.get_value() {
        Target::Producer { .. } => "producer ",
        Target::Consumer { .. } => "consumer ",
        _ => "",
    };
    let label = move || {
        let state = match health.get() {
            Health::Running => "",
            Health::Paused => ", paused",
            Health::Dead => ", stopped",
        };
        format!("{kind}{}{state}", name.get_value())
    };
    let says = Signal::derive(move || format!("stop {}", name.get_value()));
    view! {
        <g
            class="client"
            class:dead=move || health.get() == Health::Dead
            class:paused=move || health.get() == Health::Paused
            class:held=held
            style=style
            transform=move || corner(rect.get())
        >
            <g
                class="head"
                role="button"
                tabindex="0"
                aria-label=label
                aria-pressed=move || held.get().to_string()
                on:click=move |event: MouseEvent| {
                    event.stop_propagation();
                    choose();
                }
                on:keydown=pressed(choose)
                on:pointerenter=hand.enter(move |_| about())
                on:pointerleave=hand.leave()
                on:focus=hand.focus(about)
                on:blur=hand.blur()
            >
                <rect class="frame" width=move || rect.get().width height=move || rect.get().height rx="8"></rect>
                {children()}
            </g>
            <Show when=move || hand.editable.get() && health.get() != Health::Dead>
                <g class="tools">
                    <Chip
                        x=Signal::derive(move || rect.get().width - 14.0)
                        y=-12.0
                        width=24.0
                        grows_up=true
                        label="×"
                        says=says
                        on_press=Callback::new(move |()| hand.act(format!("stop {}", name.get_value())))
                    />
                </g>
            </Show>
            <Show when=move || health.get() == Health::Dead>
                <path class="cross" d=move || format!("M{:.1} -4.5l9 9m0-9l-9 9", rect.get().width - 10.0)></path>
            </Show>
        </g>
    }
}

/// What somebody does who talks and is neither a producer nor a consumer.
fn guest_words(name: &str) -> &'static str {
    match name {
        "admin" => "makes the topics",
        _ => "client",
    }
}

/// Somebody who talks and is neither a producer nor a consumer.
#[component]
pub fn Guest(name: String) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let name = StoredValue::new(name);
    let rect = place(hand, |layout| &layout.guests, name);
    let shown = move || name.with_value(|name| cut(name, ((rect.get().width - 24.0) / LETTER) as usize));
    view! {
        <g class="client guest" transform=move || corner(rect.get())>
            <rect class="frame" width=move || rect.get().width height=move || rect.get().height rx="8"></rect>
            <text class="name" x="12" y="26">
                {shown}
            </text>
            <text class="mono" x="12" y="44">
                {guest_words(&name.get_value())}
            </text>
        </g>
    }
}

/// A dashed box: where the hand can add something.
#[component]
pub fn Add(what: What) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let rect = Memo::new(move |_| hand.layout.with(|layout| what.place(layout)));
    let act = move || {
        for line in hand.view.with_untracked(|view| what.lines(view)) {
            hand.act(line);
        }
    };
    let label = what.label();
    let about = move || On::Words(hand.view.with_untracked(|view| what.lines(view).join("; ")));
    view! {
        <Show when=move || rect.get().is_some()>
            <g
                class="add"
                role="button"
                tabindex="0"
                aria-label=label
                transform=move || corner(rect.get().unwrap_or_default())
                on:click=move |event: MouseEvent| {
                    event.stop_propagation();
                    act();
                }
                on:keydown=pressed(act)
                on:pointerenter=hand.enter(move |_| about())
                on:pointerleave=hand.leave()
                on:focus=hand.focus(about)
                on:blur=hand.blur()
            >
                <rect
                    width=move || rect.get().unwrap_or_default().width
                    height=move || rect.get().unwrap_or_default().height
                    rx=move || rect.get().unwrap_or_default().height.min(32.0) / 4.0
                ></rect>
                <text
                    x=move || rect.get().unwrap_or_default().width / 2.0
                    y=move || rect.get().unwrap_or_default().height / 2.0 + 4.0
                    text-anchor="middle"
                >
                    {label}
                </text>
            </g>
        </Show>
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Producer,
    Topic,
    Consumer,
}

impl What {
    fn place(self, layout: &Layout) -> Option<Rect> {
        match self {
            What::Producer => layout.add_producer,
            What::Topic => layout.add_topic,
            What::Consumer => layout.add_consumer,
        }
    }

    fn label(self) -> &'static str {
        match self {
            What::Producer => "+ producer",
            What::Topic => "+ topic",
            What::Consumer => "+ consumer",
        }
    }

    /// The actions that add it; a client without any topic brings one.
    fn lines(self, view: &View) -> Vec<String> {
        let known = view.topics.iter().map(|topic| topic.name.as_str()).find(|name| !name.starts_with("__"));
        let topic = known.unwrap_or("orders");
        let factor = view.brokers.len().clamp(1, 3);
        let brings = known.is_none().then(|| format!("topic orders partitions=3 replication.factor={factor}"));
        let line = match self {
            What::Producer => {
                let name = free_name("p", view.producers.iter().map(|producer| producer.name.as_str()));
                format!("producer {name} topic={topic} rate=10/s")
            }
            What::Consumer => {
                let name = free_name("c", view.consumers.iter().map(|consumer| consumer.name.as_str()));
                format!("consumer {name} topics={topic} auto.offset.reset=earliest")
            }
            What::Topic => {
                let taken = |name: &str| view.topics.iter().any(|topic| topic.name == name);
                let names = ["orders", "clicks", "payments", "stock", "mails"];
                let named = names.into_iter().find(|name| !taken(name)).map(str::to_owned);
                let name =
                    named.unwrap_or_else(|| free_name("topic-", view.topics.iter().map(|topic| topic.name.as_str())));
                return vec![format!("topic {name} partitions=3 replication.factor={factor}")];
            }
        };
        brings.into_iter().chain([line]).collect()
    }
}

pub fn place(hand: Hand, of: fn(&Layout) -> &Vec<(String, Rect)>, name: StoredValue<String>) -> Memo<Rect> {
    Memo::new(move |_| {
        let find = |name: &String| {
            hand.layout.with(|layout| of(layout).iter().find(|(known, _)| known == name).map(|(_, rect)| *rect))
        };
        name.with_value(find).unwrap_or_default()
    })
}

fn corner(rect: Rect) -> String {
    format!("translate({:.1} {:.1})", rect.x, rect.y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::sample;
    use ottla_core::time::Instant;

    #[test]
    fn what_the_hand_adds_has_a_free_name_and_a_topic() {
        let empty = View::default();
        assert_eq!(
            What::Producer.lines(&empty),
            ["topic orders partitions=3 replication.factor=1", "producer p1 topic=orders rate=10/s"]
        );
        let view = sample::view(3, 0, Instant::ZERO);
        assert_eq!(What::Producer.lines(&view), ["producer p3 topic=clicks rate=10/s"]);
        assert_eq!(What::Consumer.lines(&view), ["consumer c3 topics=clicks auto.offset.reset=earliest"]);
        assert_eq!(What::Topic.lines(&view), ["topic payments partitions=3 replication.factor=3"]);
    }
}
