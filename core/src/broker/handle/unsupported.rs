//! Every API that is not served: a well-formed answer of its own kind that says UNSUPPORTED_VERSION, and the connection
//! lives.

use kafka_protocol::messages::{ApiVersionsResponse, RequestKind, ResponseKind};

use super::Asked;
use crate::broker::{Broker, Effect};
use crate::error::ErrorCode;

pub(super) fn handle(_broker: &mut Broker, asked: Asked, body: RequestKind, out: &mut Vec<Effect>) {
    let response = response(asked.version, &body);
    asked.reply(response, out);
}

/// The answer to `request` that says UNSUPPORTED_VERSION where clients look for an error.
pub fn response(_version: i16, _request: &RequestKind) -> ResponseKind {
    ApiVersionsResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code()).into()
}
