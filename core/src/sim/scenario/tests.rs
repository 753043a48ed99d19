use super::*;
use crate::id::BrokerId;
use crate::time::Duration;

fn errors(text: &str) -> Vec<String> {
    parse::scenario(text).unwrap_err().iter().map(ParseError::to_string).collect()
}

#[test]
fn the_text_in_the_module_header_is_read_as_it_says() {
    let header = include_str!("mod.rs");
    let from = header.find("//! # Three brokers").unwrap();
    let lines = header[from..].lines().take_while(|line| !line.contains("```"));
    let text: String = lines.map(|line| format!("{}\n", line.trim_start_matches("//! "))).collect();
    let scenario = parse::scenario(&text).unwrap();
    assert_eq!(scenario.title(), Some("Three brokers, a topic, traffic, and a death."));
    assert_eq!(scenario.seed, Seed(7));
    assert_eq!(scenario.cluster.brokers, 3);
    assert_eq!(scenario.cluster.racks, ["a", "b", "c"]);
    assert_eq!(scenario.cluster.latency, Some((Duration::from_millis(1), Duration::from_millis(5))));
    assert_eq!(scenario.cluster.loss_per_million, 1_000);
    assert_eq!(scenario.cluster.settings["log.segment.bytes"], "1048576");
    let send = &scenario.actions[3];
    assert_eq!(send.at, Instant::from_millis(3_000));
    let Action::Send { record, .. } = &send.action else { panic!("{send}") };
    assert_eq!(record.key.as_deref(), Some(&b"4711"[..]));
    assert_eq!(record.value.as_deref(), Some(&b"hello world"[..]));
    assert_eq!(record.headers, [("a".to_string(), Some(b"b".to_vec()))]);
    assert_eq!((record.partition, record.timestamp), (Some(1), Some(1_700_000_000_000)));
    assert_eq!(scenario.last(), Instant::from_millis(20_000));
}

#[test]
fn a_network_without_latency_is_refused_for_time_would_stand_still() {
    for latency in ["0ms", "0ms..0ms", "0ms..5ms", "999ns", "61s"] {
        let errors = errors(&format!("cluster brokers=1 latency={latency}\n"));
        assert!(errors[0].contains("expected a latency from 1us to 60s"), "{latency}: {errors:?}");
    }
    assert!(parse::scenario("cluster brokers=1 latency=1us..1us\n").is_ok());
}

#[test]
fn what_is_written_is_read_back_with_comments_and_odd_bytes() {
    let text = "\
# A title

# and a paragraph
seed 3
cluster brokers=2 latency=0.5ms loss=12.5%

# who
topic a_b.c-d partitions=2 cleanup.policy=delete
producer p-1 topic=a_b.c-d rate=0.5/s value.size=100   # slowly
@90s send a_b.c-d value=\"\" header=\"x:y\":\"a \\\"quoted\\\" \\\\ \\xff thing\" header=null key=\"#1\"
@1.000000001s rate p-1 30/m
@2m heal broker-2 p-1
@1ms expect   end:a_b.c-d-1>=3
# the end
";
    let scenario = parse::scenario(text).unwrap();
    let written = scenario.to_string();
    assert_eq!(parse::scenario(&written).unwrap(), scenario, "{written}");
    assert_eq!(parse::scenario(&written).unwrap().to_string(), written);
    assert_eq!(scenario.opening, ["# A title", "", "# and a paragraph"]);
    assert_eq!(scenario.closing, ["# the end"]);
    for line in [
        "topic a_b.c-d partitions=2 replication.factor=1 cleanup.policy=delete",
        "# slowly",
        "@1ms expect end:a_b.c-d-1 >= 3",
        "@1.000000001s rate p-1 0.5/s",
        "@120s heal broker-2 p-1",
    ] {
        assert!(written.lines().any(|written| written == line), "{line} is not in\n{written}");
    }
    let Action::Send { record, .. } =
        &scenario.actions.iter().find(|timed| timed.at.as_millis() == 90_000).unwrap().action
    else {
        panic!("the chosen record is gone")
    };
    assert_eq!(record.value.as_deref(), Some(&b""[..]));
    assert_eq!(record.headers[0], ("x:y".to_string(), Some(b"a \"quoted\" \\ \xff thing".to_vec())));
    assert_eq!(record.headers[1], ("null".to_string(), None));
}

