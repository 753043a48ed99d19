//! A response to a [`Request`](super::Request), decoded.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::Decodable;

use super::markers;
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

    /// Decodes the answer to a request of that version: a frame without its length prefix. Gives the correlation id too;
    /// the record sets of a Fetch stay in the body, as slices of the frame.
    ///
    /// ApiVersions is answered in version 0 by a broker that lacks the version.
    pub fn decode(api: ApiKey, version: i16, mut frame: Bytes) -> Result<(i32, Response), String> {
        // What kafka-protocol does not know is the same.
        let version = if api == ApiKey::WriteTxnMarkers { version.min(markers::KNOWN) } else { version };
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let header = ResponseHeader::decode(&mut frame, api.response_header_version(version));
        let correlation_id = header.map_err(|error| words(&error))?.correlation_id;
        let body = frame.clone();
        let (version, decoded) = match ResponseKind::decode(api, &mut frame, version) {
            Err(_) if api == ApiKey::ApiVersions && version > 0 => (0, ResponseKind::decode(api, &mut body.clone(), 0)),
            decoded => (version, decoded),
        };
        Ok((correlation_id, Response::new(version, decoded.map_err(|error| words(&error))?)))
    }
}
