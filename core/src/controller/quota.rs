//! Quotas are set. What is refused, and in which words, is Kafka's `ClientQuotaControlManager`; and what was done for a
//! client that may have only so much done.

use kafka_protocol::messages::alter_client_quotas_request::EntryData as Alteration;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::topic::{plain, text};
use super::{Controller, Refusal};
use crate::arrange::firsts;
use crate::config::setting::double_in_java;
use crate::error::ErrorCode;
use crate::protocol::throttle;
use crate::quota::arrivals;
use crate::quota::bucket::Spent;
use crate::quota::{ANONYMOUS, ClientQuotas, Key, QuotaEntity, Who};
use crate::time::{Duration, Instant};
use crate::vec_map::VecMap;

/// Kafka's strings are no longer.
const MAX_NAME_LEN: usize = i16::MAX as usize;

/// Kafka's `ClientQuotaEntity`: names of the parts, and what stands there; `None` is the default.
type Parts<'a> = VecMap<&'a str, Option<&'a str>>;

/// What a client may still have done, while its request is decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Charge {
    pub client: String,
    pub now: Instant,
    /// Once it owes something nothing more is done for it: from the versions on that can tell it so.
    pub strict: bool,
    /// How long it must wait.
    pub wait: Duration,
}

impl Charge {
    pub fn new(client_id: Option<&str>, now: Instant, version: i16, request: &RequestKind) -> Charge {
        let strict_since = match request {
            RequestKind::CreateTopics(_) => 6,
            RequestKind::DeleteTopics(_) => 5,
            _ => 3,
        };
        let client = client_id.unwrap_or_default().to_owned();
        Charge { client, now, strict: version >= strict_since, wait: Duration::ZERO }
    }

    /// Says in the answer how long the client must wait.
    pub fn tell(&self, mut response: ResponseKind) -> ResponseKind {
        if !self.wait.is_zero() {
            throttle::set(&mut response, self.wait);
        }
        response
    }
}

impl Controller {
    pub fn alter_client_quotas(&mut self, request: &AlterClientQuotasRequest) -> AlterClientQuotasResponse {
        let mut quotas = self.state.quotas.clone();
        let mut outcomes: Vec<(Parts<'_>, Result<(), Refusal>)> = Vec::new();
        for entry in &request.entries {
            let parts = parts(entry);
            match outcomes.iter_mut().find(|(known, _)| *known == parts) {
                Some((_, outcome)) => *outcome = invalid(format!("Ignoring duplicate entity {}", print(&parts))),
                None => {
                    let outcome = alter(&mut quotas, &parts, entry);
                    outcomes.push((parts, outcome));
                }
            }
        }
        if !request.validate_only && quotas != self.state.quotas {
            self.change(|state| state.quotas = quotas);
            self.mutations.follow(&self.state.quotas);
        }
        let entries = outcomes.into_iter().map(|(parts, outcome)| {
            let entity = parts.into_iter().map(|(kind, name)| {
                EntityData::default()
                    .with_entity_type(text(kind.to_owned()))
                    .with_entity_name(name.map(|name| text(name.to_owned())))
            });
            let (code, message) = match outcome {
                Ok(()) => (crate::error::NONE, None),
                Err((error, message)) => (error.code(), Some(text(message))),
            };
            EntryData::default().with_error_code(code).with_error_message(message).with_entity(entity.collect())
        });
        AlterClientQuotasResponse::default().with_entries(entries.collect())
    }

    /// What was done for clients.
    pub fn mutations(&self, now: Instant) -> Vec<Spent> {
        self.mutations.spent(now)
    }

    /// That many partitions are to be made, or to go, for whoever asks.
    ///
    /// Errors: `ThrottlingQuotaExceeded`.
    pub(super) fn charge(&mut self, partitions: usize) -> Result<(), Refusal> {
        let Charge { client, now, strict, .. } = &self.charge;
        let wait = self.mutations.spend(*now, ANONYMOUS, client, partitions as f64, *strict);
        if wait.is_zero() {
            return Ok(());
        }
        self.charge.wait = wait;
        if self.charge.strict { Err(plain(ErrorCode::ThrottlingQuotaExceeded)) } else { Ok(()) }
    }
}

/// `set` of a znode that was read; `None` where it is gone.
pub(super) fn put(quotas: &mut ClientQuotas, whose: QuotaEntity, set: Option<VecMap<String, String>>) {
    match set {
        Some(set) if set.is_empty() => remove(quotas, &whose),
        Some(set) => {
            if let (Some(user), Some(_)) = (&whose.user, &whose.client) {
                quotas.entry(QuotaEntity::user(user.clone())).or_default();
            }
            quotas.insert(whose, set);
        }
        None => remove(quotas, &whose),
    }
}

/// Whoever has no settings has no znode; a user has one all the same while clients of that user have.
fn remove(quotas: &mut ClientQuotas, whose: &QuotaEntity) {
    let user = QuotaEntity { user: whose.user.clone(), ..QuotaEntity::default() };
    quotas.remove(whose);
    let has_clients = |quotas: &ClientQuotas| {
        let of_user = |other: &QuotaEntity| other.user == whose.user && other.client.is_some();
        whose.user.is_some() && quotas.keys().any(of_user)
    };
    if has_clients(quotas) {
        quotas.entry(user).or_default();
    } else if quotas.get(&user).is_some_and(VecMap::is_empty) {
        quotas.remove(&user);
    }
}

fn parts(entry: &Alteration) -> Parts<'_> {
    entry.entity.iter().map(|part| (&*part.entity_type, part.entity_name.as_deref())).collect()
}

