//! ZooKeeper, and what lies in it: the way down to a znode, its data, its stat, its children.

use leptos::prelude::*;
use ottla_core::sim::scenario::{Fault, Who};
use ottla_core::view::{Detail, Health, Target, ZnodeDetail};
use ottla_core::zookeeper::{Stat, path};
use serde_json::Value;

use crate::panel::node::{Facts, More, State};
use crate::scene::words::number;
use crate::store::{Session, Source};

#[component]
pub fn ZooKeeper() -> impl IntoView {
    let session = Session::get();
    let zookeeper = Memo::new(move |_| session.view.with(|view| view.zookeeper.clone()));
    let health = Memo::new(move |_| zookeeper.with(|zookeeper| Some(zookeeper.health)));
    let editable = move || session.source.get() == Source::Simulated;
    let facts = move || {
        zookeeper.with(|zookeeper| {
            vec![
                ("znodes", number(i64::from(zookeeper.znodes))),
                ("sessions", number(i64::from(zookeeper.sessions))),
                ("changes so far", number(zookeeper.zxid)),
            ]
        })
    };
    view! {
        <h2>"zookeeper"<State health=health/></h2>
        <div class="actions">
            <button class="main" on:click=move |_| hold(session, "/")>"Browse the znodes"</button>
            <Show when=editable>
                {move || match health.get() {
                    Some(Health::Dead) => view! {
                        <button on:click=move |_| session.act(Fault::Start(Who::ZooKeeper).into())>"Start"</button>
                    }.into_any(),
                    _ => view! {
                        <button class="danger" title="The process dies; what it wrote stays" on:click=move |_| session.act(Fault::Kill(Who::ZooKeeper).into())>"Kill"</button>
                        <button class="danger" title="The machine dies; what it has answered is on its disk" on:click=move |_| session.act(Fault::Crash(Who::ZooKeeper).into())>"Crash"</button>
                    }.into_any(),
                }}
            </Show>
        </div>
        <Facts facts=Signal::derive(facts)/>
        <More/>
    }
}

fn hold(session: Session, path: &str) {
    session.held.set(Some(Target::Znode { path: path.to_owned() }));
}

#[component]
pub fn Znode(path: String) -> impl IntoView {
    let session = Session::get();
    let here = StoredValue::new(path);
    // While another is looked up, what is known is of the one before.
    let znode = Memo::new(move |_| {
        session.detail.with(|detail| match detail.as_deref() {
            Some(Detail::Znode(znode)) if here.with_value(|here| znode.path == *here) => Some(znode.clone()),
            _ => None,
        })
    });
    let step = move |(path, name): (String, String)| {
        let at = here.with_value(|here| *here == path);
        let go = path.clone();
        view! {
            <button class="znode" class:on=at title=path on:click=move |_| hold(session, &go)>{name}</button>
        }
    };
    let way = here.with_value(|here| way(here)).into_iter().map(step).collect_view();
    view! {
        <h2>"Znode"</h2>
        <nav class="way" aria-label="The way down">{way}</nav>
        {move || match znode.get() {
            Some(znode) => content(session, &znode).into_any(),
            None => view! { <p class="hint">"At this moment there is no such znode."</p> }.into_any(),
        }}
    }
}

fn content(session: Session, znode: &ZnodeDetail) -> impl IntoView + use<> {
    let data = znode.data.as_deref().filter(|data| !data.is_empty()).map(pretty);
    let data = match data {
        Some(data) => view! { <pre class="fields">{data}</pre> }.into_any(),
        None => view! { <p class="dim">"It holds none."</p> }.into_any(),
    };
    let stat = stat(&znode.stat).map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> });
    let path = znode.path.clone();
    let child = move |child: &ottla_core::view::ZnodeChild| {
        let at = path::join(&path, &child.name);
        let note = match (child.ephemeral, child.children) {
            (true, _) => "ephemeral".to_owned(),
            (_, 0) => String::new(),
            (_, 1) => "1 child".to_owned(),
            (_, children) => format!("{children} children"),
        };
        view! {
            <li>
                <button class="znode" on:click=move |_| hold(session, &at)>{child.name.clone()}</button>
                <span class="dim">{note}</span>
            </li>
        }
    };
    let children = (!znode.children.is_empty()).then(|| {
        view! { <h3>"Children"</h3><ul class="znodes">{znode.children.iter().map(child).collect_view()}</ul> }
    });
    view! {
        {children}
        <h3>"Data"</h3>
        {data}
        <h3>"Stat"</h3>
        <dl class="facts stat">{stat.into_iter().collect_view()}</dl>
    }
}