#[test]
fn every_wrong_line_is_told_with_its_column_and_what_was_expected() {
    let text = "\
cluster brokers=3
topic orders partitions=0
prodcuer p1 topic=orders
producer p1 topic=orders lingerms=5
producer p2 topic=orders acks=most
  @5x kill broker-1
@5s kill broker-7
@5s cut p1 p9
@6s send orders kye=1
@7s send orders value=\"open
@8s expect ackd >= 3
@9s expect acked => 3
consumer broker-9 topics=orders
producer p3 topic=orders acks=1 transactional.id=t1
";
    let told = errors(text);
    for (line, expected) in [
        (0, "line 2, column 14: expected partitions from 1 to 1000, found 0"),
        (1, "line 3, column 1: expected one of seed, cluster"),
        (2, "line 4, column 26: a producer has no setting lingerms. Did you mean linger.ms?"),
        (3, "line 5, column 26: expected acks to be one of all, -1, 0, 1, found most."),
        (4, "line 6, column 3: expected a time after the @"),
        (5, "line 7, column 10: expected broker-1 to broker-3, found broker-7"),
        (6, "line 8, column 12: no producer or consumer is called p9. Did you mean p1?"),
        (
            7,
            "line 9, column 17: expected one of by, key, value, header, partition, timestamp, found kye. Did you mean key?",
        ),
        (8, "line 10, column 23: this quote is not closed before the line ends"),
        (9, "line 11, column 12: expected one of sent, acked"),
        (10, "line 12, column 12: expected one of <, <=, =, >=, >, found =>"),
        (11, "line 13, column 10: expected another name: those that begin with broker-"),
        (12, "line 14, column 33: Cannot set a transactional.id without also enabling idempotence."),
    ] {
        assert!(told[line].starts_with(expected), "{} does not begin with {expected}", told[line]);
    }
    assert_eq!(told.len(), 13, "{told:#?}");
    assert!(told[1].ends_with("Did you mean producer?"));
    assert!(told[9].ends_with("Did you mean acked?"));
}

#[test]
fn nobody_is_spoken_of_before_they_come() {
    let text = "topic orders partitions=1\nskew p1 +1h\nproducer p1 topic=orders\n@2s consumer c1 topics=orders\n";
    assert_eq!(errors(text), ["line 2, column 1: p1 is not there yet: the line that brings it comes later"]);
    let text = "producer p1 topic=orders\nskew p1 +1h\n@1s cut c1 broker-1\n@2s consumer c1 topics=orders\n";
    assert_eq!(errors(text), ["line 3, column 5: c1 is not there yet: the line that brings it comes later"]);
    assert!(parse::scenario("@5s kill p1\nproducer p1 topic=orders\n").is_ok());
}

#[test]
fn every_fault_is_read_and_written_back_as_it_stands() {
    let lines = "\
kill broker-2
crash rack a
start rack a
kill controller
pause c1
resume c1
cut broker-1 broker-2
cut broker-1 -> broker-2
cut broker-2 controller
cut rack a rack b
cut p1 -> rack b
heal broker-1 -> broker-2
heal
slow broker-1 disk 50ms
slow broker-1 disk off
slow p1 broker-1 20ms
slow broker-1 -> broker-2 1.5s
slow broker-1 broker-2 off
slow broker-1 off
hold broker-1 -> broker-2 2s
reset p1 broker-3
fill broker-1
free broker-1
wipe broker-1
tear broker-1
corrupt broker-1
skew broker-1 +5s
skew c1 -0.25s
skew broker-1 off
add broker
stop broker-4
";
    let opening = "cluster brokers=3 racks=a,b link=10MB/s disk=1.5GB/s requests=2000/s\nproducer p1 topic=t\nconsumer c1 topics=t\n";
    let text = format!("{opening}{}", lines.lines().map(|line| format!("@1s {line}\n")).collect::<String>());
    let scenario = parse::scenario(&text).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(scenario.to_string(), text.replace("-0.25s", "-250ms"));
    for line in lines.lines() {
        assert!(parse::action(line).is_ok(), "{line} stands alone, too");
    }
}

