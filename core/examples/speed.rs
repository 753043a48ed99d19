//! How fast the simulator is: three brokers, one topic of three partitions and three replicas, 200 records a second with
//! acks=all, two consumers.
//!
//! `cargo run --release -p ottla-core --example speed [SIMULATED SECONDS [RECORDS A SECOND [REPLICATION FACTOR]]]`

use std::error::Error;

use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::parse;
use ottla_core::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(600), |text| text.parse())?;
    let rate: u64 = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let factor: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let text = format!(
        "cluster brokers=3\n\
         topic orders partitions=3 replication.factor={factor}\n\
         producer p1 topic=orders rate={rate}/s value.size=100 acks=all\n\
         consumer c1 topics=orders auto.offset.reset=earliest\n\
         consumer c2 topics=orders auto.offset.reset=earliest\n"
    );
    let scenario = parse::scenario(&text).map_err(|errors| errors[0].to_string())?;
    let mut simulation = Simulation::new(&scenario)?;
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    let began = std::time::Instant::now();
    simulation.run(Instant::from_millis(seconds * 1_000), u64::MAX);
    let took = began.elapsed().as_secs_f64();
    let view = simulation.view();
    let acked: u64 = view.producers.iter().map(|producer| producer.acked).sum();
    let received: u64 = view.consumers.iter().map(|consumer| consumer.received).sum();
    println!("{seconds} simulated seconds in {took:.3} s: {:.0} × real time", seconds as f64 / took);
    println!("{} events, {:.0} a second", view.event, view.event as f64 / took);
    println!("{acked} records acknowledged, {received} received");
    Ok(())
}
