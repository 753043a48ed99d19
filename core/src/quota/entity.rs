//! Whom a quota is for, and what it limits.

use std::fmt;

use crate::vec_map::VecMap;

/// The part of a quota's entity that a user, a client or an address fills.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// All that have no quota by name.
    Default,
    Named(String),
}

/// Kafka's name of [`Who::Default`], in paths.
const DEFAULT: &str = "<default>";

/// Whom a quota is for: a user, a client, or a client of a user; or an address, alone. Never nobody.
///
/// In order a user stands before the clients of that user.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    pub user: Option<Who>,
    pub client: Option<Who>,
    pub ip: Option<Who>,
}

/// What was set for whom, as it stands in ZooKeeper: texts, among them some that are no quotas (SCRAM). A user without
/// settings is there because clients of that user have some; where those are, the user always is.
pub type ClientQuotas = VecMap<QuotaEntity, VecMap<String, String>>;

/// What a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Of an address, and of nobody else (KIP-612).
    ConnectionCreationRate,
    ConsumerByteRate,
    ControllerMutationRate,
    ProducerByteRate,
    RequestPercentage,
}

impl Key {
    /// What is limited of users and clients.
    pub const OF_CLIENTS: [Key; 4] =
        [Key::ConsumerByteRate, Key::ControllerMutationRate, Key::ProducerByteRate, Key::RequestPercentage];
    pub const OF_ADDRESSES: [Key; 1] = [Key::ConnectionCreationRate];

    pub fn name(self) -> &'static str {
        match self {
            Key::ConnectionCreationRate => "connection_creation_rate",
            Key::ConsumerByteRate => "consumer_byte_rate",
            Key::ControllerMutationRate => "controller_mutation_rate",
            Key::ProducerByteRate => "producer_byte_rate",
            Key::RequestPercentage => "request_percentage",
        }
    }

    /// Of users and clients.
    pub fn of_client(name: &str) -> Option<Key> {
        Key::OF_CLIENTS.into_iter().find(|key| key.name() == name)
    }

    /// The most that it may be, with Kafka's name of its type, where it is a whole number.
    pub fn whole(self) -> Option<(f64, &'static str)> {
        match self {
            Key::ConnectionCreationRate => Some((f64::from(i32::MAX), "an INT")),
            Key::ConsumerByteRate | Key::ProducerByteRate => Some((i64::MAX as f64, "a LONG")),
            Key::ControllerMutationRate | Key::RequestPercentage => None,
        }
    }
}

impl QuotaEntity {
    pub fn user(user: Who) -> QuotaEntity {
        QuotaEntity { user: Some(user), ..Self::default() }
    }

    pub fn client(client: Who) -> QuotaEntity {
        QuotaEntity { client: Some(client), ..Self::default() }
    }

    pub fn client_of(user: Who, client: Who) -> QuotaEntity {
        QuotaEntity { user: Some(user), client: Some(client), ip: None }
    }

    pub fn ip(ip: Who) -> QuotaEntity {
        QuotaEntity { ip: Some(ip), ..Self::default() }
    }

    /// What may be limited of it.
    pub fn keys(&self) -> &'static [Key] {
        if self.ip.is_some() { &Key::OF_ADDRESSES } else { &Key::OF_CLIENTS }
    }

    /// A client of a user: its znode lies below the user's.
    pub fn is_inner(&self) -> bool {
        self.user.is_some() && self.client.is_some()
    }

    /// Where it lies below `/config`; Kafka's entity path.
    pub fn path(&self) -> String {
        if let Some(ip) = &self.ip {
            return format!("ips/{}", ip.in_path());
        }
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
                Some(QuotaEntity::client_of(Who::from_path(user)?, Who::from_path(client)?))
            }
            ["ips", ip] => Some(QuotaEntity::ip(Who::from_path(ip)?)),
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
        let parts = [("client-id", &self.client), ("user", &self.user), ("ip", &self.ip)];
        let parts = parts.iter().filter_map(|(kind, who)| Some(format!("{kind}={}", name(who.as_ref()?))));
        let parts: Vec<String> = parts.collect();
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
            (QuotaEntity::client_of(Who::Default, named("c")), "users/<default>/clients/c"),
            (QuotaEntity::ip(named("::1")), "ips/%3A%3A1"),
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
        let named = |name: &str| Who::Named(name.to_owned());
        let mut entities = [
            QuotaEntity::client_of(named("b"), Who::Default),
            QuotaEntity::user(named("b")),
            QuotaEntity::client_of(named("a"), named("c")),
        ];
        entities.sort();
        assert_eq!(entities.map(|entity| entity.path()), ["users/a/clients/c", "users/b", "users/b/clients/<default>"]);
    }
}
