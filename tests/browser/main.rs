//! The page in a real browser: built with `trunk build --release` into `dist/` (or where `OTTLA_DIST` says), served by
//! a host that has files and nothing else.

mod driver;
mod host;
mod live;

use std::path::PathBuf;

use ottla_core::sim::scenario::{link, prepared};
use ottla_core::time::{Duration, Instant};
use ottla_core::view::{MessageKind, View};
use serde_json::{Value, json};

use self::driver::Browser;

/// Then a fourth member has joined in the scenarios of a rebalance; two of the others have heard of it, one has not.
const JOINED: f64 = 12.0;

const RIGHT: &str = "\u{E014}";
const LEFT: &str = "\u{E012}";

/// A scenario in which something is always on its way.
const BUSY: &str = "# Busy\n\nseed 3\ncluster brokers=3 latency=80ms..120ms\ntopic orders partitions=3\nproducer p1 topic=orders rate=40/s\nconsumer c1 topics=orders auto.offset.reset=earliest\n@2s send orders key=4711 value=\"two coffees\" header=till:3\n";

fn dist() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist");
    let dist = PathBuf::from(std::env::var("OTTLA_DIST").unwrap_or_else(|_| default.to_string()));
    assert!(dist.join("index.html").exists(), "{} has no page: run `trunk build --release` first", dist.display());
    dist
}

/// A page from a static host, ready to be asked.
fn page() -> (Browser, String) {
    let address = host::serve(dist());
    let browser = Browser::start(1440, 900).expect("chromedriver is installed");
    browser.open(&address);
    browser.wait("the page", "return !!window.ottla && ottla.view().length > 2");
    (browser, address)
}

fn view(browser: &Browser) -> View {
    let text = browser.run("return ottla.view()");
    serde_json::from_str(text.as_str().expect("JSON as text")).expect("a view")
}

/// Puts a text into the editor and runs it.
fn run_scenario(browser: &Browser, text: &str) {
    browser.click(".story .tabs button:nth-of-type(2)");
    browser.fill(".editor textarea", text);
    browser.click(".under button.run");
    browser.wait("the scenario", &format!("return ottla.scenario() === {}", json!(text)));
}

fn pause(browser: &Browser) {
    browser.run("document.querySelector('.transport .play[aria-label=Pause]')?.click()");
    browser.wait("a pause", "return !!document.querySelector('.transport .play[aria-label=Play]')");
    settle(browser);
}

/// Until what a key or a click has changed is on the page.
fn drawn(browser: &Browser) {
    browser.run("window.drawn = false; requestAnimationFrame(() => requestAnimationFrame(() => window.drawn = true))");
    browser.wait("two frames", "return window.drawn");
}

/// Until what is on the way has been reached and drawn.
fn settle(browser: &Browser) {
    browser.wait(
        "a quiet page",
        "const said = document.querySelector('.clock').textContent;
         const before = ottla.view(); const busy = said.includes('on the way');
         if (busy || window.seen !== before) { window.seen = before; window.quiet = 0; return false }
         return ++window.quiet > 3",
    );
}

