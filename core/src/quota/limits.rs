//! Which quota holds for a client: the one that names it most closely.
//!
//! ```text
//! of a user's client ▸ of a user ▸ of a client, each by name first, then by default; a user by name before all users
//! ```
//!
//! 1. Clients that one quota holds for together (all of a user) are told apart no further: they have the same [`Tags`].
//! 2. Once something was limited it stays measured, as in Kafka, until the broker's process ends.

use super::entity::{ClientQuotas, Key, QuotaEntity, Who};
use super::recent::Recent;
use crate::config::setting::parse_double;
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

/// Whom a client is measured with: what is empty is not told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tags {
    pub user: String,
    pub client: String,
}

/// Kafka's QuotaTypes: on which levels there ever was a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Levels {
    clients: bool,
    users: bool,
    clients_of_users: bool,
}

/// What is known of the clients that were measured, and of their limits: of one kind.
#[derive(Clone, Debug)]
pub struct PerClient<T> {
    key: Key,
    levels: Levels,
    limits: VecMap<QuotaEntity, f64>,
    known: Recent<Tags, Known<T>>,
}

#[derive(Clone, Debug)]
struct Known<T> {
    limit: Option<f64>,
    what: T,
}

/// Kafka's InactiveSensorExpirationTimeSeconds.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

impl<T: Clone + Default> PerClient<T> {
    pub fn new(key: Key) -> PerClient<T> {
        PerClient { key, levels: Levels::default(), limits: VecMap::new(), known: Recent::new(FORGOTTEN_AFTER) }
    }

    /// These quotas hold from now on. What is no number limits nothing.
    pub fn follow(&mut self, quotas: &ClientQuotas) {
        let limit = |set: &VecMap<String, String>| set.get(self.key.name()).and_then(|text| parse_double(text));
        let of_clients = quotas.iter().filter(|(entity, _)| entity.ip.is_none());
        self.limits = of_clients.filter_map(|(entity, set)| Some((entity.clone(), limit(set)?))).collect();
        for entity in self.limits.keys() {
            match (&entity.user, &entity.client) {
                (Some(_), Some(_)) => self.levels.clients_of_users = true,
                (Some(_), None) => self.levels.users = true,
                (None, _) => self.levels.clients = true,
            }
        }
        let limits = &self.limits;
        self.known.iter_mut().for_each(|(tags, known)| known.limit = limit_of(limits, tags));
    }

    /// (2)
    pub fn is_enabled(&self) -> bool {
        self.levels != Levels::default()
    }

    /// Whether a client has a limit.
    pub fn limits(&self, user: &str, client: &str) -> bool {
        self.is_enabled() && limit_of(&self.limits, &self.tags(user, client)).is_some()
    }

    /// What is known of a client, and its limit.
    pub fn of(&mut self, now: Instant, user: &str, client: &str) -> (&mut T, Option<f64>) {
        let tags = self.tags(user, client);
        let limits = &self.limits;
        let known = self.known.of(now, tags, |tags| Known { limit: limit_of(limits, tags), what: T::default() });
        (&mut known.what, known.limit)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Tags, &T, Option<f64>)> {
        self.known.iter().map(|(tags, known)| (tags, &known.what, known.limit))
    }

    fn tags(&self, user: &str, client: &str) -> Tags {
        let Levels { clients, users, clients_of_users } = self.levels;
        let tags = |user: &str, client: &str| Tags { user: user.to_owned(), client: client.to_owned() };
        match (clients_of_users, users, clients) {
            (false, false, _) => tags("", client),
            (false, true, false) => tags(user, ""),
            (true, false, false) => tags(user, client),
            _ => {
                let (named_user, named_client) = (Who::Named(user.to_owned()), Who::Named(client.to_owned()));
                for user_is in [named_user, Who::Default] {
                    let of = |client: Option<&Who>| {
                        let entity = QuotaEntity { user: Some(user_is.clone()), client: client.cloned(), ip: None };
                        self.limits.contains_key(&entity)
                    };
                    if of(Some(&named_client)) || of(Some(&Who::Default)) {
                        return tags(user, client);
                    }
                    if of(None) {
                        return tags(user, "");
                    }
                }
                tags("", client)
            }
        }
    }
}

fn limit_of(limits: &VecMap<QuotaEntity, f64>, tags: &Tags) -> Option<f64> {
    let either = |name: &str| match name {
        "" => vec![None],
        name => vec![Some(Who::Named(name.to_owned())), Some(Who::Default)],
    };
    let clients = either(&tags.client);
    let entities = either(&tags.user).into_iter().flat_map(|user| {
        clients.iter().map(move |client| QuotaEntity { user: user.clone(), client: client.clone(), ip: None })
    });
    entities.into_iter().find_map(|entity| limits.get(&entity).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(quotas: &[(&str, &str)]) -> ClientQuotas {
        let set = |value: &str| [(Key::ProducerByteRate.name().to_owned(), value.to_owned())].into();
        quotas.iter().map(|(path, value)| (QuotaEntity::from_path(path).unwrap(), set(value))).collect()
    }

    fn of(set: &[(&str, &str)], user: &str, client: &str) -> (String, Option<f64>) {
        let mut limits = PerClient::<()>::new(Key::ProducerByteRate);
        limits.follow(&quotas(set));
        let tags = limits.tags(user, client);
        let limit = limits.of(Instant::ZERO, user, client).1;
        (format!("{}/{}", tags.user, tags.client), limit)
    }

    #[test]
    fn the_quota_that_names_a_client_most_closely_holds() {
        let all = [
            ("users/u/clients/c", "1"),
            ("users/u/clients/<default>", "2"),
            ("users/u", "3"),
            ("users/<default>/clients/c", "4"),
            ("users/<default>/clients/<default>", "5"),
            ("users/<default>", "6"),
            ("clients/c", "7"),
            ("clients/<default>", "8"),
        ];
        let tags = ["u/c", "u/c", "u/", "u/c", "u/c", "u/", "/c", "/c"];
        for first in 0..all.len() {
            let found = of(&all[first..], "u", "c");
            assert_eq!(found, (tags[first].to_owned(), Some(first as f64 + 1.0)), "{}", all[first].0);
        }
        assert_eq!(of(&all, "x", "y"), ("x/y".to_owned(), Some(5.0)));
        assert_eq!(of(&all[5..], "x", "y"), ("x/".to_owned(), Some(6.0)));
        assert_eq!(of(&all[6..], "x", "y"), ("/y".to_owned(), Some(8.0)));
        assert_eq!(of(&all[6..7], "x", "y"), ("/y".to_owned(), None));
        assert_eq!(of(&[("users/<default>", "6")], "x", "y"), ("x/".to_owned(), Some(6.0)));
        assert_eq!(of(&[("clients/<default>", "x")], "x", "y"), ("/y".to_owned(), None));
    }

    #[test]
    fn a_quota_that_is_taken_back_limits_nobody_but_all_are_still_measured() {
        let mut limits = PerClient::<u32>::new(Key::ProducerByteRate);
        assert!(!limits.is_enabled());
        limits.follow(&quotas(&[("clients/c", "7")]));
        let (count, limit) = limits.of(Instant::ZERO, "u", "c");
        assert_eq!(limit, Some(7.0));
        *count += 1;
        limits.follow(&quotas(&[("clients/c", "8")]));
        assert_eq!(limits.of(Instant::ZERO, "u", "c"), (&mut 1, Some(8.0)));
        limits.follow(&quotas(&[]));
        assert!(limits.is_enabled());
        assert_eq!(limits.of(Instant::ZERO, "u", "c"), (&mut 1, None));
    }
}
