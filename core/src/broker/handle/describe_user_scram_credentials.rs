//! DescribeUserScramCredentials: which users have a SCRAM password (KIP-554). Nobody can set one here, and nobody is asked
//! for one; those that stand in ZooKeeper, beside the quotas of users, are told of without their secrets. `kafka-configs`
//! asks for this wherever it is asked for the quotas of users.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;
use crate::quota::{QuotaEntity, Who};
use crate::vec_map::VecMap;

/// Kafka's `ScramMechanism`, by name.
const MECHANISMS: [(&str, i8); 2] = [("SCRAM-SHA-256", 1), ("SCRAM-SHA-512", 2)];

pub(super) fn handle(
    broker: &mut Broker,
    asked: Asked,
    body: DescribeUserScramCredentialsRequest,
    out: &mut Vec<Effect>,
) {
    let users: BTreeMap<&str, Vec<CredentialInfo>> =
        broker.cluster.quotas.iter().filter_map(|(whose, set)| Some((user(whose)?, credentials(set)))).collect();
    let result = |name: &str| DescribeUserScramCredentialsResult::default().with_user(name.to_owned().into());
    let results = match body.users.as_deref().unwrap_or_default() {
        [] => {
            let known = users.iter().filter(|(_, infos)| !infos.is_empty());
            known.map(|(name, infos)| result(name).with_credential_infos(infos.clone())).collect()
        }
        named => {
            let mut times: BTreeMap<&str, u32> = BTreeMap::new();
            named.iter().for_each(|user| *times.entry(&user.name).or_default() += 1);
            let describe = |(name, times): (&str, u32)| match users.get(name).filter(|infos| !infos.is_empty()) {
                _ if times > 1 => refused(
                    result(name),
                    ErrorCode::DuplicateResource,
                    format!("Cannot describe SCRAM credentials for the same user twice in a single request: {name}"),
                ),
                Some(infos) => result(name).with_credential_infos(infos.clone()),
                None => refused(
                    result(name),
                    ErrorCode::ResourceNotFound,
                    format!("Attempt to describe a user credential that does not exist: {name}"),
                ),
            };
            times.into_iter().map(describe).collect()
        }
    };
    asked.reply(DescribeUserScramCredentialsResponse::default().with_results(results), out);
}

fn refused(
    result: DescribeUserScramCredentialsResult,
    error: ErrorCode,
    message: String,
) -> DescribeUserScramCredentialsResult {
    result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
}

/// The name of a user who is no default, and no client of a user.
fn user(whose: &QuotaEntity) -> Option<&str> {
    match whose {
        QuotaEntity { user: Some(Who::Named(name)), client: None, .. } => Some(name),
        _ => None,
    }
}

/// Kafka 3.9 writes `salt=…,stored_key=…,server_key=…,iterations=4096`.
fn credentials(set: &VecMap<String, String>) -> Vec<CredentialInfo> {
    let info = |(name, mechanism): (&str, i8)| {
        let iterations = set.get(name)?.split(',').find_map(|part| part.strip_prefix("iterations="))?;
        Some(CredentialInfo::default().with_mechanism(mechanism).with_iterations(iterations.parse().ok()?))
    };
    MECHANISMS.into_iter().filter_map(info).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_zookeeper_has_the_iterations_are_told() {
        let salted = "salt=MW9iOGY=,stored_key=eA==,server_key=eQ==,iterations=8192";
        let set = [("SCRAM-SHA-512", salted), ("producer_byte_rate", "7"), ("SCRAM-SHA-256", "nonsense")];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(credentials(&set), [CredentialInfo::default().with_mechanism(2).with_iterations(8_192)]);
        assert_eq!(credentials(&VecMap::new()), []);
    }
}