/// Goes to a moment by the scrubber, in shares of its length.
fn scrub(browser: &Browser, share: f64) {
    let at = browser.run(&format!(
        "const box = document.querySelector('.scrub').getBoundingClientRect();
         return [box.left + box.width * {share}, box.top + box.height * 0.64]"
    ));
    browser.click_at(at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
    settle(browser);
}

/// An action from `play` on until the view says so.
fn wait_view(browser: &Browser, what: &str, condition: &str) {
    browser.wait(what, &format!("const view = JSON.parse(ottla.view()); return {condition}"));
}

fn quiet(browser: &Browser) {
    assert_eq!(browser.complaints(), Vec::<String>::new(), "the console has complaints");
    assert_eq!(browser.run("return document.getElementById('bug').hidden"), Value::Bool(true), "the page met a bug");
}

#[test]
fn the_page_plays_and_every_message_of_the_view_is_a_mark() {
    let (browser, _) = page();
    run_scenario(&browser, BUSY);
    wait_view(&browser, "messages", "view.messages.length >= 4 && view.now > 1e9");
    pause(&browser);
    let shown = view(&browser);
    let marks = browser.run("return document.querySelector('.stage canvas').dataset.marks");
    assert_eq!(marks.as_str().unwrap().parse::<usize>().unwrap(), shown.messages.len());
    assert!(!shown.messages.is_empty());
    assert_eq!(shown.brokers.len(), 3);
    // A step is one event; a step back is the same moment again.
    browser.key(RIGHT);
    browser.wait("a step", &format!("return JSON.parse(ottla.view()).event === {}", shown.event + 1));
    browser.key(LEFT);
    browser.wait("a step back", &format!("return JSON.parse(ottla.view()).event === {}", shown.event));
    settle(&browser);
    assert_eq!(view(&browser).messages, shown.messages);
    quiet(&browser);
}

#[test]
fn the_scrubber_goes_back_and_forward_to_the_same_moments() {
    let (browser, _) = page();
    run_scenario(&browser, BUSY);
    pause(&browser);
    scrub(&browser, 0.30);
    let early = view(&browser);
    scrub(&browser, 0.55);
    let late = view(&browser);
    assert!(late.now > early.now && late.event > early.event);
    scrub(&browser, 0.30);
    assert_eq!(view(&browser), early);
    scrub(&browser, 0.55);
    assert_eq!(view(&browser), late);
    quiet(&browser);
}

#[test]
fn a_wrong_line_is_told_by_line_and_column_and_does_not_run() {
    let (browser, _) = page();
    run_scenario(&browser, BUSY);
    browser.fill(".editor textarea", "cluster brokers=3\ntopic orders partitons=3\n");
    let error = browser.wait("the error", "return document.querySelector('.errors li')?.textContent");
    assert!(error.as_str().unwrap().starts_with("2:14"), "{error}");
    assert_eq!(browser.run("return document.querySelector('.under button.run').disabled"), Value::Bool(true));
    assert_eq!(browser.run("return document.querySelector('.editor .wavy').textContent"), json!("partitons=3"));
    assert_eq!(browser.run("return ottla.scenario()"), json!(BUSY));
    quiet(&browser);
}

#[test]
fn a_click_on_a_message_shows_its_request_and_a_click_on_a_cell_its_bytes() {
    let (browser, _) = page();
    run_scenario(&browser, BUSY);
    wait_view(
        &browser,
        "a produce request",
        "view.now > 2e9 && view.messages.some(m => m.kind === 'Produce' && !m.response)",
    );
    pause(&browser);
    // It may have arrived meanwhile; then the next one is some events ahead.
    let on_its_way =
        |view: &View| view.messages.iter().any(|message| message.kind == MessageKind::Produce && !message.response);
    let ahead = (0..500).take_while(|_| !on_its_way(&view(&browser))).map(|_| {
        browser.click(".transport .step");
        settle(&browser);
    });
    assert!(ahead.count() < 500, "nobody produces any more");
    // By the keyboard, which reaches every message in order, as a hand reaches it by its place.
    browser.run("document.querySelector('.stage .flight').focus()");
    let count = view(&browser).messages.len();
    let found = (0..count).any(|_| {
        browser.key(RIGHT);
        browser.key("\u{E007}");
        drawn(&browser);
        let title = browser.wait("a message", "return document.querySelector('.hand h2')?.textContent");
        title == json!("Produce request")
    });
    assert!(found, "no Produce request among {count} messages");
    let fields = browser.wait("its fields", "return document.querySelector('.hand .fields')?.textContent");
    assert!(fields.as_str().unwrap().contains("acks"), "{fields}");
    browser.click(".hand .tabs button:nth-of-type(4)");
    let bytes = browser.wait("its bytes", "return document.querySelectorAll('.hand .hex .row').length");
    assert!(bytes.as_u64().unwrap() > 8);
    // A header field and its bytes light up together.
    browser.run("document.querySelectorAll('.hand .field-row')[4].dispatchEvent(new PointerEvent('pointerenter'))");
    browser.wait("lit bytes", "return document.querySelector('.hand .hex .lit')?.textContent.length === 11");
    quiet(&browser);
}

#[test]
fn a_hand_adds_a_producer_changes_its_rate_sends_one_record_and_kills_and_starts_a_broker() {
    let (browser, _) = page();
    run_scenario(&browser, BUSY);
    wait_view(&browser, "traffic", "view.topics.length > 0 && view.producers.length > 0");
    let form = |name: &str| {
        browser.run(&format!(
            "[...document.querySelectorAll('.hand button')].find(b => b.textContent.startsWith('{name}')).click()"
        ))
    };
    form("Add a producer");
    browser.fill(".hand input[name=records-a-second]", "7");
    browser.click(".hand button.do");
    wait_view(&browser, "the producer", "view.producers.some(p => p.name === 'p2' && Math.round(p.rate) === 7)");

    browser.run("document.querySelector('.stage [aria-label^=\"producer p2\"]')?.dispatchEvent(new MouseEvent('click', {bubbles: true}))");
    browser.fill(".hand input.rate", "20");
    wait_view(&browser, "the rate", "view.producers.some(p => p.name === 'p2' && Math.round(p.rate) === 10)");

    browser.key("\u{E00C}");
    form("Send one record");
    browser.fill(".hand input[name=partition]", "1");
    browser.fill(".hand input[name=key]", "chosen");
    browser.fill(".hand input[name=value]", "by hand");
    browser.click(".hand button.do");
    browser
        .wait("the line", "return ottla.scenario().includes('send orders key=chosen value=\"by hand\" partition=1')");

    browser.run("document.querySelector('.stage [aria-label^=\"broker-2\"]').dispatchEvent(new MouseEvent('click', {bubbles: true}))");
    browser.wait("the broker", "return document.querySelector('.hand h2')?.textContent.startsWith('broker-2')");
    browser.click(".hand .actions .danger");
    wait_view(&browser, "its death", "view.brokers[1].health === 'Dead'");
    browser.wait(
        "that nobody leads",
        "return document.querySelector('.broker.dead .row .note')?.textContent.startsWith('no live leader')",
    );
    browser.click(".hand .actions .main");
    wait_view(&browser, "its return", "view.brokers[1].health === 'Running'");
    quiet(&browser);
}

#[test]
fn a_shared_link_opens_at_the_same_moment_in_a_fresh_tab() {
    let (browser, address) = page();
    run_scenario(&browser, BUSY);
    pause(&browser);
    scrub(&browser, 0.4);
    browser.click(".top .share");
    let link = browser.wait("the link", "return document.querySelector('.notice input')?.value");
    let link = link.as_str().unwrap();
    assert!(link.starts_with(&format!("{address}#v1.")) && link.len() < 2_000, "{link}");
    let shared = view(&browser);
    quiet(&browser);
    browser.fresh_tab();
    browser.open(link);
    browser.wait(
        "the page",
        &format!("return !!window.ottla && JSON.parse(ottla.view()).now === {}", shared.now.as_nanos()),
    );
    settle(&browser);
    assert_eq!(view(&browser), shared);
    assert_eq!(browser.run("return ottla.scenario()"), json!(BUSY));
    quiet(&browser);
}

#[test]
fn a_damaged_link_is_refused_in_words_and_offers_a_beginning() {
    let address = host::serve(dist());
    let browser = Browser::start(1440, 900).expect("chromedriver is installed");
    browser.open(&format!("{address}#v1.AAAA"));
    let words = browser.wait("the reason", "return document.querySelector('.notice')?.textContent");
    assert!(words.as_str().unwrap().contains("The link was not opened"), "{words}");
    browser.click(".empty .card");
    wait_view(&browser, "a cluster", "view.brokers.length > 0");
    quiet(&browser);
}

/// A scenario at a moment, in a page from a static host.
fn at(text: &str, seconds: f64) -> Browser {
    let cursor = Instant::ZERO + Duration::from_secs_f64(seconds);
    let browser = Browser::start(1440, 900).expect("chromedriver is installed");
    browser.open(&format!("{}{}", host::serve(dist()), link::encode(text, cursor)));
    let there = format!("return !!window.ottla && JSON.parse(ottla.view()).now === {}", cursor.as_nanos());
    browser.wait("the page", &there);
    settle(&browser);
    browser
}

fn prepared(name: &str) -> &'static str {
    prepared::ALL.iter().find(|scenario| scenario.name == name).expect("it is prepared").text
}

