//! CreateAcls: refused one by one, as by a Kafka without an authorizer.

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};

use super::Asked;
use super::describe_acls::{NO_AUTHORIZER, SECURITY_DISABLED};
use crate::broker::{Broker, Effect};

pub(super) fn handle(_broker: &mut Broker, asked: Asked, body: CreateAclsRequest, out: &mut Vec<Effect>) {
    let result = AclCreationResult::default().with_error_code(SECURITY_DISABLED);
    let refused = vec![result.with_error_message(Some(NO_AUTHORIZER)); body.creations.len()];
    asked.reply(CreateAclsResponse::default().with_results(refused), out);
}