#[test]
fn what_an_admin_asks_is_read_and_written_back_as_it_stands() {
    let lines = "\
delete-records a-b.c-12 before=20
delete-records t-0 before=-1
quota client=p1 producer_byte_rate=1000
quota user=* client=* consumer_byte_rate=5 request_percentage=12.5
quota user=\"a b\" controller_mutation_rate=0.25 producer_byte_rate=\"\"
";
    let text = format!("cluster brokers=1\n{}", lines.lines().map(|line| format!("@1s {line}\n")).collect::<String>());
    let scenario = parse::scenario(&text).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(scenario.to_string(), text);
    for (line, expected) in [
        ("delete-records t before=1", "column 16: expected a partition, such as orders-0, found t"),
        ("delete-records t-0", "column 20: expected up to where, such as before=20"),
        ("delete-records t-0 before=-2", "column 20: expected up to where, such as before=20, found before=-2"),
        ("delete-records t-0 after=2", "column 20: expected up to where, such as before=20, found after=2"),
        ("quota producer_byte_rate=1", "column 7: expected whose it is, such as client=p1"),
        ("quota client=p1", "column 17: expected a quota, such as producer_byte_rate=1000"),
        ("quota client= producer_byte_rate=1", "column 7: expected a client, or *"),
        ("quota client=p1 producer_byte_rate=1.5", "column 17: expected a whole number above 0, found 1.5"),
        ("quota client=p1 request_percentage=0", "column 17: expected a number above 0, found 0"),
        ("quota client=p1 producer_rate=1", "column 17: expected one of user, client, consumer_byte_rate"),
    ] {
        let told = parse::action(line).unwrap_err().to_string();
        assert!(told.starts_with(&format!("line 1, {expected}")), "{line}: {told}");
    }
}

