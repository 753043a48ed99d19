//! A request, decoded: header, body, and for Produce the batches, already checked.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, FetchRequest, ProduceRequest, RequestHeader, RequestKind};
use kafka_protocol::protocol::buf::ByteBufMut;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::{by_id, log_dirs, markers, share, strings};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::record::check::{Checked, Invalid, check_within};
use crate::record::compress::MAX_REQUEST_DECOMPRESSED_LEN;

#[derive(Clone, Debug)]
pub struct Request {
    pub api_key: ApiKey,
    /// What the client asked in; for ApiVersions that may be a version that does not exist.
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
    /// Bytes of the frame that it was; of its records, where it never was one.
    pub len: usize,
    /// Where it came from, as Kafka prints it: `/127.0.0.1`; `None` where the driver does not say.
    pub host: Option<Arc<str>>,
    /// For Produce the partitions' `records` are `None`: they are in `batches`.
    pub body: RequestKind,
    /// For Produce, one for each partition in the order of the body; empty otherwise.
    pub batches: Vec<Result<Checked, Invalid>>,
}

/// A request whose batches have not been looked at.
pub struct Unchecked {
    request: Box<Request>,
    /// One for each partition of a Produce.
    records: Vec<Option<Bytes>>,
}

/// Bytes of records that are checked in passing: about a millisecond.
const LIGHT: usize = 1 << 20;

/// Why a frame is not a request. Kafka answers none of these: it closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The header itself is cut or wrong.
    Header(String),
    UnknownApi {
        api_key: i16,
        version: i16,
    },
    UnsupportedVersion {
        api_key: ApiKey,
        version: i16,
        correlation_id: i32,
    },
    Body {
        api_key: ApiKey,
        version: i16,
        why: String,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Header(why) => write!(f, "Error parsing request header: {why}"),
            DecodeError::UnknownApi { api_key, version } => write!(f, "Unknown API key {api_key} (version {version})"),
            DecodeError::UnsupportedVersion { api_key, version, .. } => {
                write!(
                    f,
                    "Received request for api with key {} ({api_key:?}) and unsupported version {version}",
                    *api_key as i16
                )
            }
            DecodeError::Body { api_key, version, why } => {
                write!(f, "Error getting request for apiKey: {api_key:?}, apiVersion: {version}: {why}")
            }
        }
    }
}

/// The broker that a Fetch comes from as a follower; none where it is a consumer's. Before version 15 it says so itself,
/// from then on by its `replica_state`; what a version does not carry is −1.
pub fn follower(fetch: &FetchRequest) -> Option<BrokerId> {
    let replica = fetch.replica_id.0.max(fetch.replica_state.replica_id.0);
    (replica >= 0).then_some(BrokerId(replica))
}

impl Request {
    /// Takes the records of a Produce out of the body and checks them.
    #[inline]
    pub fn new(
        api_key: ApiKey,
        version: i16,
        correlation_id: i32,
        client_id: Option<StrBytes>,
        body: RequestKind,
    ) -> Box<Request> {
        match body {
            RequestKind::Produce(_) => Unchecked::new(api_key, version, correlation_id, client_id, body).check(),
            _ => Request::unbatched(api_key, version, correlation_id, client_id, 0, body),
        }
    }

    /// Large as it is, it is moved by its address from here on.
    fn unbatched(
        api_key: ApiKey,
        version: i16,
        correlation_id: i32,
        client_id: Option<StrBytes>,
        len: usize,
        body: RequestKind,
    ) -> Box<Request> {
        Box::new(Request { api_key, version, correlation_id, client_id, len, host: None, body, batches: Vec::new() })
    }

    /// Whether an answer comes: to all but a Produce that wants no acknowledgement.
    pub fn awaits_response(&self) -> bool {
        !matches!(&self.body, RequestKind::Produce(produce) if produce.acks == 0)
    }