/// Picks up what an empty hand offers.
fn look_at(browser: &Browser, name: &str) {
    browser.run(&format!(
        "[...document.querySelectorAll('.hand .actions button')].find(b => b.textContent === '{name}').click()"
    ));
}

#[test]
fn a_rebalance_shows_who_reads_on_and_which_partitions_stand_still() {
    let verdict = |name: &str, seconds: f64| {
        let browser = at(prepared(name), seconds);
        look_at(&browser, "Group shop");
        let words = browser.wait("the verdict", "return document.querySelector('.hand .verdict')?.textContent");
        let step = browser.run("return document.querySelector('.hand .steps .on').textContent");
        quiet(&browser);
        (words.as_str().unwrap().to_owned(), step.as_str().unwrap().to_owned())
    };
    let said = |words: &str, step: &str| (words.to_owned(), step.to_owned());
    assert_eq!(verdict("eager-rebalance", 9.0), said("All 6 are read.", "reading"));
    assert_eq!(verdict("eager-rebalance", JOINED), said("4 of 6 stand still.", "all join"));
    assert_eq!(verdict("cooperative-rebalance", JOINED), said("All 6 are read.", "all join"));
}

#[test]
fn a_transaction_shows_where_it_stands_and_where_read_committed_stops() {
    let browser = at(prepared("read-committed-waits"), 8.0);
    look_at(&browser, "Transaction slow");
    browser.wait("its step", "return document.querySelector('.hand .steps .on')?.textContent === 'open'");
    let stops = browser.run("return document.querySelector('.hand .facts dd').textContent");
    let shown = view(&browser);
    let leader = shown.brokers.iter().flat_map(|broker| &broker.replicas).find(|it| it.topic == "orders" && it.leader);
    let leader = leader.expect("somebody leads");
    assert!(leader.stable < leader.high_watermark);
    assert_eq!(stops, json!(format!("{} of {}", leader.stable, leader.high_watermark)));
    // The line of the last stable offset, on all three replicas.
    assert_eq!(browser.run("return document.querySelectorAll('.strip .stable').length"), json!(3));
    quiet(&browser);
}

