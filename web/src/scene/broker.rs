//! A broker's card: its head, a row for each replica, and what the hand can do to it.

use leptos::ev::{KeyboardEvent, MouseEvent, WheelEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use ottla_core::view::{BrokerView, Health, ReplicaView, Target, View};

use super::geometry::Rect;
use super::hand::{Chip, Hand, On, Rest, hue_token, pressed};
use super::layout::{CARD_WIDTH, Density, HEAD_HEIGHT};
use super::marks::hue;
use super::shape::rows;
use super::strip::{Cell, Scale, Strip, replica};
use super::words::{cut_partition, number};

/// What a card's head shows.
#[derive(Clone, PartialEq, Default)]
struct Head {
    health: Health,
    controller: bool,
    port: u16,
    name: String,
}

#[component]
pub fn Broker(id: i32) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let place =
        Memo::new(move |_| hand.layout.with(|layout| layout.broker(id).map(|broker| (broker.rect, broker.rows))));
    let rect = Memo::new(move |_| place.get().unwrap_or_default().0);
    let head = hand.watch(move |view| {
        let head = |broker: &BrokerView| Head {
            health: broker.health,
            controller: broker.controller,
            port: broker.port,
            name: broker.name.clone(),
        };
        find(view, id).map(head).unwrap_or_default()
    });
    let all = hand.watch(move |view| {
        let key = |replica: &ReplicaView| (replica.topic.clone(), replica.partition);
        find(view, id).map(|broker| rows(broker).map(key).collect::<Vec<_>>()).unwrap_or_default()
    });
    let held = hand.holds(Target::Broker { id });
    let scroll = RwSignal::new(0usize);
    let total = Memo::new(move |_| all.with(Vec::len));
    let shown = Memo::new(move |_| place.get().map_or(0, |(_, rows)| rows));
    let first = Memo::new(move |_| scroll.get().min(total.get().saturating_sub(shown.get())));
    let keys =
        Memo::new(move |_| all.with(|all| all.iter().skip(first.get()).take(shown.get()).cloned().collect::<Vec<_>>()));
    let turn = move |event: WheelEvent| {
        if total.get_untracked() > shown.get_untracked() && !event.ctrl_key() {
            event.prevent_default();
            event.stop_propagation();
            let most = total.get_untracked() - shown.get_untracked();
            let first = first.get_untracked();
            scroll.set(if event.delta_y() > 0.0 { (first + 1).min(most) } else { first.saturating_sub(1) });
        }
    };
    let density = Memo::new(move |_| hand.layout.with(|layout| layout.density));
    view! {
        <g
            class="broker"
            class:dead=move || head.with(|head| head.health == Health::Dead)
            class:paused=move || head.with(|head| head.health == Health::Paused)
            class:held=held
            transform=move || format!("translate({:.1} {:.1})", rect.get().x, rect.get().y)
            on:wheel=turn
        >
            <rect class="frame" width=CARD_WIDTH height=move || rect.get().height rx="10"></rect>
            <HeadOf id head held />
            <For each=move || keys.get() key=|key| key.clone() let:key>
                <Row broker=id topic=key.0 partition=key.1 first density />
            </For>
            <Show when=move || total.get() == 0>
                <text class="quiet" x="16" y=HEAD_HEIGHT + 22.0>
                    "no partitions yet"
                </text>
            </Show>
            <Show when=move || { total.get() > shown.get() }>
                <Fold rect total shown first scroll />
            </Show>
        </g>
    }
}

/// Who leads a partition, if somebody alive does.
pub fn leader<'a>(view: &'a View, topic: &str, partition: i32) -> Option<&'a BrokerView> {
    let place = view.topics.binary_search_by(|known| known.name.as_str().cmp(topic)).ok()?;
    let id = *view.topics[place].leaders.get(usize::try_from(partition).ok()?)?;
    find(view, id).filter(|broker| broker.health != Health::Dead)
}

fn find(view: &View, id: i32) -> Option<&BrokerView> {
    view.brokers.iter().find(|broker| broker.id == id)
}