    /// Writes the frame without its length prefix.
    ///
    /// Errors: in words, where this version cannot carry what the body holds.
    pub fn encode(&self, frame: &mut BytesMut) -> Result<(), String> {
        if let RequestKind::Produce(produce) = &self.body {
            return self.encode_produce(produce, frame);
        }
        self.encode_header(frame)?;
        match &self.body {
            RequestKind::WriteTxnMarkers(body) if self.version == markers::LATEST => markers::encode(body, frame),
            body if by_id::is_one(self.api_key, self.version) => by_id::encode(body, frame),
            body if share::is_one(self.api_key, self.version) => share::encode(body, frame),
            body if share::latest(self.api_key).is_some() => {
                share::without_added(body).encode(frame, self.version).map_err(|error| error.to_string())
            }
            RequestKind::DescribeLogDirs(body) => {
                body.encode(frame, self.version.min(log_dirs::KNOWN)).map_err(|error| error.to_string())
            }
            body => body.encode(frame, self.version).map_err(|error| error.to_string()),
        }
    }

    /// The same of a Produce, which is its body: into a buffer that may keep batches as they are.
    pub fn encode_produce(&self, produce: &ProduceRequest, frame: &mut impl ByteBufMut) -> Result<(), String> {
        self.encode_header(frame)?;
        let mut produce = produce.clone();
        let partitions = produce.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
        for (partition, batch) in partitions.zip(&self.batches) {
            partition.records = batch.as_ref().ok().map(|checked| checked.batch.bytes.clone());
        }
        produce.encode(frame, self.version).map_err(|error| error.to_string())
    }

    fn encode_header(&self, frame: &mut impl ByteBufMut) -> Result<(), String> {
        let header = RequestHeader::default()
            .with_request_api_key(self.api_key as i16)
            .with_request_api_version(self.version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(self.client_id.clone());
        let version = self.api_key.request_header_version(self.version);
        header.encode(frame, version).map_err(|error| error.to_string())
    }

    /// Decodes a frame without its length prefix, and checks the batches in it.
    pub fn decode(frame: Bytes) -> Result<Box<Request>, DecodeError> {
        Unchecked::decode(frame).map(Unchecked::check)
    }
}

/// For a log, also where kafka-protocol writes two.
fn one_line(why: &str) -> String {
    why.trim_end().replace('\n', " ")
}

impl Unchecked {
    fn new(
        api_key: ApiKey,
        version: i16,
        correlation_id: i32,
        client_id: Option<StrBytes>,
        mut body: RequestKind,
    ) -> Unchecked {
        let records = match &mut body {
            RequestKind::Produce(produce) => produce
                .topic_data
                .iter_mut()
                .flat_map(|topic| &mut topic.partition_data)
                .map(|partition| partition.records.take())
                .collect(),
            _ => Vec::new(),
        };
        let len = records.iter().flatten().map(Bytes::len).sum();
        let request = Request::unbatched(api_key, version, correlation_id, client_id, len, body);
        Unchecked { request, records }
    }

    /// Checks the batches, however long that takes.
    pub fn check(self) -> Box<Request> {
        self.check_within(MAX_REQUEST_DECOMPRESSED_LEN)
    }

    fn check_within(mut self, mut budget: usize) -> Box<Request> {
        let version = self.request.version;
        let checked = self.records.into_iter().map(|records| check_within(version, records, &mut budget));
        self.request.batches = checked.collect();
        self.request
    }

    /// Checks the batches, if that takes about a millisecond at most; else all is as before, for another to do.
    pub fn check_lightly(mut self) -> Result<Box<Request>, Unchecked> {
        if self.records.iter().flatten().map(Bytes::len).sum::<usize>() > LIGHT {
            return Err(self);
        }
        let mut budget = LIGHT;
        for records in &self.records {
            let checked = check_within(self.request.version, records.clone(), &mut budget);
            if checked.as_ref().is_err_and(|invalid| invalid.error == ErrorCode::MessageTooLarge) {
                self.request.batches.clear();
                return Err(self);
            }
            self.request.batches.push(checked);
        }
        Ok(self.request)
    }

