//! DescribeAcls: who may do what. Nobody is asked who he is here, so it is answered as by a Kafka without an authorizer.

use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

/// What Kafka says to all that is about ACLs where `authorizer.class.name` is not set.
pub const SECURITY_DISABLED: i16 = ErrorCode::SecurityDisabled.code();
/// To whoever would add or take away one; whoever looks is told a little more.
pub const NO_AUTHORIZER: StrBytes = StrBytes::from_static_str("No Authorizer is configured.");
const NONE_ON_THE_BROKER: StrBytes = StrBytes::from_static_str("No Authorizer is configured on the broker");

pub(super) fn handle(_broker: &mut Broker, asked: Asked, _body: DescribeAclsRequest, out: &mut Vec<Effect>) {
    let response = DescribeAclsResponse::default().with_error_code(SECURITY_DISABLED);
    asked.reply(response.with_error_message(Some(NONE_ON_THE_BROKER)), out);
}