#[component]
fn HeadOf(id: i32, head: Signal<Head>, held: Memo<bool>) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let dead = Memo::new(move |_| head.with(|head| head.health == Health::Dead));
    let paused = Memo::new(move |_| head.with(|head| head.health == Health::Paused));
    let name = move || head.with(|head| head.name.clone());
    let act = move |word: &'static str| Callback::new(move |()| hand.act(format!("{word} {}", name())));
    let says = move |text: &'static str| Signal::derive(move || text.replace("{}", &name()));
    let choose = move || hand.hold(Target::Broker { id });
    let about = move || On::Target(Target::Broker { id });
    let label = move || {
        head.with(|head| {
            let state = match head.health {
                Health::Running => "running",
                Health::Paused => "paused",
                Health::Dead => "dead",
            };
            format!("{}, {state}{}", head.name, if head.controller { ", controller" } else { "" })
        })
    };
    let corner = move || {
        head.with(|head| match head.health {
            Health::Running => head.port.to_string(),
            Health::Paused => "paused".into(),
            Health::Dead => "dead".into(),
        })
    };
    view! {
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
            <rect class="target" x="4" y="4" width=CARD_WIDTH - 8.0 height=HEAD_HEIGHT - 8.0 rx="7"></rect>
            <Show
                when=move || !dead.get()
                fallback=|| view! { <path class="cross" d="M11.5 15.5l9 9m0-9l-9 9"></path> }
            >
                <circle class="health" cx="16" cy="20" r="4.5"></circle>
            </Show>
            <text class="name" x="28" y="24">
                {name}
            </text>
            <Show when=move || head.with(|head| head.controller)>
                <g class="crown" transform=move || format!("translate({:.0} 13)", 40.0 + 7.6 * name().len() as f64)>
                    <path d="M0 11L-1 2L4 6L7.5 0L11 6L16 2L15 11Z"></path>
                    <text x="22" y="11">
                        "controller"
                    </text>
                </g>
            </Show>
            <text class="corner mono" x="228" y="24" text-anchor="end">
                {corner}
            </text>
        </g>
        <g class="tools">
            <Show
                when=move || dead.get()
                fallback=move || {
                    view! {
                        <Show when=move || paused.get()>
                            <Chip
                                x=74.0
                                y=8.0
                                width=58.0
                                label="resume"
                                says=says("resume {}: it goes on where it stood")
                                on_press=act("resume")
                            />
                        </Show>
                        <Chip
                            x=136.0
                            y=8.0
                            width=42.0
                            label="kill"
                            says=says("kill {}: its process dies, what it wrote stays")
                            on_press=act("kill")
                        />
                        <Chip
                            x=182.0
                            y=8.0
                            width=50.0
                            label="crash"
                            says=says("crash {}: its machine dies, and with it what was not flushed")
                            on_press=act("crash")
                        />
                    }
                }
            >
                <Chip x=182.0 y=8.0 width=50.0 label="start" says=says("start {}") on_press=act("start") />
            </Show>
        </g>
    }
}

/// All that a row's drawing depends on.
#[derive(Clone, PartialEq)]
struct Drawn {
    slot: usize,
    replica: ReplicaView,
    scale: Scale,
    hue: Option<usize>,
    /// Offsets that another replica has and this one lacks.
    behind: i64,
    /// The broker is dead: this is what lies on its disk.
    dead: bool,
    /// Who leads the partition, if somebody alive does.
    led_by: Option<String>,
}

impl Drawn {
    fn of(view: &View, broker: i32, topic: &str, partition: i32, cells: usize) -> Option<Drawn> {
        let host = find(view, broker)?;
        let replicas = &host.replicas;
        let replica = replica(replicas, topic, partition)?;
        let slot = rows(host).position(|known| std::ptr::eq(known, replica))?;
        let scale = Scale::of(view, topic, partition, cells);
        let behind = scale.end() - replica.end;
        let dead = host.health == Health::Dead;
        let led_by = leader(view, topic, partition).map(|leader| leader.name.clone());
        Some(Drawn { slot, replica: replica.clone(), scale, hue: hue(view, topic), behind, dead, led_by })
    }

    /// What is said at the right of the row, in as many words as `room` characters hold.
    fn note(&self, room: usize) -> String {
        let end = number(self.replica.end);
        let lag = match self.behind {
            0 => end.clone(),
            behind => format!("{end}, {} behind", number(behind)),
        };
        let words = match (self.dead, self.replica.leader, self.replica.in_sync) {
            (true, ..) => match &self.led_by {
                Some(leader) => vec![format!("{leader} leads · end {end}"), format!("end {end}")],
                None => vec![format!("no live leader · end {end}"), "no live leader".to_string()],
            },
            (_, true, _) => vec![format!("leader · end {end}"), format!("end {end}")],
            (_, _, false) => vec![format!("{end}, out of the ISR"), format!("{end}, out")],
            (_, _, true) => vec![lag],
        };
        words.into_iter().find(|words| words.chars().count() <= room).unwrap_or(end)
    }
}