    /// Decodes a frame without its length prefix. What follows the body is ignored, as Kafka does.
    ///
    /// ApiVersions at a version that does not exist is decoded by its header alone, so that the broker can answer with
    /// the versions that do.
    pub fn decode(mut frame: Bytes) -> Result<Unchecked, DecodeError> {
        let len = frame.len();
        let Some((&[key_high, key_low, version_high, version_low], _)) = frame.split_first_chunk::<4>() else {
            return Err(DecodeError::Header(format!("it has {} bytes", frame.len())));
        };
        let version = i16::from_be_bytes([version_high, version_low]);
        let api_key = i16::from_be_bytes([key_high, key_low]);
        let api_key = ApiKey::try_from(api_key).map_err(|()| DecodeError::UnknownApi { api_key, version })?;
        let header = RequestHeader::decode(&mut frame, api_key.request_header_version(version))
            .map_err(|error| DecodeError::Header(one_line(&error.to_string())))?;
        let versions = api_key.valid_versions();
        let malformed = |why: String| DecodeError::Body { api_key, version, why: one_line(&why) };
        let body = if api_key == ApiKey::WriteTxnMarkers && version == markers::LATEST {
            RequestKind::WriteTxnMarkers(markers::decode(&mut frame).map_err(malformed)?)
        } else if by_id::is_one(api_key, version) {
            by_id::decode(api_key, &mut frame).map_err(malformed)?
        } else if share::is_one(api_key, version) {
            share::decode(api_key, &mut frame).map_err(malformed)?
        } else if api_key == ApiKey::DescribeLogDirs && version == log_dirs::LATEST {
            // The request is the same.
            RequestKind::decode(api_key, &mut frame, log_dirs::KNOWN).map_err(|error| malformed(error.to_string()))?
        } else if share::latest(api_key).is_some() && (versions.min..=versions.max).contains(&version) {
            // A tag on the wire may look like one of those in memory.
            let body = RequestKind::decode(api_key, &mut frame, version);
            share::without_added(&body.map_err(|error| malformed(error.to_string()))?)
        } else if (versions.min..=versions.max).contains(&version) {
            RequestKind::decode(api_key, &mut frame, version).map_err(|error| malformed(error.to_string()))?
        } else if api_key == ApiKey::ApiVersions {
            RequestKind::ApiVersions(ApiVersionsRequest::default())
        } else {
            let correlation_id = header.correlation_id;
            return Err(DecodeError::UnsupportedVersion { api_key, version, correlation_id });
        };
        strings::check(&body).map_err(malformed)?;
        let mut unchecked = Unchecked::new(api_key, version, header.correlation_id, header.client_id, body);
        unchecked.request.len = len;
        Ok(unchecked)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{MetadataRequest, ProduceRequest, TopicName};
    use kafka_protocol::protocol::encode_request_header_into_buffer;

    use super::*;
    use crate::record::{BatchBuilder, Compression};
    use crate::time::Timestamp;

    fn frame(api_key: ApiKey, version: i16, body: &RequestKind) -> BytesMut {
        let header = RequestHeader::default()
            .with_request_api_key(api_key as i16)
            .with_request_api_version(version)
            .with_correlation_id(9)
            .with_client_id(Some(StrBytes::from_static_str("me")));
        let mut bytes = BytesMut::new();
        encode_request_header_into_buffer(&mut bytes, &header).unwrap();
        body.encode(&mut bytes, version).unwrap();
        bytes
    }

    #[test]
    fn the_batches_of_a_produce_are_taken_out_of_its_body_without_a_copy() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(1), None, Some(b"v"), &[]);
        let batch = builder.build();
        let partition = |records| PartitionProduceData::default().with_records(records);
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_data(vec![partition(Some(batch.bytes.clone())), partition(Some(Bytes::new()))]);
        let body = RequestKind::Produce(ProduceRequest::default().with_topic_data(vec![topic]));
        let frame = frame(ApiKey::Produce, 9, &body).freeze();
        let request = Request::decode(frame.clone()).unwrap();
        assert_eq!((request.correlation_id, request.client_id.as_deref()), (9, Some("me")));
        let RequestKind::Produce(produce) = &request.body else { panic!() };
        assert!(produce.topic_data[0].partition_data.iter().all(|partition| partition.records.is_none()));
        let taken = request.batches[0].as_ref().unwrap();
        assert_eq!(taken.batch, batch);
        assert!(frame.as_ptr_range().contains(&taken.batch.bytes.as_ptr()));
        assert_eq!(request.batches[1].as_ref().unwrap_err().error, ErrorCode::InvalidRecord);
    }

