//! One broker, two homes: the same session, over every API that is served, its versions and its errors, gives the same
//! answers from the simulated broker and from the server, byte for byte. Ports, ids and times are masked.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ResponseKind;
use ottla_core::id::BrokerId;
use ottla_core::protocol::Response;
use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::parse;
use ottla_core::time::Instant;
use ottla_tests::session::{Exchange, Learned, script};
use ottla_tests::{server::Server, wire};

fn simulated(script: &[Exchange]) -> Vec<(String, Result<ResponseKind, String>)> {
    let scenario = parse::scenario("cluster brokers=1\n").expect("a scenario of one line");
    let mut simulation = Simulation::new(&scenario).expect("a cluster of one broker");
    simulation.run(Instant::from_millis(1_000), u64::MAX);
    let mut learned = Learned::default();
    let hold = |(correlation_id, exchange): (i32, &Exchange)| {
        let answer = simulation.call(BrokerId(1), exchange.frame(correlation_id, &learned));
        let understood = match answer {
            Ok(frame) => exchange.understand(frame, &mut learned),
            Err(why) => Err(format!("{}: {why}", exchange.name)),
        };
        (exchange.name.clone(), understood)
    };
    (0..).zip(script).map(hold).collect()
}

/// The bytes of an answer whose ports, ids and times are masked.
fn bytes(exchange: &Exchange, answer: &ResponseKind) -> Bytes {
    let mut bytes = BytesMut::new();
    Response::new(exchange.response_version(), answer.clone())
        .encode(&mut bytes)
        .expect("what was decoded can be encoded");
    bytes.freeze()
}

#[test]
fn the_simulated_broker_and_the_server_give_the_same_bytes() {
    let script = script();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(directory.path(), &[]);
    let simulated = simulated(&script);
    let served = wire::hold(&server.bootstrap(), &script);
    let mut different = Vec::new();
    for ((exchange, (name, simulated)), (_, served)) in script.iter().zip(simulated).zip(served) {
        match (&simulated, &served) {
            (Ok(one), Ok(other)) if bytes(exchange, one) == bytes(exchange, other) => {}
            _ => different.push(format!("{name}\n  simulated: {simulated:?}\n  served:    {served:?}")),
        }
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), script.len(), different.join("\n"));
}
