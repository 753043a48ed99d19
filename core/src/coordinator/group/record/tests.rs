use super::*;

fn bytes(hex: &str) -> Bytes {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<u8>>().into()
}

/// The record, which is written again as Kafka wrote it.
fn same(key: &str, value: &str) -> Record {
    let (key, value) = (bytes(key), bytes(value));
    let record = Record::decode(Some(key.clone()), Some(value.clone())).unwrap().unwrap();
    assert_eq!(record.encode(), (key, Some(value)), "{record:?}");
    record
}

#[test]
fn what_kafka_4_3_wrote_is_read_and_written_the_same() {
    let Record::Offset(key, Some(value)) = same(
        "000100036b69700002743300000000",
        "0004000000000000012cffffffff01000001a2230b37c0010010c4115fc65bd6432dabd4d515b52173dd",
    ) else {
        panic!()
    };
    assert_eq!((&*key.group, &*key.topic, key.partition), ("kip", "t3", 0));
    let topic_id = Uuid::from_u128(0xc4115fc6_5bd6_432d_abd4_d515b52173dd);
    assert_eq!((value.offset, value.leader_epoch, value.topic_id), (300, -1, topic_id));

    let members = "0000000200286a63322d62396436336133322d663635662d346162372d626635352d636637616633383433316236ffff0003\
        6a6332000a2f3132372e302e302e31000493e00000afc80000001800030000000100027433ffffffff00000000ffffffffffff000000160003\
        00000001000274330000000100000002ffffffff00286a63312d38353466636239372d353763632d346565302d613262352d66366261383264\
        6261386233ffff00036a6331000a2f3132372e302e302e31000493e00000afc80000001800030000000100027433ffffffff00000000000000\
        01ffff0000001a00030000000100027433000000020000000000000001ffffffff";
    let head = "00030008636f6e73756d657200000002000572616e676500286a63312d38353466636239372d353763632d346565302d613262352d\
        663662613832646261386233000001a223099f15";
    let Record::Group(id, Some(value)) = same("000200026a67", &[head, members].concat()) else { panic!() };
    assert_eq!((&*id, value.generation, value.protocol.as_deref(), value.members.len()), ("jg", 2, Some("range"), 2));
    assert_eq!(&*value.members[0].client_host, "/127.0.0.1");
    same("000200026a67", "00030008636f6e73756d657200000003ffffffff000001a22309fecc00000000");

    let Record::Epoch(_, Some(value)) = same("000300036b6970", "000000000004010008ff11186131a7735f") else { panic!() };
    assert_eq!(value, EpochValue { epoch: 4, metadata_hash: 0xff11_1861_31a7_735f_u64 as i64 });
    same("000300036b6970", "00000000000500");

    let member = "00036b697000166d647a564d6f6e695330696844307634644b52617851";
    let key = |kind: &str| [kind, member].concat();
    let Record::Member(key_, Some(value)) =
        same(&key("0005"), "00000000036b330b2f3132372e302e302e310203743301000493e00001000100")
    else {
        panic!()
    };
    assert_eq!((&*key_.group, &*key_.member), ("kip", "mdzVMoniS0ihD0v4dKRaxQ"));
    assert_eq!((value.subscribed_topic_regex.as_deref(), value.classic), (Some(""), None));
    same("000600036b6970", "000000000002010008000001a2230b1ce5");
    same(&key("0007"), "000002c4115fc65bd6432dabd4d515b52173dd0300000000000000010000");
    let Record::Current(_, Some(value)) = same(
        &key("0008"),
        "000000000002000000020102c4115fc65bd6432dabd4d515b52173dd03000000000000000101000903000000020000000202c4115fc65bd6432\
         dabd4d515b52173dd0200000002010005020000000200",
    ) else {
        panic!()
    };
    assert_eq!((value.member_epoch, value.state, value.partitions_pending_revocation.len()), (2, 1, 1));
    assert_eq!(value.assigned_partitions[0].assignment_epochs, [2, 2]);
    same(
        "00100007726567726f7570000974337c6e756d622e2a",
        "000003086e756d626572730374330000000000000c25000001a2230ba6cc00",
    );
}