    /// A Produce of `count` partitions, each of one batch with `len` zeros in it.
    fn bombs(count: usize, len: usize) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::Zstd);
        builder.append(Timestamp(1), None, Some(&vec![0; len]), &[]);
        let batch = builder.build().bytes;
        let partition = PartitionProduceData::default().with_records(Some(batch));
        let topic = TopicProduceData::default().with_partition_data(vec![partition; count]);
        let body = RequestKind::Produce(ProduceRequest::default().with_topic_data(vec![topic]));
        frame(ApiKey::Produce, 9, &body).freeze()
    }

    #[test]
    fn what_takes_long_to_check_is_left_for_another_to_do() {
        let light = Unchecked::decode(bombs(3, 300 << 10)).unwrap().check_lightly();
        assert_eq!(light.map(|request| request.batches.len()).ok(), Some(3));
        let Err(heavy) = Unchecked::decode(bombs(4, 300 << 10)).unwrap().check_lightly() else { panic!() };
        let request = heavy.check();
        assert_eq!(request.batches.iter().filter(|batch| batch.is_ok()).count(), 4);
    }

    #[test]
    fn a_request_has_a_budget_for_all_its_batches() {
        let request = Unchecked::decode(bombs(4, 300 << 10)).unwrap().check_within(1 << 20);
        let errors = request.batches.iter().map(|batch| batch.as_ref().err().map(|invalid| invalid.error));
        assert_eq!(errors.collect::<Vec<_>>(), [None, None, None, Some(ErrorCode::MessageTooLarge)]);
    }

    #[test]
    fn a_request_is_encoded_as_it_was_decoded() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(1), None, Some(b"v"), &[]);
        let partition = PartitionProduceData::default().with_records(Some(builder.build().bytes));
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_data(vec![partition]);
        let produce = RequestKind::Produce(ProduceRequest::default().with_acks(1).with_topic_data(vec![topic]));
        for (api_key, version, body) in
            [(ApiKey::Produce, 9, produce), (ApiKey::Metadata, 5, RequestKind::Metadata(MetadataRequest::default()))]
        {
            let frame = frame(api_key, version, &body).freeze();
            let mut again = BytesMut::new();
            Request::decode(frame.clone()).unwrap().encode(&mut again).unwrap();
            assert_eq!(again, frame);
        }
    }

    #[test]
    fn what_is_not_a_request_is_told_apart() {
        assert!(matches!(Request::decode(Bytes::from_static(&[0, 3])), Err(DecodeError::Header(_))));
        let unknown = Bytes::from_static(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
        assert_eq!(Request::decode(unknown).unwrap_err(), DecodeError::UnknownApi { api_key: 0x7f00, version: 0 });
        let mut metadata = frame(ApiKey::Metadata, 5, &RequestKind::Metadata(MetadataRequest::default()));
        let cut = metadata.clone().split_to(metadata.len() - 2).freeze();
        assert!(matches!(Request::decode(cut), Err(DecodeError::Body { api_key: ApiKey::Metadata, .. })));
        metadata[2..4].copy_from_slice(&99_i16.to_be_bytes());
        metadata.extend_from_slice(&[0; 4]);
        assert!(matches!(
            Request::decode(metadata.freeze()),
            Err(DecodeError::UnsupportedVersion { version: 99, correlation_id: 9, .. })
        ));
    }

    #[test]
    fn api_versions_is_decoded_even_at_a_version_that_does_not_exist() {
        let mut bytes = frame(ApiKey::ApiVersions, 3, &RequestKind::ApiVersions(ApiVersionsRequest::default()));
        bytes[2..4].copy_from_slice(&99_i16.to_be_bytes());
        let request = Request::decode(bytes.freeze()).unwrap();
        assert_eq!((request.api_key, request.version), (ApiKey::ApiVersions, 99));
    }

    #[test]
    fn bytes_after_the_body_are_ignored() {
        let mut bytes = frame(ApiKey::Metadata, 12, &RequestKind::Metadata(MetadataRequest::default()));
        bytes.extend_from_slice(b"more");
        assert!(Request::decode(bytes.freeze()).is_ok());
    }
}
