//! Whom a quota is for, and what it limits.

use std::fmt;

use crate::vec_map::VecMap;

/// The part of a quota's entity that a user or a client fills.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// All that have no quota by name.
    Default,
    Named(String),
}

/// Kafka's name of [`Who::Default`], in paths.
const DEFAULT: &str = "<default>";

/// Whom a quota is for: a user, a client, or a client of a user. Never neither.
///
/// In order a user stands before the clients of that user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    pub user: Option<Who>,
    pub client: Option<Who>,
}

/// What was set for whom, as it stands in ZooKeeper: texts, among them some that are no quotas (SCRAM). A user without
/// settings is there because clients of that user have some; where those are, the user always is.
pub type ClientQuotas = VecMap<QuotaEntity, VecMap<String, String>>;

/// What a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    ConsumerByteRate,
    ControllerMutationRate,
    ProducerByteRate,
    RequestPercentage,
}

impl Key {
    pub const ALL: [Key; 4] =
        [Key::ConsumerByteRate, Key::ControllerMutationRate, Key::ProducerByteRate, Key::RequestPercentage];

    pub fn name(self) -> &'static str {
        match self {
            Key::ConsumerByteRate => "consumer_byte_rate",
            Key::ControllerMutationRate => "controller_mutation_rate",
            Key::ProducerByteRate => "producer_byte_rate",
            Key::RequestPercentage => "request_percentage",
        }
    }

    pub fn from_name(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether it is a number of whole bytes: a LONG, not a DOUBLE.
    pub fn is_whole(self) -> bool {
        matches!(self, Key::ConsumerByteRate | Key::ProducerByteRate)
    }
}

impl QuotaEntity {
    pub fn user(user: Who) -> QuotaEntity {
        QuotaEntity { user: Some(user), client: None }
    }

    pub fn client(client: Who) -> QuotaEntity {
        QuotaEntity { user: None, client: Some(client) }
    }

    /// A client of a user: its znode lies below the user's.
    pub fn is_inner(&self) -> bool {
        self.user.is_some() && self.client.is_some()
    }

    /// Where it lies below `/config`; Kafka's entity path.
    pub fn path(&self) -> String {
        match (&self.user, &self.client) {
            (Some(user), Some(client)) => format!("users/{}/clients/{}", user.in_path(), client.in_path()),
            (Some(user), None) => format!("users/{}", user.in_path()),
            (None, client) => format!("clients/{}", client.as_ref().unwrap_or(&Who::Default).in_path()),
        }
    }

    pub fn from_path(path: &str) -> Option<QuotaEntity> {
        let parts: Vec<&str> = path.split('/').collect();
        match *parts {
            ["clients", client] => Some(QuotaEntity::client(Who::from_path(client)?)),
            ["users", user] => Some(QuotaEntity::user(Who::from_path(user)?)),
            ["users", user, "clients", client] => {
                Some(QuotaEntity { user: Some(Who::from_path(user)?), client: Some(Who::from_path(client)?) })
            }
            _ => None,
        }
    }
}

/// As Kafka prints one in its messages.
impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |who: &Who| match who {
            Who::Default => "null".to_owned(),
            Who::Named(name) => name.clone(),
        };
        let client = self.client.iter().map(|who| format!("client-id={}", name(who)));
        let parts: Vec<String> = client.chain(self.user.iter().map(|who| format!("user={}", name(who)))).collect();
        write!(f, "ClientQuotaEntity(entries={{{}}})", parts.join(", "))
    }
}

impl Who {
    /// As the name of a znode: Kafka's `Sanitizer`.
    pub fn in_path(&self) -> String {
        let Who::Named(name) = self else { return DEFAULT.to_owned() };
        // These two are no names for a znode; they are read back all the same.
        let all = matches!(name.as_str(), "." | "..");
        let mut path = String::with_capacity(name.len());
        for byte in name.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => path.push(byte as char),
                b'.' if !all => path.push('.'),
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
        path
    }

    pub fn from_path(path: &str) -> Option<Who> {
        if path == DEFAULT {
            return Some(Who::Default);
        }
        let mut bytes = Vec::with_capacity(path.len());
        let mut rest = path.as_bytes();
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                b'%' => {
                    let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    rest = &rest[2..];
                }
                b'+' => bytes.push(b' '),
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).ok().filter(|name| !name.is_empty()).map(Who::Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Kafka 3.9.1 writes them.
    #[test]
    fn paths_are_kafkas_and_are_read_back() {
        let named = |name: &str| Who::Named(name.to_owned());
        for (entity, path) in [
            (QuotaEntity::client(named("a.b-c_d")), "clients/a.b-c_d"),
            (QuotaEntity::client(Who::Default), "clients/<default>"),
            (QuotaEntity::user(named("CN=x, O=y")), "users/CN%3Dx%2C%20O%3Dy"),
            (QuotaEntity::client(named("a*b+c~d/<default>é")), "clients/a%2Ab%2Bc%7Ed%2F%3Cdefault%3E%C3%A9"),
            (QuotaEntity::client(named("..")), "clients/%2E%2E"),
            (QuotaEntity { user: Some(Who::Default), client: Some(named("c")) }, "users/<default>/clients/c"),
        ] {
            assert_eq!(entity.path(), path);
            assert_eq!(QuotaEntity::from_path(path), Some(entity));
        }
        for wrong in ["users", "topics/t", "users/u/topics/t", "users/", "clients/%4", "clients/%FF", "clients/a/b"] {
            assert_eq!(QuotaEntity::from_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_user_stands_before_the_clients_of_that_user() {
        let named = |name: &str| Some(Who::Named(name.to_owned()));
        let mut entities = [
            QuotaEntity { user: named("b"), client: Some(Who::Default) },
            QuotaEntity { user: named("b"), client: None },
            QuotaEntity { user: named("a"), client: named("c") },
        ];
        entities.sort();
        assert_eq!(entities.map(|entity| entity.path()), ["users/a/clients/c", "users/b", "users/b/clients/<default>"]);
    }
}