#[test]
fn a_topic_shows_its_replicas_by_broker_and_rack() {
    let browser = at(prepared("where-replicas-go"), 4.0);
    look_at(&browser, "Topic orders");
    // Brokers 1, 2, 3 in rack a and 4, 5, 6 in rack b: the notes' 4, 5, 6, 6, 5, 4 down the list 1, 4, 2, 5, 3, 6.
    let rows = browser.run(
        "return [...document.querySelectorAll('.spread .sum')].map(row => [...row.cells].map(cell => cell.textContent))",
    );
    assert_eq!(rows[0], json!(["replicas", "4", "6", "5", "5", "6", "4"]));
    assert_eq!(rows[2], json!(["of the rack", "15, leads 5", "15, leads 5"]));
    quiet(&browser);
}

#[test]
fn the_same_text_again_has_the_same_line_of_time() {
    let (browser, _) = page();
    let text = format!("{BUSY}@30s rate p1 0/s\n");
    run_scenario(&browser, &text);
    let long = "return Number(document.querySelector('.scrub').getAttribute('aria-valuemax')) >= 30000";
    browser.wait("a line as long as the scenario", long);
    browser.click(".under button.run");
    wait_view(&browser, "the beginning", "view.now < 5e9");
    browser.wait("a line as long as before", long);
    quiet(&browser);
}

#[test]
fn what_went_wrong_is_told_from_its_moment_on_and_not_before() {
    let browser = at(&format!("{BUSY}@3s expect failed = 7\n"), 4.0);
    let told = browser.wait("the notice", "return document.querySelector('.breach')?.textContent");
    let told = told.as_str().unwrap();
    assert!(told.contains("expect failed = 7 FAILED at 0:03.000") && told.contains("failed is 0"), "{told}");
    let step = browser.run("return document.querySelector('.moment.failed .found').textContent");
    assert_eq!(step, json!("FAILED: failed is 0"));
    let mark = browser.run("return document.querySelector('.scrub .level-bad').title");
    assert_eq!(mark, json!("3 s · expect failed = 7 FAILED: failed is 0"));
    browser.click(".transport .to-start");
    browser.wait("that it is gone", "return !document.querySelector('.breach, .clock .wrong, .moment.failed')");
    quiet(&browser);
}

#[test]
fn enter_does_what_a_form_says_and_escape_lets_it_go() {
    let (browser, _) = page();
    run_scenario(&browser, BUSY);
    wait_view(&browser, "a topic", "view.topics.length > 0");
    let form = "[...document.querySelectorAll('.hand button')].find(b => b.textContent.startsWith('Send one')).click()";
    browser.run(form);
    browser.wait("focus in the first field", "return document.activeElement.name === 'topic'");
    browser.key("\u{E007}");
    browser.wait("the record", "return ottla.scenario().includes('send orders value=hello')");
    browser.wait("no form", "return !document.querySelector('.hand form')");
    browser.run(form);
    browser.wait("focus again", "return document.activeElement.name === 'topic'");
    browser.key("\u{E00C}");
    browser.wait("no form", "return !document.querySelector('.hand form')");
    quiet(&browser);
}

#[test]
fn an_address_opens_a_scenario_by_its_name() {
    let browser = Browser::start(1440, 900).expect("chromedriver is installed");
    browser.open(&format!("{}#keys-and-partitions", host::serve(dist())));
    browser.wait("the page", "return !!window.ottla && ottla.view().length > 2");
    assert_eq!(browser.run("return ottla.scenario()"), json!(prepared("keys-and-partitions")));
    quiet(&browser);
}

#[test]
fn a_sheet_takes_the_keyboard_keeps_it_and_gives_it_back() {
    let (browser, _) = page();
    browser.run("document.querySelector('.top .share').focus()");
    browser.key("?");
    browser.wait("focus in the sheet", "return !!document.activeElement.closest('.dialog[aria-modal=true]')");
    for _ in 0..3 {
        browser.key("\u{E004}");
        assert_eq!(browser.run("return !!document.activeElement.closest('.dialog')"), Value::Bool(true));
    }
    browser.key("\u{E00C}");
    browser.wait("focus where it was", "return document.activeElement.matches('.top .share')");
    quiet(&browser);
}
