//! One run is one run: the same seed twice, forward and back, from a checkpoint or straight through.

use ottla_core::id::BrokerId;
use ottla_core::sim::Simulation;
use ottla_core::sim::history::Player;
use ottla_core::sim::scenario::{Action, Fault, Scenario, parse};
use ottla_core::sim::trace::{Trace, TraceHash};
use ottla_core::time::Instant;
use ottla_core::view::{Detail, Target};

const STORM: &str = "\
seed 7
cluster brokers=3 loss=1%
topic orders partitions=3 replication.factor=3
producer p1 topic=orders rate=40/s acks=all
producer p2 topic=orders rate=10/s acks=1
consumer c1 topics=orders auto.offset.reset=earliest
@2s kill broker-2
@3s send orders key=4711 value=hello
@4s start broker-2
@5s cut p1 broker-3
@7s heal p1 broker-3
@8s crash broker-1
@10s start broker-1
@20s expect acked > 100
";

fn scenario(text: &str) -> Scenario {
    parse::scenario(text).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn hash_of(scenario: &Scenario, until: Instant) -> u64 {
    let mut simulation = Simulation::new(scenario).unwrap();
    simulation.set_trace(Trace::Hash(TraceHash::default()));
    simulation.run(until, u64::MAX);
    simulation.trace().hash().unwrap()
}

fn seconds(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

#[test]
fn the_same_seed_twice_is_the_same_trace_and_another_seed_is_another() {
    let storm = scenario(STORM);
    assert_eq!(hash_of(&storm, seconds(20)), hash_of(&storm, seconds(20)));
    let other = scenario(&STORM.replace("seed 7", "seed 8"));
    assert_ne!(hash_of(&storm, seconds(20)), hash_of(&other, seconds(20)));
}

#[test]
fn a_copy_goes_on_as_the_original_does() {
    let mut original = Simulation::new(&scenario(STORM)).unwrap();
    original.run(seconds(3), u64::MAX);
    let mut copy = original.clone();
    for simulation in [&mut original, &mut copy] {
        simulation.set_trace(Trace::Hash(TraceHash::default()));
        simulation.run(seconds(12), u64::MAX);
    }
    assert_eq!(original.trace().hash(), copy.trace().hash());
    assert_eq!(original.view(), copy.view());
}

#[test]
fn seeking_back_and_forward_shows_the_same() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    let moments: Vec<Instant> = (0..40).map(|half| Instant::from_millis(half * 500)).collect();
    let mut views = Vec::new();
    for &moment in &moments {
        player.seek(moment);
        views.push(player.view());
    }
    for place in [39, 3, 17, 16, 18, 0, 25, 9, 38, 11] {
        player.seek(moments[place]);
        assert_eq!(player.view(), views[place], "at {}", moments[place]);
    }
}

#[test]
fn a_step_back_takes_back_exactly_one_event() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    player.seek(seconds(2));
    let mut views = Vec::new();
    for _ in 0..50 {
        views.push(player.view());
        player.step();
    }
    for view in views.iter().skip(1).rev() {
        player.step_back();
        assert_eq!(player.view(), *view);
    }
}

#[test]
fn what_is_done_by_hand_is_in_the_text_and_plays_again_the_same() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    player.seek(Instant::from_millis(1_234));
    player.act(Fault::Kill(BrokerId(3).into()).into()).unwrap();
    assert!(player.act(Fault::Kill(BrokerId(3).into()).into()).is_err(), "it is dead already");
    player.act(Action::Rate { client: "p2".to_owned(), milli_per_second: 100_000 }).unwrap();
    player.advance(Instant::from_millis(1_900), u64::MAX);
    player.act(Fault::Start(BrokerId(3).into()).into()).unwrap();
    player.advance(seconds(12), u64::MAX);

    let text = player.scenario().to_string();
    assert!(text.contains("kill broker-3"), "{text}");
    let mut again = Player::new(scenario(&text)).unwrap();
    again.seek(seconds(12));
    assert_eq!(again.view(), player.view());
}

#[test]
fn an_action_in_the_past_leaves_what_the_scenario_had_ahead() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    player.seek(seconds(15));
    player.seek(seconds(1));
    player.act(Fault::Kill(BrokerId(1).into()).into()).unwrap();
    let marks: Vec<_> = player.marks().into_iter().map(|mark| mark.text).collect();
    assert_eq!(marks[0], "kill broker-1");
    assert_eq!(marks.len(), 9, "{marks:?}");
    player.seek(seconds(21));
    assert_eq!(player.view().now, seconds(21));
}

#[test]
fn every_message_in_flight_can_be_looked_into() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    let mut seen = 0;
    for _ in 0..2_000 {
        player.step();
        if !player.event().is_multiple_of(97) {
            continue;
        }
        for message in player.view().messages {
            assert!(message.departed <= message.arrives);
            let Some(Detail::Message(detail)) = player.detail(&Target::Message { id: message.id }) else {
                panic!("{} has no detail", message.line);
            };
            assert_eq!(detail.message, message);
            assert!(!detail.fields.is_empty() || detail.api == "cluster", "{}", message.line);
            seen += 1;
        }
    }
    assert!(seen > 20);
}

#[test]
fn every_cell_of_a_strip_can_be_looked_into() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    player.seek(seconds(3));
    let mut cells = 0;
    for broker in player.view().brokers {
        for replica in &broker.replicas {
            for batch in &replica.batches {
                let (id, topic, partition) = (broker.id, replica.topic.clone(), replica.partition);
                let target = Target::Batch { broker: id, topic, partition, offset: batch.last_offset };
                let Some(Detail::Batch(detail)) = player.detail(&target) else { continue };
                assert_eq!((detail.base_offset, detail.last_offset), (batch.base_offset, batch.last_offset));
                assert_eq!(detail.records.len() as i64, batch.last_offset - batch.base_offset + 1);
                assert_eq!((detail.size, detail.broken), (batch.bytes, None));
                cells += 1;
            }
        }
    }
    assert!(cells > 20);
}

#[test]
fn ten_minutes_are_kept_in_few_checkpoints_and_going_back_is_cheap() {
    let text =
        "cluster brokers=3\ntopic orders partitions=3\nproducer p1 topic=orders rate=20/s\nconsumer c1 topics=orders\n";
    let mut player = Player::new(scenario(text)).unwrap();
    player.seek(seconds(600));
    let events = player.event();
    let checkpoints = player.checkpoints();
    assert!(checkpoints.len() <= 64, "{}", checkpoints.len());
    // Near now they are close to each other.
    assert!(events - checkpoints.last().unwrap() < 2_000);
    // Nowhere is the way from one to the next longer than a tenth of the way back there.
    for pair in checkpoints.windows(2) {
        assert!(pair[1] - pair[0] <= (events - pair[0]) / 5 + 2_000, "{pair:?} of {events}");
    }
}

#[test]
fn a_rate_that_is_set_twice_at_one_moment_is_one_line_and_the_same_run() {
    let mut player = Player::new(scenario(STORM)).unwrap();
    player.seek(seconds(1));
    for milli_per_second in [50_000, 80_000] {
        player.act(Action::Rate { client: "p1".into(), milli_per_second }).unwrap();
    }
    let text = player.scenario().to_string();
    assert_eq!(text.matches("rate p1").collect::<Vec<_>>().len(), 1, "{text}");
    assert!(text.contains("rate p1 80/s"), "{text}");
    player.seek(seconds(9));
    let mut again = Player::new(scenario(&text)).unwrap();
    again.seek(seconds(9));
    assert_eq!(again.view(), player.view());
}
