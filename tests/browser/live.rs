//! The same page from `ottla serve`: this server on the stage, while a real client uses it.

use std::time::Duration;

use ottla_tests::server::Server;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::driver::Browser;
use super::{dist, quiet, wait_view};

#[test]
fn a_server_is_watched_live_and_takes_one_record_from_the_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2", "--page", dist().to_str().unwrap()]);
    let browser = Browser::start(1440, 900).expect("chromedriver is installed");
    browser.open(&format!("http://{}/", server.page));
    browser.wait("the page", "return !!window.ottla");
    browser.click(".segments button:nth-of-type(2)");
    wait_view(&browser, "the server's brokers", "view.seed === null && view.brokers.length === 2");

    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("client.id", "till")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    let end = "Math.max(0, ...view.brokers.flatMap(b => b.replicas).filter(r => r.topic === 'orders').map(r => r.end))";
    for number in 1..=20 {
        producer
            .send(BaseRecord::to("orders").key("4711").payload("coffee").partition(0))
            .map_err(|(error, _)| error)
            .unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();
        wait_view(&browser, "the record", &format!("{end} >= {number}"));
    }
    wait_view(&browser, "the client by its name", "view.producers.some(p => p.name === 'till')");
    wait_view(&browser, "its requests", "view.messages.some(m => m.kind === 'Produce')");

    browser
        .run("[...document.querySelectorAll('.hand button')].find(b => b.textContent.startsWith('Send one')).click()");
    browser.fill(".hand input[name=topic]", "orders");
    browser.fill(".hand input[name=partition]", "0");
    browser.fill(".hand input[name=value]", "by hand");
    browser.click(".hand button.do");
    wait_view(&browser, "the record from the page", &format!("{end} >= 21"));
    quiet(&browser);

    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", server.bootstrap()).set("group.id", "none").create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("orders", 0, Offset::Offset(20)).unwrap();
    consumer.assign(&place).unwrap();
    // A client with a group.id asks for its coordinator as well, and is told that there is none.
    let record = (0..30).find_map(|_| consumer.poll(Duration::from_secs(1))?.ok()).expect("a record");
    assert_eq!(record.payload(), Some(&b"by hand"[..]));
}

#[test]
fn a_live_broker_is_killed_paused_cut_and_started_from_the_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "2", "--page", dist().to_str().unwrap()]);
    let browser = Browser::start(1440, 900).expect("chromedriver is installed");
    browser.open(&format!("http://{}/", server.page));
    browser.wait("the page", "return !!window.ottla");
    browser.click(".segments button:nth-of-type(2)");
    wait_view(&browser, "the server's brokers", "view.seed === null && view.brokers.length === 2");
    let press = |label: &str| {
        let chip = format!("document.querySelector('.stage .chip[aria-label^=\"{label}\"]')");
        browser.wait(label, &format!("return !!{chip}"));
        browser.run(&format!("{chip}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"));
    };
    press("kill broker-2");
    wait_view(&browser, "its death", "view.brokers[1].health === 'Dead'");
    press("start broker-2");
    wait_view(&browser, "its return", "view.brokers[1].health === 'Running' && view.links.length === 3");
    press("cut the link between broker-1 and broker-2");
    wait_view(&browser, "the cut", "view.links.some(link => link.cut && link.to === 'broker-2')");
    press("heal the link between broker-1 and broker-2");
    wait_view(&browser, "the link", "view.links.every(link => !link.cut)");

    browser.run("document.querySelector('.stage [aria-label^=\"broker-2\"]').dispatchEvent(new MouseEvent('click', {bubbles: true}))");
    let button = |name: &str| {
        let found =
            format!("[...document.querySelectorAll('.hand .actions button')].find(b => b.textContent === '{name}')");
        browser.wait(name, &format!("return !!{found}"));
        browser.run(&format!("{found}.click()"));
    };
    button("Pause");
    wait_view(&browser, "a pause", "view.brokers[1].health === 'Paused'");
    button("Resume");
    wait_view(&browser, "its going on", "view.brokers[1].health === 'Running'");
    button("Crash");
    wait_view(&browser, "its crash", "view.brokers[1].health === 'Dead'");
    wait_view(
        &browser,
        "the event log",
        "view.log.some(l => l.text.startsWith('crash broker-2: its machine is dead'))",
    );
    quiet(&browser);
}
