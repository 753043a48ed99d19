use super::*;

/// What Apache Kafka 4.3.0's classes decided for groups made by dice: a case a line. `same` is the same assignor, with what
/// it kept in mind, in the next rebalance. Topics are their partitions' racks; a member is its id, group.instance.id,
/// topics, rack, and what it owned in which generation.
const CASES: &str = include_str!("kafka.txt");

fn name(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn list(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|part| !part.is_empty())
}

fn partitions(text: &str) -> Vec<TopicPartition> {
    let partition = |text: &str| {
        let (topic, index) = text.rsplit_once('-').unwrap();
        TopicPartition::new(TopicName(name(topic)), index.parse().unwrap())
    };
    list(text, ',').map(partition).collect()
}

fn topics(text: &str) -> Topics {
    let topic = |text: &str| {
        let (topic, racks) = text.split_once('=').unwrap();
        let racks = racks.split('|').map(|racks| list(racks, '+').map(name).collect());
        (TopicName(name(topic)), racks.collect())
    };
    list(text, ';').map(topic).collect()
}

fn member(strategy: Strategy, text: &str) -> Member {
    let [id, instance, topics, rack, owned, generation] = text.split(':').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    let (owned, generation): (_, i32) = (partitions(owned), generation.parse().unwrap());
    Member {
        id: name(id),
        instance_id: Some(name(instance)).filter(|instance| !instance.is_empty()),
        topics: list(topics, ',').map(|topic| TopicName(name(topic))).collect(),
        rack: Some(name(rack)).filter(|rack| !rack.is_empty()),
        user_data: strategy.user_data((generation >= 0).then_some((generation, &owned))),
        // Eager members have let go of everything.
        owned: if strategy.is_cooperative() { owned } else { Vec::new() },
        generation: Some(generation).filter(|generation| *generation >= 0),
    }
}

#[test]
fn partitions_go_where_kafkas_assignors_send_them() {
    let mut max_generation = -1;
    let mut seen = VecSet::new();
    for (number, line) in (1..).zip(CASES.lines()) {
        let [strategy, age, known, members, expected] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let strategy = Strategy::named(strategy).unwrap();
        if age == "new" {
            max_generation = -1;
        }
        let members: Vec<Member> = list(members, ';').map(|text| member(strategy, text)).collect();
        let assigned = strategy.assign(&topics(known), &members, &mut max_generation);
        let expected: Assignments = list(expected, ';')
            .map(|text| text.split_once('=').unwrap())
            .map(|(member, owned)| {
                let mut owned = partitions(owned);
                owned.sort();
                (name(member), owned)
            })
            .collect();
        assert_eq!(assigned, expected, "line {number}: {line}");
        seen.insert(strategy.name());
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_strategy_is_found_by_its_class() {
    assert_eq!(Strategy::of("RangeAssignor"), Ok(Strategy::Range));
    assert_eq!(Strategy::of("org.apache.kafka.clients.consumer.StickyAssignor"), Ok(Strategy::Sticky));
    assert!(Strategy::of("StickyAsignor").unwrap_err().ends_with("Did you mean StickyAssignor?"));
}
