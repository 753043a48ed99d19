//! What the page is told of a running server.

use std::io::Write;
use std::time::Duration;

use ottla_core::view::{Detail, MessageKind, Target, View};
use ottla_server::client::{Config, Producer as Handle, ProducerRecord};
use ottla_tests::page::Page;
use ottla_tests::server::Server;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

fn detail(server: &Server, target: &Target) -> Option<Detail> {
    let json = serde_json::to_string(target).unwrap();
    let encoded = json.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let answer = server.http("GET", &format!("/api/detail?target={encoded}"), "", "");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_client_its_offsets_and_its_requests_are_seen() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3"]);
    let mut page = Page::open(&server);
    let ready = |view: &View| view.brokers.iter().any(|broker| broker.controller) && view.zookeeper.sessions == 3;
    let view = page.wait_for(ready);
    assert_eq!(
        view.brokers.iter().map(|broker| &*broker.name).collect::<Vec<_>>(),
        ["broker-1", "broker-2", "broker-3"]
    );
    assert!(view.producers.is_empty());
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", server.bootstrap()).set("client.id", "till-7").create().unwrap();
    producer
        .send(BaseRecord::to("orders").partition(0).key("4711").payload("hello"))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
    // Whoever looks late sees the answer alone.
    let mut seen = Vec::new();
    let view = page.wait_for(|view| {
        seen.extend(view.messages.iter().filter(|it| it.kind == MessageKind::Produce).cloned());
        seen.iter().any(|it| it.response)
    });
    let till = view.producers.iter().find(|producer| producer.name == "till-7").unwrap();
    assert_eq!((till.topic.as_str(), till.sent, till.in_flight), ("orders", 1, 0));
    let replica = view.brokers.iter().flat_map(|broker| &broker.replicas).find(|it| it.partition == 0).unwrap();
    assert_eq!((replica.topic.as_str(), replica.end, replica.batches.len()), ("orders", 1, 1));

    let request = seen.iter().find(|it| !it.response).unwrap();
    assert_eq!(request.from, "till-7");
    let Some(Detail::Message(message)) = detail(&server, &Target::Message { id: request.id }) else { panic!() };
    assert_eq!((message.api.as_str(), message.client_id.as_deref()), ("Produce", Some("till-7")));
    assert!(message.fields.contains("acks: -1"), "{}", message.fields);
    // The real times, not how long the page lets a mark travel.
    let passed = message.passed.unwrap();
    assert!(passed.read < passed.answered.unwrap() && passed.answered.unwrap() <= view.now, "{passed:?}");
    let response = seen.iter().find(|it| it.response).unwrap();
    let Some(Detail::Message(answer)) = detail(&server, &Target::Message { id: response.id }) else { panic!() };
    assert_eq!(answer.passed, Some(passed));
    assert_eq!(message.batch.unwrap().records[0].value.as_deref(), Some("hello"));

    let broker = view.brokers.iter().find(|broker| !broker.replicas.is_empty()).unwrap().id;
    let batch = Target::Batch { broker, topic: "orders".into(), partition: 0, offset: 0 };
    let Some(Detail::Batch(batch)) = detail(&server, &batch) else { panic!() };
    assert_eq!((batch.at, batch.records[0].key.as_deref()), (Some((0, 0)), Some("4711")));
    let gone = Target::Batch { broker, topic: "orders".into(), partition: 0, offset: 99 };
    assert_eq!(detail(&server, &gone), None);
}

/// It names topics by their ids.
#[test]
fn of_a_transactional_producer_its_topic_and_its_transaction_are_seen() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--brokers", "3", "--set", "min.insync.replicas=2"]);
    let mut page = Page::open(&server);
    server.act("topic orders replication.factor=3");
    let config = Config::new().set("bootstrap.servers", server.bootstrap()).set("client.id", "till-7");
    let producer = Handle::new(config.set("transactional.id", "tills")).unwrap();
    producer.init_transactions().unwrap();
    producer.begin_transaction().unwrap();
    producer.send(ProducerRecord::new("orders", "hello")).wait().unwrap();
    let open = |view: &View| view.transactions.iter().any(|transaction| transaction.state == "Ongoing");
    let seen = |view: &View| view.producers.iter().any(|producer| producer.sent > 0 && producer.identity.is_some());
    let view = page.wait_for(|view| open(view) && seen(view));
    let till = view.producers.iter().find(|producer| producer.name == "till-7").unwrap();
    assert_eq!((till.topic.as_str(), till.sent), ("orders", 1));
    let identity = till.identity.as_ref().unwrap();
    let transaction = &view.transactions[0];
    assert_eq!((identity.transactional_id.as_deref(), &*transaction.id), (Some("tills"), "tills"));
    assert_eq!((identity.producer_id, identity.producer_epoch), (transaction.producer_id, transaction.producer_epoch));
    let kept = |name: &str| {
        let topic = view.topics.iter().find(|topic| topic.name == name).unwrap();
        (topic.replication_factor, topic.min_insync_replicas)
    };
    assert_eq!([kept("orders"), kept("__transaction_state")], [(3, 2), (3, 2)]);
    producer.commit_transaction().unwrap();
}

#[test]
fn who_comes_as_another_goes_gets_a_view_though_nothing_happens() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut page = Page::open(&server);
    for _ in 0..20 {
        page.view();
        // As a browser does when it reloads.
        let next = Page::open(&server);
        drop(std::mem::replace(&mut page, next));
    }
    page.view();
}

#[test]
fn metrics_count_requests_and_bytes() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let sent = server.http("POST", "/api/actions", "", "send orders value=x");
    assert!(sent.starts_with("HTTP/1.1 200"), "{sent}");
    server.connect().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let metrics = server.http("GET", "/metrics", "", "");
    for line in [
        "kafka_server_replicamanager_partitioncount{broker=\"1\"} 1",
        "kafka_log_log_numlogsegments{broker=\"1\"} 1",
        "# TYPE kafka_network_requestmetrics_produce_time_seconds histogram",
        "kafka_network_requestmetrics_requests_total{broker=\"1\",request=\"Produce\"}",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}