/// Widths of a letter of a row's name and note.
const LETTER: f64 = 7.9;
const MONO: f64 = 6.4;

/// How many characters are left for the note of a row, beside its name.
fn room(density: Density, topic: &str, partition: i32) -> usize {
    let name = cut_partition(topic, partition, density.parts().name).chars().count() as f64;
    match density {
        Density::Compact => 0,
        Density::Roomy => ((228.0 - 29.0 - LETTER * name - 8.0) / MONO).max(0.0) as usize,
    }
}

/// Where a row's parts lie, from its own top left corner.
struct Parts {
    strip: (f64, f64),
    cell: Cell,
    baseline: f64,
    name: usize,
}

impl Density {
    fn parts(self) -> Parts {
        match self {
            Density::Roomy => Parts {
                strip: (14.0, 27.0),
                cell: Cell { pitch: 8.4, width: 7.2, height: 13.0 },
                baseline: 18.0,
                name: 14,
            },
            Density::Compact => Parts {
                strip: (108.0, 8.0),
                cell: Cell { pitch: 6.4, width: 5.4, height: 9.0 },
                baseline: 17.0,
                name: 11,
            },
        }
    }
}

#[component]
fn Row(broker: i32, topic: String, partition: i32, first: Memo<usize>, density: Memo<Density>) -> impl IntoView {
    let hand = expect_context::<Hand>();
    let topic = StoredValue::new(topic);
    let drawn = hand.watch(move |view| {
        let cells = hand.layout.with_untracked(|layout| layout.density).cells();
        topic.with_value(|topic| Drawn::of(view, broker, topic, partition, cells))
    });
    let strip = Memo::new(move |_| {
        let cell = density.get().parts().cell;
        drawn
            .with(|drawn| drawn.as_ref().map(|drawn| Strip::of(&drawn.replica, &drawn.scale, cell)).unwrap_or_default())
    });
    // Small memos, so that a strip that grows touches its strip and its note and nothing else.
    let field = move |f: fn(&Drawn) -> bool| Memo::new(move |_| drawn.with(|drawn| drawn.as_ref().is_some_and(f)));
    let leader = field(|drawn| drawn.replica.leader);
    let in_sync = field(|drawn| drawn.replica.in_sync || drawn.replica.leader);
    let dead = field(|drawn| drawn.dead);
    let slot = Memo::new(move |_| drawn.with(|drawn| drawn.as_ref().map_or(0, |drawn| drawn.slot)));
    let hue = Memo::new(move |_| drawn.with(|drawn| drawn.as_ref().and_then(|drawn| drawn.hue)));
    let note = Memo::new(move |_| {
        let room = topic.with_value(|topic| room(density.get(), topic, partition));
        drawn.with(|drawn| drawn.as_ref().map(|drawn| drawn.note(room)).unwrap_or_default())
    });
    let y =
        Memo::new(move |_| HEAD_HEIGHT + slot.get().saturating_sub(first.get()) as f64 * density.get().row_height());
    let target = move || topic.with_value(|topic| Target::Partition { broker, topic: topic.clone(), partition });
    let batch =
        move |offset: i64| topic.with_value(|topic| Target::Batch { broker, topic: topic.clone(), partition, offset });
    let held = Memo::new(move |_| {
        hand.selected.with(|selected| match selected {
            Some(Target::Partition { broker: b, topic: t, partition: p })
            | Some(Target::Batch { broker: b, topic: t, partition: p, .. }) => {
                (*b, *p) == (broker, partition) && topic.with_value(|topic| topic == t)
            }
            _ => false,
        })
    });
    // The cell of the batch that is held.
    let chosen = Memo::new(move |_| {
        let offset = hand.selected.with(|selected| match selected {
            Some(Target::Batch { offset, .. }) if held.get() => Some(*offset),
            _ => None,
        })?;
        let at = |drawn: &Drawn| (offset >= drawn.scale.start()).then(|| drawn.scale.at(offset).floor());
        drawn.with(|drawn| drawn.as_ref().and_then(at))
    });
    let press = move |event: MouseEvent| {
        event.stop_propagation();
        hand.hold(target());
    };
    // The cell under the pointer, if its batch is held here.
    let under = move |client_x: i32, event_target: Option<web_sys::EventTarget>| {
        let element = event_target?.dyn_into::<web_sys::Element>().ok()?;
        let rect = element.get_bounding_client_rect();
        let part = (f64::from(client_x) - rect.left()) / rect.width();
        let offset = drawn.with_untracked(|drawn| {
            let drawn = drawn.as_ref()?;
            let base = drawn.scale.base(part * density.get_untracked().cells() as f64)?;
            (base < drawn.replica.end && base >= drawn.replica.log_start).then_some(base)
        })?;
        Some(offset)
    };
    let press_cell = move |event: MouseEvent| {
        event.stop_propagation();
        hand.hold(under(event.client_x(), event.current_target()).map_or_else(target, batch));
    };
    let over_cell = move |event: web_sys::PointerEvent| {
        let on = under(event.client_x(), event.current_target()).map_or_else(target, batch);
        let at = hand.on_stage(f64::from(event.client_x()), f64::from(event.client_y()));
        hand.rests.set(Some(Rest { on: On::Target(on), at, focus: false }));
    };
    let press_key = pressed(move || hand.hold(target()));
    let walk = move |event: KeyboardEvent| {
        let step: isize = match event.key().as_str() {
            "ArrowLeft" => -1,
            "ArrowRight" => 1,
            // What the arrows have chosen is held already.
            "Enter" | " " if chosen.get_untracked().is_some() => return event.prevent_default(),
            _ => return press_key(event),
        };
        event.prevent_default();
        event.stop_propagation();
        let cells = drawn.with_untracked(|drawn| drawn.as_ref().map_or(0, |drawn| drawn.scale.cells())) as isize;
        let from = chosen.get_untracked().map_or(cells, |cell| cell as isize);
        let to = (from + step).clamp(0, (cells - 1).max(0));
        let base = drawn.with_untracked(|drawn| drawn.as_ref().and_then(|drawn| drawn.scale.base(to as f64)));
        if let Some(base) = base {
            hand.hold(batch(base));
        }
    };
    let name = topic.with_value(|topic| format!("{topic}-{partition}"));
    let label = move || {
        let role = match (dead.get(), leader.get(), in_sync.get()) {
            (true, ..) => "what lies on its disk",
            (_, true, _) => "leader",
            (_, _, true) => "follower",
            _ => "follower out of the ISR",
        };
        format!("{name} on broker-{broker}, {role}; arrow keys go from batch to batch")
    };
    let parts = move || density.get().parts();
    view! {
        <g
            class="row"
            class:leader=leader
            class:held=held
            style=move || hue_token(hue.get())
            transform=move || format!("translate(0 {:.0})", y.get())
            role="button"
            tabindex="0"
            aria-label=label
            aria-pressed=move || held.get().to_string()
            on:click=press
            on:keydown=walk
            on:pointerenter=hand.enter(move |_| On::Target(target()))
            on:pointerleave=hand.leave()
            on:focus=hand.focus(move || On::Target(target()))
            on:blur=hand.blur()
        >
            <rect class="target" x="5" y="0" width="230" height=move || density.get().row_height() - 2.0 rx="7"></rect>
            <circle
                class="role"
                class:out=move || !in_sync.get()
                cx="17"
                cy=move || parts().baseline - 4.0
                r=move || if leader.get() { 5.0 } else { 4.2 }
            ></circle>
            <text class="name" x="29" y=move || parts().baseline>
                {move || topic.with_value(|topic| cut_partition(topic, partition, parts().name))}
            </text>
            <text class="note mono" x="228" y=move || parts().baseline text-anchor="end">
                {note}
            </text>
            <StripOf strip density chosen />
            <rect
                class="cells"
                x=move || parts().strip.0
                y=move || parts().strip.1 - if density.get() == Density::Roomy { 5.0 } else { 8.0 }
                width=move || parts().cell.pitch * density.get().cells() as f64
                height="24"
                on:click=press_cell
                on:pointermove=over_cell
            ></rect>
        </g>
    }
}

