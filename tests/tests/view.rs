//! What a view says of the dead, and of topics that come one after the other.

use ottla_core::sim::history::Player;
use ottla_core::sim::scenario::parse;
use ottla_core::time::Instant;
use ottla_core::view::{BrokerView, Health, Target, View};

const CRASH: &str = "\
seed 5
cluster brokers=3 latency=5ms
topic orders partitions=3 replication.factor=3
producer p1 topic=orders rate=100/s acks=1
@5s crash broker-2
@6s kill broker-1
@7s topic apples
";

fn at(player: &mut Player, millis: u64) -> View {
    player.seek(Instant::from_millis(millis));
    player.view()
}

fn broker(view: &View, id: i32) -> &BrokerView {
    view.brokers.iter().find(|broker| broker.id == id).unwrap()
}

#[test]
fn a_crashed_broker_leads_nothing_and_shows_what_lies_on_its_disk() {
    let mut player = Player::new(parse::scenario(CRASH).unwrap()).unwrap();
    let before = at(&mut player, 4_999);
    assert!(broker(&before, 2).replicas.iter().any(|replica| replica.leader));
    let view = at(&mut player, 5_900);
    let dead = broker(&view, 2);
    assert_eq!((dead.health, dead.replicas.len()), (Health::Dead, 3));
    let mut lost = 0;
    for (replica, was) in dead.replicas.iter().zip(&broker(&before, 2).replicas) {
        assert!(!replica.leader);
        assert_eq!(replica.flushed, replica.end);
        assert_eq!(replica.batches.last().map_or(0, |batch| batch.last_offset + 1), replica.end);
        lost += was.end - replica.end;
        for batch in &replica.batches {
            let target = Target::Batch {
                broker: 2,
                topic: "orders".into(),
                partition: replica.partition,
                offset: batch.base_offset,
            };
            assert!(player.detail(&target).is_some(), "{target:?} is not on the disk");
        }
    }
    assert!(lost > 0, "the crash lost nothing: the test shows nothing");
}

#[test]
fn a_dead_broker_is_no_controller() {
    let mut player = Player::new(parse::scenario(CRASH).unwrap()).unwrap();
    assert!(at(&mut player, 5_999).brokers.iter().any(|broker| broker.controller));
    let view = at(&mut player, 6_001);
    assert!(view.brokers.iter().all(|broker| !broker.controller || broker.health == Health::Running));
}

#[test]
fn a_topic_keeps_its_hue_when_another_comes_before_it_in_the_alphabet() {
    let text = CRASH.replace("@5s crash broker-2\n@6s kill broker-1\n", "");
    let mut player = Player::new(parse::scenario(&text).unwrap()).unwrap();
    let hues = |view: View| view.topics.into_iter().map(|topic| (topic.name, topic.hue)).collect::<Vec<_>>();
    assert_eq!(hues(at(&mut player, 6_000)), [("orders".to_owned(), 0)]);
    assert_eq!(hues(at(&mut player, 9_000)), [("apples".to_owned(), 1), ("orders".to_owned(), 0)]);
}
