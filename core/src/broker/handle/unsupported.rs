//! Every API that is not served: a well-formed answer of its own kind that says UNSUPPORTED_VERSION where its clients
//! look for an error, and the connection lives.
//!
//! Most answers have one error code; those that have one for each thing that was asked about get it for each.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

const CODE: i16 = ErrorCode::UnsupportedVersion.code();

pub(super) fn handle(_broker: &mut Broker, asked: Asked, body: RequestKind, out: &mut Vec<Effect>) {
    let response = response(&body);
    asked.reply(response, out);
}

/// The answer to `request` that says UNSUPPORTED_VERSION.
pub fn response(request: &RequestKind) -> ResponseKind {
    /// Answers of one error code.
    macro_rules! plain {
        ($response:ty) => {
            <$response>::default().with_error_code(CODE).into()
        };
    }
    match request {
        // Producer ids.
        RequestKind::AllocateProducerIds(_) => plain!(AllocateProducerIdsResponse),

        // Security.
        RequestKind::SaslHandshake(_) => plain!(SaslHandshakeResponse),
        RequestKind::SaslAuthenticate(_) => plain!(SaslAuthenticateResponse),
        RequestKind::CreateDelegationToken(_) => plain!(CreateDelegationTokenResponse),
        RequestKind::RenewDelegationToken(_) => plain!(RenewDelegationTokenResponse),
        RequestKind::ExpireDelegationToken(_) => plain!(ExpireDelegationTokenResponse),
        RequestKind::DescribeDelegationToken(_) => plain!(DescribeDelegationTokenResponse),
        RequestKind::AlterUserScramCredentials(request) => alter_user_scram_credentials(request).into(),

        // Clients' metrics.
        RequestKind::GetTelemetrySubscriptions(_) => plain!(GetTelemetrySubscriptionsResponse),
        RequestKind::PushTelemetry(_) => plain!(PushTelemetryResponse),

        // Kafka's own brokers and controllers among each other.
        RequestKind::Vote(_) => plain!(VoteResponse),
        RequestKind::BeginQuorumEpoch(_) => plain!(BeginQuorumEpochResponse),
        RequestKind::EndQuorumEpoch(_) => plain!(EndQuorumEpochResponse),
        RequestKind::DescribeQuorum(_) => plain!(DescribeQuorumResponse),
        RequestKind::AlterPartition(_) => plain!(AlterPartitionResponse),
        RequestKind::Envelope(_) => plain!(EnvelopeResponse),
        RequestKind::FetchSnapshot(_) => plain!(FetchSnapshotResponse),
        RequestKind::BrokerRegistration(_) => plain!(BrokerRegistrationResponse),
        RequestKind::BrokerHeartbeat(_) => plain!(BrokerHeartbeatResponse),
        RequestKind::UnregisterBroker(_) => plain!(UnregisterBrokerResponse),
        RequestKind::ControllerRegistration(_) => plain!(ControllerRegistrationResponse),
        RequestKind::AssignReplicasToDirs(_) => plain!(AssignReplicasToDirsResponse),
        RequestKind::AddRaftVoter(_) => plain!(AddRaftVoterResponse),
        RequestKind::RemoveRaftVoter(_) => plain!(RemoveRaftVoterResponse),
        RequestKind::UpdateRaftVoter(_) => plain!(UpdateRaftVoterResponse),

        // The served ones, which the router sends elsewhere; kafka-protocol has no others.
        _ => plain!(ApiVersionsResponse),
    }
}

fn alter_user_scram_credentials(request: &AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse {
    use alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
    let deleted = request.deletions.iter().map(|deletion| &deletion.name);
    let upserted = request.upsertions.iter().map(|upsertion| &upsertion.name);
    let result =
        |user: &StrBytes| AlterUserScramCredentialsResult::default().with_user(user.clone()).with_error_code(CODE);
    AlterUserScramCredentialsResponse::default().with_results(deleted.chain(upserted).map(result).collect())
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::protocol::version;

    #[test]
    fn every_api_that_is_not_served_has_an_answer_that_encodes_at_every_version() {
        let (mut seen, mut failed) = (0, Vec::new());
        for api in ApiKey::iter().filter(|&api| version::of(api).is_none()) {
            let known = api.valid_versions();
            for version in known.min..=known.max {
                let Some(request) = minimal(api, version) else { continue };
                if response(&request).encode(&mut BytesMut::new(), version).is_err() {
                    failed.push((api, version));
                }
                seen += 1;
            }
        }
        assert!(failed.is_empty(), "{failed:?}");
        assert!(seen > 30, "only {seen} requests could be made");
    }

    /// A request of zeroes: empty lists, empty strings.
    fn minimal(api: ApiKey, version: i16) -> Option<RequestKind> {
        RequestKind::decode(api, &mut Bytes::from_static(&[0; 64]), version)
            .or_else(|_| RequestKind::decode(api, &mut Bytes::from_static(&[1; 64]), version))
            .ok()
    }

    #[test]
    fn an_error_stands_wherever_a_client_looks() {
        let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![Default::default()]);
        let answer = response(&request.into());
        let ResponseKind::AlterUserScramCredentials(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.results[0].error_code, CODE);

        let answer = response(&DescribeQuorumRequest::default().into());
        let ResponseKind::DescribeQuorum(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.error_code, CODE);
    }
}
