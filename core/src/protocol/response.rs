//! A response to a [`Request`](super::Request), decoded.

use kafka_protocol::messages::ResponseKind;

use crate::broker::effect::Extent;

#[derive(Clone, Debug)]
pub struct Response {
    /// The version to encode `body` with: the request's, but 0 where ApiVersions answers a version it lacks.
    pub version: i16,
    /// For Fetch the partitions' `records` are `None`: they are in `records`.
    pub body: ResponseKind,
    /// For Fetch, one for each partition in the order of the body: what to send, straight from the log.
    /// `None` is an empty record set. Empty for every other API.
    pub records: Vec<Option<Extent>>,
}

impl Response {
    pub fn new(version: i16, body: ResponseKind) -> Self {
        Response { version, body, records: Vec::new() }
    }
}