#[test]
fn records_of_share_groups_are_read_and_written_as_kafka_4_3_writes_them() {
    let share = |key: &str, value: &str| match same(key, value) {
        Record::Share(record) => record,
        other => panic!("{other:?}"),
    };
    let member = |kind: &str| [kind, "0002736700026d31"].concat();
    let ShareRecord::Member(key, Some(value)) =
        share(&member("000a"), "0000037231036b330b2f3132372e302e302e310203743300")
    else {
        panic!()
    };
    assert_eq!((&*key.group, &*key.member, value.rack_id.as_deref()), ("sg", "m1", Some("r1")));
    assert_eq!((&*value.client_host, &*value.subscribed_topic_names[0]), ("/127.0.0.1", "t3"));
    share(&member("000a"), "000000036b330b2f3132372e302e302e310303743203743300");
    let ShareRecord::Epoch(_, Some(value)) = share("000b00027367", "000000000004ff11186131a7735f00") else { panic!() };
    assert_eq!((value.epoch, value.metadata_hash), (4, 0xff11_1861_31a7_735f_u64 as i64));
    share("000c00027367", "000000000004010008000001a221e53840");
    share("000c00027367", "00000000000400");
    let topic = "c4115fc65bd6432dabd4d515b52173dd";
    share(&member("000d"), &["000002", topic, "0300000000000000010000"].concat());
    let current = ["000000000004000000030002", topic, "0300000000000000010000"].concat();
    let ShareRecord::Current(_, Some(value)) = share(&member("000e"), &current) else { panic!() };
    assert_eq!((value.member_epoch, value.previous_member_epoch, value.state), (4, 3, 0));
    assert_eq!(value.assigned_partitions[0].partitions, [0, 1]);
    let states =
        ["000002", topic, "03743302000000020002", topic, "0374330300000000000000010002", topic, "05676f6e650000"];
    let ShareRecord::States(id, Some(value)) = share("000f00027367", &states.concat()) else { panic!() };
    assert_eq!((&*id, &*value.initializing_topics[0].partitions), ("sg", &[2][..]));
    assert_eq!(
        (&*value.initialized_topics[0].partitions, &*value.deleting_topics[0].topic_name),
        (&[0, 1][..], "gone")
    );
    let tombstone = Record::decode(Some(bytes("000f00027367")), None);
    assert_eq!(tombstone, Ok(Some(Record::Share(ShareRecord::States("sg".into(), None)))));
}

#[test]
fn versions_of_older_kafkas_are_read() {
    let key = OffsetKey { group: "g".into(), topic: "t".into(), partition: 3 };
    let value = OffsetValue { offset: 7, metadata: "m".into(), commit_timestamp: 9, ..OffsetValue::default() };
    for version in 0..=4 {
        let written = wire::write(version, version, &value);
        let read = Record::decode(Some(wire::write(1, 0, &key)), Some(written)).unwrap();
        assert_eq!(read, Some(Record::Offset(key.clone(), Some(value.clone()))), "version {version}");
    }
    let member = ClassicMember { member_id: "m".into(), session_timeout: 5, ..ClassicMember::default() };
    let value = GroupValue { generation: 2, members: vec![member], ..GroupValue::default() };
    for version in 0..=4 {
        let read = Record::decode(Some(id_key(2, &"g".into())), Some(wire::write(version, version, &value))).unwrap();
        assert_eq!(read, Some(Record::Group("g".into(), Some(value.clone()))), "version {version}");
    }
}

#[test]
fn what_is_not_known_is_passed_over_and_what_makes_no_sense_is_told() {
    assert_eq!(Record::decode(Some(Bytes::from_static(&[0, 17, 0, 1, b'g'])), None), Ok(None));
    assert_eq!(Record::decode(Some(id_key(2, &"g".into())), None), Ok(Some(Record::Group("g".into(), None))));
    assert!(Record::decode(None, None).is_err());
    assert!(Record::decode(Some(Bytes::from_static(&[0, 2, 0, 9, b'g'])), None).is_err());
    let newer = Some(Bytes::from_static(&[0, 9]));
    assert!(Record::decode(Some(id_key(2, &"g".into())), newer).is_err());
}