fn print(parts: &Parts<'_>) -> String {
    let parts: Vec<String> = parts.iter().map(|(kind, name)| format!("{kind}={}", name.unwrap_or("null"))).collect();
    format!("ClientQuotaEntity(entries={{{}}})", parts.join(", "))
}

fn invalid<T>(message: String) -> Result<T, Refusal> {
    Err((ErrorCode::InvalidRequest, message))
}

/// An entry is made whole or not at all.
fn alter(quotas: &mut ClientQuotas, parts: &Parts<'_>, entry: &Alteration) -> Result<(), Refusal> {
    if firsts(&entry.ops.iter().map(|op| &op.key).collect::<Vec<_>>()).contains(&false) {
        return invalid(format!("Ignoring duplicate entity {}", print(parts)));
    }
    let whose = entity(parts)?;
    let mut set = quotas.get(&whose).cloned().unwrap_or_default();
    for op in &entry.ops {
        match op.remove {
            true => drop(set.remove(&*op.key)),
            false => drop(set.insert(op.key.to_string(), value(whose.keys(), &op.key, op.value)?)),
        }
    }
    put(quotas, whose, Some(set));
    Ok(())
}

fn entity(parts: &Parts<'_>) -> Result<QuotaEntity, Refusal> {
    let mut whose = QuotaEntity::default();
    for (&kind, &name) in parts {
        if name.is_some_and(|name| name.len() > MAX_NAME_LEN) {
            return invalid(format!("The name of a {kind} is longer than {MAX_NAME_LEN} bytes"));
        }
        let place = match kind {
            "user" => &mut whose.user,
            "client-id" => &mut whose.client,
            "ip" => &mut whose.ip,
            _ => return invalid(format!("Unhandled client quota entity type: {kind}")),
        };
        *place = Some(match name {
            None => Who::Default,
            Some("") => return invalid(format!("Empty {kind} not supported")),
            Some(name) => Who::Named(name.to_owned()),
        });
    }
    match (whose.user.is_some() || whose.client.is_some(), &whose.ip) {
        (false, None) => invalid("Invalid empty client quota entity".to_owned()),
        // The words are Kafka's.
        (true, Some(_)) => invalid(
            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId".to_owned(),
        ),
        (false, Some(Who::Named(host))) if arrivals::address(host).is_none() => {
            invalid(format!("{host} is not a valid IP or resolvable host."))
        }
        _ => Ok(whose),
    }
}

/// A quota's value as ZooKeeper holds it.
fn value(known: &[Key], key: &StrBytes, value: f64) -> Result<String, Refusal> {
    let Some(known) = known.iter().find(|known| known.name() == &**key) else {
        return invalid(format!("Invalid configuration key {key}"));
    };
    if value <= 0.0 {
        return invalid(format!("Quota {key} must be greater than 0"));
    }
    let Some((most, kind)) = known.whole() else { return Ok(double_in_java(value)) };
    if value > most {
        return invalid(format!("Proposed value for {key} is too large for {kind}."));
    }
    if value.is_nan() || (value % 1.0).abs() > 1e-6 {
        return invalid(format!("{key} cannot be a fractional value."));
    }
    Ok((value as i64).to_string())
}