#[test]
fn a_fault_that_makes_no_sense_is_refused_with_what_was_expected() {
    let opening = "cluster brokers=2 racks=a,b\nproducer p1 topic=t\n";
    for (line, expected) in [
        ("crash p1", "column 11: expected a broker, such as broker-1, rack a, controller or zookeeper, found p1"),
        ("kill p2", "column 10: no producer or consumer is called p2. Did you mean p1?"),
        ("kill brokr-2", "column 10: no producer or consumer is called brokr-2. Did you mean broker-2?"),
        ("pause contoller", "column 11: no producer or consumer is called contoller. Did you mean controller?"),
        ("stop zookeper", "column 10: no producer or consumer is called zookeper. Did you mean zookeeper?"),
        ("start controller", "column 11: no producer or consumer is called controller."),
        ("seek p1 t-0 5", "column 10: no consumer is called p1."),
        ("pause p1 t-0", "column 11: no consumer is called p1."),
        ("kill rack c", "column 15: no broker is in a rack c."),
        ("crash rack", "column 16: expected a rack's name"),
        ("cut broker-1 broker-1", "column 18: expected another node than broker-1"),
        ("cut broker-1", "column 18: expected a node"),
        ("cut broker-1 -> ", "column 21: expected a node"),
        ("heal broker-1", "column 19: expected a node"),
        ("slow broker-1", "column 19: expected disk, another node, or off"),
        ("slow broker-1 disk 61s", "column 24: expected by how much, or off, up to 60s"),
        ("slow p1 disk 1s", "column 10: expected a broker: p1 has no disk"),
        ("slow p1 broker-1 0s", "column 22: expected by how much, or off"),
        ("reset p1 -> broker-1", "column 11: expected reset A B"),
        ("skew broker-1 5s", "column 19: expected whole milliseconds"),
        ("skew broker-1 +0.5ms", "column 19: expected whole milliseconds"),
        ("pause broker-1 broker-2", "column 20: expected the line to end here"),
        ("add brokers", "column 9: expected add broker, found add brokers"),
        ("duplicate p1 broker-1", "column 5: expected one of seed"),
    ] {
        let told = errors(&format!("{opening}@1s {line}\n"));
        assert!(told[0].starts_with(&format!("line 3, {expected}")), "{line}: {}", told[0]);
    }
    assert!(errors("producer rack topic=t")[0].contains("rack is a word of scenarios"));
    assert!(errors("cluster link=10MB")[0].contains("such as link=10MB/s"));
    assert!(errors("cluster brokers=32\nadd broker")[0].contains("32 brokers in all"));
    let told = errors("cluster brokers=3 replica.lag.time.max.ms=400");
    assert!(told[0].starts_with("line 1, column 19: requirement failed: replica.fetch.wait.max.ms should"), "{told:?}");
    assert!(errors("topic orders partions=3")[0].ends_with("no config partions. Did you mean partitions?"));
    assert!(errors("cluster latency=60ms..20ms")[0].contains("from the least to the most"));
    let told = errors("topic t\nconsumer c topics=t group.id=g auto.offset.reset=foo");
    assert!(told[0].starts_with("line 2, column 32: "), "{told:?}");
    let told = errors("cluster brokers=3 log.retention.hours=0");
    assert!(told[0].starts_with("line 1, column 1: requirement failed: log.retention.ms must be"), "{told:?}");
}

#[test]
fn columns_count_characters_and_not_bytes() {
    assert_eq!(parse::scenario("@1s send orders value=\"žluťoučký\" kye=1").unwrap_err()[0].column, 35);
}

#[test]
fn a_text_without_bounds_is_refused() {
    assert!(errors(&"#\n".repeat(40_000))[0].contains("65536 bytes"));
    assert!(errors(&"@1s kill broker-1\n".repeat(2_001))[0].contains("2000 actions"));
    assert!(errors("topic a partitions=600\ntopic b partitions=600")[0].contains("1000 partitions"));
    assert!(errors("producer p1 topic=a\nconsumer p1 topics=a")[0].contains("p1 is there already"));
    assert!(errors("cluster brokers=33")[0].contains("from 1 to 32"));
    assert!(errors("producer p1 topic=a rate=100001/s")[0].contains("100000/s"));
    assert!(errors("@25h kill broker-1")[0].contains("at most 24h"));
    assert!(errors("@99999999999999999999s kill broker-1")[0].contains("expected a time"));
    assert!(errors("topic a replication.factor=3")[0].contains("at most 1"));
}

#[test]
fn one_line_is_read_without_knowing_who_is_there() {
    assert_eq!(parse::action("kill broker-2"), Ok(Fault::Kill(BrokerId(2).into()).into()));
    assert_eq!(parse::action("rate p7 2/s"), Ok(Action::Rate { client: "p7".into(), milli_per_second: 2_000 }));
    assert_eq!(
        parse::action("kill").unwrap_err(),
        ParseError::new(
            1,
            6,
            "expected a broker, such as broker-1, rack a, controller, zookeeper, or a producer or consumer"
        )
    );
    assert_eq!(parse::action("crash zookeeper"), Ok(Fault::Crash(Who::ZooKeeper).into()));
    assert!(parse::action("").unwrap_err().message.contains("expected one of"));
}

