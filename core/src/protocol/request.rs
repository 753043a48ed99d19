//! A request, decoded: header, body, and for Produce the batches, already checked.

use kafka_protocol::messages::{ApiKey, RequestKind};
use kafka_protocol::protocol::StrBytes;

use crate::record::Batch;
use crate::record::check::Invalid;

#[derive(Clone, Debug)]
pub struct Request {
    pub api_key: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
    /// For Produce the partitions' `records` are `None`: they are in `batches`.
    pub body: RequestKind,
    /// For Produce, one for each partition in the order of the body; empty otherwise.
    pub batches: Vec<Result<Batch, Invalid>>,
}
