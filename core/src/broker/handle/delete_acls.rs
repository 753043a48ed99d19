//! DeleteAcls: refused filter by filter, as by a Kafka without an authorizer.

use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};

use super::Asked;
use super::describe_acls::{NO_AUTHORIZER, SECURITY_DISABLED};
use crate::broker::{Broker, Effect};

pub(super) fn handle(_broker: &mut Broker, asked: Asked, body: DeleteAclsRequest, out: &mut Vec<Effect>) {
    let result = DeleteAclsFilterResult::default().with_error_code(SECURITY_DISABLED);
    let refused = vec![result.with_error_message(Some(NO_AUTHORIZER)); body.filters.len()];
    asked.reply(DeleteAclsResponse::default().with_filter_results(refused), out);
}