/// From the root down: each path, and the name in it.
fn way(path: &str) -> Vec<(String, String)> {
    let mut way = vec![("/".to_owned(), "/".to_owned())];
    let ends = path.char_indices().skip(1).filter(|(_, letter)| *letter == '/').map(|(at, _)| at).chain([path.len()]);
    if path != "/" {
        way.extend(ends.map(|end| {
            let to = &path[..end];
            (to.to_owned(), path::split(to).map_or(to, |(_, name)| name).to_owned())
        }));
    }
    way
}

/// JSON indented, its fields in the order in which they stand; all else as it is. Lists stay in one line.
fn pretty(data: &str) -> String {
    if serde_json::from_str::<Value>(data).is_err() {
        return data.to_owned();
    }
    let mut out = String::new();
    let (mut depth, mut lists) = (0, 0);
    let mut letters = letters(data).peekable();
    while let Some((letter, is_text)) = letters.next() {
        match letter {
            _ if is_text => {}
            '[' => lists += 1,
            ']' => lists -= 1,
            '}' if lists == 0 && !out.ends_with('{') => {
                depth -= 1;
                line(depth, &mut out);
            }
            _ => {}
        }
        out.push(letter);
        match letter {
            _ if is_text => {}
            ':' => out.push(' '),
            ',' if lists == 0 => line(depth, &mut out),
            '{' if lists == 0 && letters.peek() != Some(&('}', false)) => {
                depth += 1;
                line(depth, &mut out);
            }
            _ => {}
        }
    }
    out
}

/// The letters of JSON without the white space between its words, and whether each is part of a text.
fn letters(data: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut is_open, mut is_escaped) = (false, false);
    let letters = data.chars().map(move |letter| {
        let is_text = is_open || letter == '"';
        is_open = if is_open { is_escaped || letter != '"' } else { is_text };
        is_escaped = is_open && !is_escaped && letter == '\\';
        (letter, is_text)
    });
    letters.filter(|(letter, is_text)| *is_text || !letter.is_whitespace())
}

fn line(depth: usize, out: &mut String) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// In the order and by the names of ZooKeeper's shell.
fn stat(stat: &Stat) -> [(&'static str, String); 11] {
    [
        ("cZxid", stat.czxid.to_string()),
        ("ctime", time(stat.ctime)),
        ("mZxid", stat.mzxid.to_string()),
        ("mtime", time(stat.mtime)),
        ("pZxid", stat.pzxid.to_string()),
        ("cversion", stat.cversion.to_string()),
        ("dataVersion", stat.version.to_string()),
        ("aclVersion", stat.aversion.to_string()),
        ("ephemeralOwner", stat.ephemeral_owner.to_string()),
        ("dataLength", stat.data_length.to_string()),
        ("numChildren", stat.num_children.to_string()),
    ]
}

fn time(millis: i64) -> String {
    let iso: String = js_sys::Date::new(&wasm_bindgen::JsValue::from_f64(millis as f64)).to_iso_string().into();
    iso.replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_znode_is_all_that_is_above_it() {
        let names = |path| way(path).into_iter().map(|(path, name)| format!("{path} {name}")).collect::<Vec<_>>();
        assert_eq!(names("/"), ["/ /"]);
        assert_eq!(names("/brokers/ids"), ["/ /", "/brokers brokers", "/brokers/ids ids"]);
    }

    #[test]
    fn json_is_indented_and_lists_stay_in_one_line() {
        assert_eq!(pretty("7"), "7");
        assert_eq!(pretty("{"), "{");
        assert_eq!(
            pretty(r#"{"partitions":{"0":[1,2]},"removing_replicas":{},"version":3}"#),
            "{\n  \"partitions\": {\n    \"0\": [1,2]\n  },\n  \"removing_replicas\": {},\n  \"version\": 3\n}"
        );
        assert_eq!(
            pretty(r#"{ "b": ":,{\"\\", "a": [ {"d": 1, "c": {}} ] }"#),
            "{\n  \"b\": \":,{\\\"\\\\\",\n  \"a\": [{\"d\": 1,\"c\": {}}]\n}"
        );
    }
}