#[test]
fn what_operators_do_is_read_written_and_checked() {
    let text = "cluster brokers=3\ntopic orders partitions=2 replication.factor=2\n\
                grow orders partitions=4\nreassign orders-0 2,3\nreassign orders-0 cancel\n\
                elect preferred orders-0\nelect unclean orders-1\nconfig orders flush.ms=\"\" retention.ms=5000\n\
                config broker-2 log.retention.ms=7\nconfig brokers log.retention.ms=\"\"\ndelete orders\n\
                topic orders partitions=1 replication.factor=1\n";
    assert_eq!(parse::scenario(text).unwrap().to_string(), text);
    for (line, column, message) in [
        ("reassign orders-0 4", 19, "expected brokers from 1 to 3, found 4"),
        ("reassign orders-0 2,2", 19, "expected every broker once, found 2 twice"),
        ("reassign orders 2", 10, "expected a partition, such as orders-0, found orders"),
        ("elect prefered orders-0", 7, "expected preferred or unclean, found prefered. Did you mean preferred?"),
        ("config orders", 15, "expected a setting, such as retention.ms=5000"),
        ("config broker-1 num.partitions=3", 17, "Cannot update these configs dynamically: [num.partitions]"),
        ("grow orders 3", 13, "expected partitions=, from 1 to 1000, such as partitions=6, found 3"),
    ] {
        let errors = parse::scenario(&format!("cluster brokers=3\n{line}\n")).unwrap_err();
        assert_eq!((errors[0].line, errors[0].column, errors[0].message.as_str()), (2, column, message), "{line}");
    }
}

#[test]
fn the_prepared_scenarios_are_read_and_open_with_a_title() {
    for prepared in prepared::ALL {
        let scenario = parse::scenario(prepared.text).unwrap_or_else(|errors| panic!("{}: {errors:?}", prepared.name));
        assert!(scenario.title().is_some(), "{}", prepared.name);
        assert_eq!(parse::scenario(&scenario.to_string()).as_ref(), Ok(&scenario));
    }
}

#[test]
fn what_concerns_groups_is_read_written_and_checked() {
    let opening = "cluster brokers=1\ntopic orders partitions=1 replication.factor=1\n";
    let lines = "consumer c1 group.id=g pattern=orders.*\nconsumer c2 topics=orders group.id=g\n@1s rate c1 2/s\n\
                 @1s seek c1 orders-0 5\n@1s pause c1 orders-0\n@1s resume c1 orders-0\n@1s pause c1\n@2s kill c1\n\
                 @3s start c1\n@4s stop c2\n@5s expect members:g = 1\n@5s expect owner:g:orders-0 = c1\n\
                 @5s expect owner:g:orders-0 = none\n@5s expect revoked:c1 = 0\n";
    let text = format!("{opening}{lines}");
    assert_eq!(parse::scenario(&text).unwrap().to_string(), text);
    for (line, expected) in [
        ("seek c1 orders", "column 9: expected a partition, such as orders-0"),
        ("seek c1 orders-0 -1", "column 18: expected an offset"),
        ("pause c1 orders-0 now", "column 10: expected the line to end here"),
        ("expect members = 1", "column 8: expected a group behind it, such as members:g"),
        ("expect owner:g:orders = c1", "column 8: expected a partition"),
        ("expect owner:orders-0 = c1", "column 8: expected a group, a partition and a consumer"),
        ("expect owner:g:orders-0 = c3", "column 8: no producer or consumer is called c3"),
    ] {
        let told = errors(&format!("{text}{line}\n"));
        assert!(told[0].starts_with(&format!("line 17, {expected}")), "{line}: {}", told[0]);
    }
    for (line, expected) in [
        ("consumer c9", "expected the consumer's topics"),
        ("consumer c9 topics=orders group.instance.id=a", "group.instance.id needs a group.id"),
        ("consumer c9 topics=orders group.id=g session.timeout.ms=x", "expected session.timeout.ms to be"),
    ] {
        let told = errors(&format!("{opening}{line}\n"));
        assert!(told[0].contains(expected), "{line}: {}", told[0]);
    }
}