#[component]
fn StripOf(strip: Memo<Strip>, density: Memo<Density>, chosen: Memo<Option<f64>>) -> impl IntoView {
    let cell = move || density.get().parts().cell;
    let part = move |f: fn(&Strip) -> String| Memo::new(move |_| strip.with(f));
    let held = part(|strip| strip.held.clone());
    let uncommitted = part(|strip| strip.uncommitted.clone());
    let missing = part(|strip| strip.missing.clone());
    let aborted = part(|strip| strip.aborted.clone());
    let aborted_brackets = part(|strip| strip.aborted_brackets.clone());
    let open_brackets = part(|strip| strip.open_brackets.clone());
    let commits = part(|strip| strip.commit_markers.clone());
    let aborts = part(|strip| strip.abort_markers.clone());
    let stable = Memo::new(move |_| strip.with(|strip| strip.stable));
    let flushed = Memo::new(move |_| strip.with(|strip| strip.flushed));
    let flag = Memo::new(move |_| strip.with(|strip| strip.high_watermark));
    let torn = Memo::new(move |_| strip.with(|strip| strip.torn));
    let more = Memo::new(move |_| strip.with(|strip| strip.more));
    let epochs = Memo::new(move |_| strip.with(|strip| strip.epochs.clone()));
    let below = move || cell().height + if density.get() == Density::Roomy { 2.5 } else { 1.6 };
    view! {
        <g
            class="strip"
            transform=move || {
                let (x, y) = density.get().parts().strip;
                format!("translate({x:.1} {y:.1})")
            }
        >
            <rect
                class="track"
                width=move || cell().pitch * density.get().cells() as f64 - cell().pitch + cell().width
                height=move || cell().height
                rx="1.5"
            ></rect>
            <path class="missing" d=missing></path>
            <path class="batch" d=held></path>
            <path class="aborted" d=aborted></path>
            <path class="hatch" d=uncommitted></path>
            <path class="marker" d=commits></path>
            <path class="marker aborts" d=aborts></path>
            <path class="bracket" d=open_brackets></path>
            <path class="bracket aborts" d=aborted_brackets></path>
            {move || stable.get().map(|x| view! { <path class="stable" d=format!("M{x:.1} -5V{:.1}", cell().height + 5.0)></path> })}
            <rect class="flushed" y=below width=flushed height="1.6" rx="0.8"></rect>
            {move || {
                torn.get()
                    .map(|x| {
                        let h = cell().height;
                        let d = format!("M{:.1} -2l-2.4 {q:.1}l3 {q:.1}l-3 {q:.1}l2.4 {q:.1}", x - 1.5, q = (h + 4.0) / 4.0);
                        view! { <path class="torn" d=d></path> }
                    })
            }}
            {move || more.get().then(|| view! { <path class="more" d=format!("M-6 {0:.1}h1.4m1.2 0h1.4", cell().height / 2.0)></path> })}
            {move || {
                let y = cell().height + 3.0;
                epochs
                    .get()
                    .into_iter()
                    .map(|(x, epoch)| {
                        view! {
                            <path class="epoch" d=format!("M{x:.1} -2V{:.1}", y + 3.0)></path>
                            <text class="epoch" x=x + 2.5 y=y + 8.0>
                                {epoch}
                            </text>
                        }
                    })
                    .collect_view()
            }}
            {move || {
                chosen
                    .get()
                    .map(|at| {
                        let cell = cell();
                        view! {
                            <rect
                                class="chosen"
                                x=at * cell.pitch - 1.4
                                y="-1.9"
                                width=cell.width + 2.8
                                height=cell.height + 3.8
                                rx="2.5"
                            ></rect>
                        }
                    })
            }}
            <Show when=move || flag.get().is_some()>
                <g class="flag" transform=move || format!("translate({:.1} 0)", flag.get().unwrap_or(0.0))>
                    <path class="pole" d=move || format!("M0 -4V{:.1}", cell().height + 4.0)></path>
                    <path d="M0 -4h5l-1.6 2.4l1.6 2.4h-5z"></path>
                </g>
            </Show>
        </g>
    }
}

/// Says how many rows do not show, and turns to them.
#[component]
fn Fold(
    rect: Memo<Rect>,
    total: Memo<usize>,
    shown: Memo<usize>,
    first: Memo<usize>,
    scroll: RwSignal<usize>,
) -> impl IntoView {
    let y = Signal::derive(move || rect.get().height - 27.0);
    let up = Callback::new(move |()| scroll.set(first.get_untracked().saturating_sub(shown.get_untracked())));
    let down = Callback::new(move |()| {
        let most = total.get_untracked().saturating_sub(shown.get_untracked());
        scroll.set((first.get_untracked() + shown.get_untracked()).min(most));
    });
    let words = move || {
        let above = first.get();
        let below = total.get().saturating_sub(above + shown.get());
        match (above, below) {
            (0, below) => format!("… {below} more"),
            (above, 0) => format!("… {above} above"),
            (above, below) => format!("… {above} above, {below} more"),
        }
    };
    view! {
        <text class="quiet" x="16" y=move || y.get() + 16.0>
            {words}
        </text>
        <Chip x=180.0 y=y width=26.0 label="▴" says="partitions above" on_press=up />
        <Chip x=208.0 y=y width=26.0 label="▾" says="more partitions" on_press=down />
    }
}
