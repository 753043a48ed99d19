//! A response to a [`Request`](super::Request), decoded.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::Decodable;

use super::{log_dirs, markers, share};
use crate::error::ErrorCode;
use crate::log::Extent;

#[derive(Clone, Debug)]
pub struct Response {
    /// The version to encode `body` with: the request's, but 0 where ApiVersions answers a version it lacks.
    pub version: i16,
    /// For Fetch the partitions' `records` are `None`: they are in `records`.
    pub body: Box<ResponseKind>,
    /// For Fetch and ShareFetch, one for each partition in the order of the body: what to send, straight from the log.
    /// `None` is an empty record set. Empty for every other API.
    pub records: Vec<Option<Extent>>,
}

impl Response {
    /// Without records.
    pub fn new(version: i16, body: impl Into<ResponseKind>) -> Self {
        Response { version, body: Box::new(body.into()), records: Vec::new() }
    }

    /// The records of a Fetch's partition, by its place in [`records`](Self::records), cannot be read: it is told
    /// KAFKA_STORAGE_ERROR, as Kafka answers a partition on which it meets an I/O error.
    pub fn withhold(&mut self, at: usize) {
        self.records[at] = None;
        if let ResponseKind::ShareFetch(fetch) = &mut *self.body {
            let mut partitions = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
            if let Some(partition) = partitions.nth(at) {
                partition.error_code = ErrorCode::KafkaStorageError.code();
                partition.acquired_records.clear();
            }
            return;
        }
        let ResponseKind::Fetch(fetch) = &mut *self.body else { return };
        if let Some(partition) = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions).nth(at) {
            partition.error_code = ErrorCode::KafkaStorageError.code();
            (partition.high_watermark, partition.last_stable_offset, partition.log_start_offset) = (-1, -1, -1);
            partition.aborted_transactions = None;
        }
    }

    /// Writes the body, as `version` says it.
    ///
    /// Errors: in words, where this version cannot carry what the body holds.
    pub fn encode(&self, frame: &mut BytesMut) -> Result<(), String> {
        match &*self.body {
            ResponseKind::DescribeLogDirs(body) if self.version == log_dirs::LATEST => log_dirs::encode(body, frame),
            ResponseKind::ShareFetch(_) if self.version == 2 => share::encode_answer(&self.body, frame),
            ResponseKind::ShareAcknowledge(_) if self.version == 2 => share::encode_answer(&self.body, frame),
            ResponseKind::WriteShareGroupState(_) if self.version == 1 => share::encode_answer(&self.body, frame),
            ResponseKind::ReadShareGroupStateSummary(_) if self.version == 1 => share::encode_answer(&self.body, frame),
            body @ (ResponseKind::ShareAcknowledge(_) | ResponseKind::ReadShareGroupStateSummary(_)) => {
                share::without_added_answer(body).encode(frame, self.version).map_err(|error| error.to_string())
            }
            body => body.encode(frame, self.version).map_err(|error| error.to_string()),
        }
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
        if api == ApiKey::DescribeLogDirs && version == log_dirs::LATEST {
            return Ok((correlation_id, Response::new(version, log_dirs::decode(&mut frame)?)));
        }
        if share::is_one(api, version) {
            return Ok((correlation_id, Response::new(version, share::decode_answer(api, &mut frame)?)));
        }
        let body = frame.clone();
        let (version, decoded) = match ResponseKind::decode(api, &mut frame, version) {
            Err(_) if api == ApiKey::ApiVersions && version > 0 => (0, ResponseKind::decode(api, &mut body.clone(), 0)),
            decoded => (version, decoded),
        };
        Ok((correlation_id, Response::new(version, decoded.map_err(|error| words(&error))?)))
    }
}
