//! Quotas in ZooKeeper.

use kafka_protocol::messages::AlterClientQuotasRequest;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::protocol::znode::Entity;
use crate::quota::QuotaEntity;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// `users/u/clients/<default>`, and what is set or taken back.
fn entry(whose: &str, set: &[(&str, Option<f64>)]) -> EntryData {
    let parts: Vec<&str> = whose.split('/').collect();
    let entity = parts.chunks(2).map(|part| {
        let kind = match part[0] {
            "users" => "user",
            "ips" => "ip",
            _ => "client-id",
        };
        let name = Some(part[1]).filter(|name| *name != "<default>").map(text);
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name)
    });
    let op = |(key, value): &(&str, Option<f64>)| {
        OpData::default().with_key(text(key)).with_value(value.unwrap_or(0.0)).with_remove(value.is_none())
    };
    EntryData::default().with_entity(entity.collect()).with_ops(set.iter().map(op).collect())
}

impl Hall {
    fn alter(&mut self, whose: &str, set: &[(&str, Option<f64>)]) {
        self.request(1, AlterClientQuotasRequest::default().with_entries(vec![entry(whose, set)]));
        let Some(Answer::Response(ResponseKind::AlterClientQuotas(body))) = self.answers.last() else { panic!() };
        assert_eq!(body.entries[0].error_code, 0, "{body:?}");
    }

    /// Paths below `/config`, and what lies there.
    fn quotas(&self) -> Vec<(String, String)> {
        fn below(hall: &Hall, path: &str, out: &mut Vec<(String, String)>) {
            for name in hall.children(path) {
                let path = format!("{path}/{name}");
                out.push((path["/config/".len()..].to_owned(), hall.data(&path).unwrap()));
                below(hall, &path, out);
            }
        }
        let mut out = Vec::new();
        for path in ["/config/users", "/config/clients", "/config/ips"] {
            below(self, path, &mut out);
        }
        out
    }

    /// Whose settings were told to have changed.
    fn changes(&self) -> Vec<String> {
        let changes = self.children("/config/changes");
        let data = |name: &String| self.data(&format!("/config/changes/{name}")).unwrap();
        changes.iter().map(data).map(|json| json[28..json.len() - 2].to_owned()).collect()
    }
}

/// As Kafka 3.9.1 lays them out.
#[test]
fn quotas_lie_in_zookeeper_as_kafka_lays_them_out() {
    let mut hall = Hall::new(1);
    hall.alter("clients/a b", &[("producer_byte_rate", Some(100_000.0)), ("request_percentage", Some(12.5))]);
    hall.alter("users/u/clients/<default>", &[("controller_mutation_rate", Some(3.0))]);
    let client = r#"{"version":1,"config":{"producer_byte_rate":"100000","request_percentage":"12.5"}}"#;
    let of_user = r#"{"version":1,"config":{"controller_mutation_rate":"3.0"}}"#;
    let both =
        [("users/u", ""), ("users/u/clients", ""), ("users/u/clients/<default>", of_user), ("clients/a%20b", client)];
    let both = both.map(|(path, data)| (path.to_owned(), data.to_owned()));
    assert_eq!(hall.quotas(), both);
    assert_eq!(hall.changes(), ["clients/a%20b", "users/u/clients/<default>"]);

    hall.alter("users/u", &[("consumer_byte_rate", Some(1e10))]);
    assert_eq!(hall.quotas()[0].1, r#"{"version":1,"config":{"consumer_byte_rate":"10000000000"}}"#);
    hall.alter("users/u", &[("consumer_byte_rate", None)]);
    assert_eq!(hall.quotas()[0].1, r#"{"version":1,"config":{}}"#, "it stays while a client of it is there");
    hall.alter("users/u/clients/<default>", &[("controller_mutation_rate", None)]);
    assert_eq!(hall.quotas(), both[3..]);
    hall.alter("clients/a b", &[("producer_byte_rate", None), ("request_percentage", None)]);
    assert_eq!(hall.quotas(), []);
    assert!(hall.controller.committed().quotas.is_empty());
    assert_eq!(hall.changes().len(), 6);

    hall.alter("ips/127.0.0.9", &[("connection_creation_rate", Some(100.0))]);
    let of_address = r#"{"version":1,"config":{"connection_creation_rate":"100"}}"#;
    assert_eq!(hall.quotas(), [("ips/127.0.0.9".to_owned(), of_address.to_owned())]);
    assert_eq!(hall.changes()[6], "ips/127.0.0.9");
}

#[test]
fn the_next_controller_finds_them_and_takes_what_is_of_no_use_any_more() {
    let mut hall = Hall::new(1);
    hall.alter("clients/c", &[("producer_byte_rate", Some(5.0))]);
    hall.alter("users/u/clients/c", &[("producer_byte_rate", Some(6.0))]);
    hall.alter("ips/<default>", &[("connection_creation_rate", Some(7.0))]);
    hall.put("/config/users/v", None, CreateMode::Persistent);
    hall.put("/config/users/v/clients", None, CreateMode::Persistent);
    let before = hall.controller.committed().quotas.clone();
    let mut hall = hall.successor();
    let mut after = hall.controller.committed().quotas.clone();
    assert_eq!(after.remove(&QuotaEntity::from_path("users/v").unwrap()), Some(VecMap::new()));
    assert_eq!(after, before);
    assert!(hall.quotas().iter().all(|(path, _)| path != "users/v/clients"));
    hall.alter("users/v", &[("producer_byte_rate", Some(7.0))]);
    assert!(hall.quotas().contains(&("users/v".into(), r#"{"version":1,"config":{"producer_byte_rate":"7"}}"#.into())));
}

#[test]
fn what_another_hand_has_set_counts_once_it_says_so() {
    let mut hall = Hall::new(1);
    let change = |hall: &mut Hall, whose: &str| {
        let data = Some(znode::config_change(&Entity::Clients(QuotaEntity::from_path(whose).unwrap())));
        hall.outside(Op::Create { path: znode::config_change_path(), data, mode: CreateMode::PersistentSequential });
        hall.watched(znode::CONFIG_CHANGES);
    };
    let json = r#"{"version":1,"config":{"producer_byte_rate":"5","SCRAM-SHA-256":"secret"}}"#;
    hall.put("/config/users/u", Some(json), CreateMode::Persistent);
    change(&mut hall, "users/u");
    let user = QuotaEntity::from_path("users/u").unwrap();
    assert_eq!(hall.controller.committed().quotas[&user]["producer_byte_rate"], "5");
    // What is no quota stays where it is.
    hall.alter("users/u", &[("producer_byte_rate", None)]);
    assert_eq!(hall.quotas()[0].1, r#"{"version":1,"config":{"SCRAM-SHA-256":"secret"}}"#);
    hall.remove("/config/users/u");
    change(&mut hall, "users/u");
    assert!(hall.controller.committed().quotas.is_empty());
    // It was not told, so it is not known; what it decides is decided anew after it has looked.
    hall.put("/config/clients/c", Some(json), CreateMode::Persistent);
    hall.alter("clients/c", &[("consumer_byte_rate", Some(9.0))]);
    let merged =
        r#"{"version":1,"config":{"SCRAM-SHA-256":"secret","consumer_byte_rate":"9","producer_byte_rate":"5"}}"#;
    assert_eq!(hall.quotas(), [("clients/c".to_owned(), merged.to_owned())]);
}
