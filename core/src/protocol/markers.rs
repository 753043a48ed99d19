//! WriteTxnMarkers 2 (KIP-1228), which kafka-protocol does not know: version 1, and at the end of each marker under which
//! level of `transaction.version` the transaction was. In memory the level is among the marker's tagged fields, under a
//! tag that no wire can carry. The response is the same in both versions.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::compact::{count, put_uvarint, skip_tagged_fields};

/// The last version that there is.
pub const LATEST: i16 = 2;
/// The one that kafka-protocol knows.
pub const KNOWN: i16 = 1;
const LEVEL: i32 = -1;

/// Under which level of `transaction.version` the transaction was; 0 where it is not told.
pub fn transaction_version(marker: &WritableTxnMarker) -> i8 {
    marker.unknown_tagged_fields.get(&LEVEL).and_then(|level| level.first()).map_or(0, |level| *level as i8)
}

/// For [`LATEST`] alone.
pub fn with_transaction_version(marker: WritableTxnMarker, level: i8) -> WritableTxnMarker {
    marker.with_unknown_tagged_field(LEVEL, Bytes::copy_from_slice(&level.to_be_bytes()))
}

/// In version [`LATEST`].
pub fn encode(request: &WriteTxnMarkersRequest, frame: &mut BytesMut) -> Result<(), String> {
    put_uvarint(frame, request.markers.len() as u32 + 1);
    for marker in &request.markers {
        let level = transaction_version(marker);
        let known = marker.clone().with_unknown_tagged_fields(Default::default());
        known.encode(frame, KNOWN).map_err(|error| error.to_string())?;
        // Before the number of tagged fields, which is 0.
        frame.truncate(frame.len() - 1);
        frame.put_i8(level);
        frame.put_u8(0);
    }
    frame.put_u8(0);
    Ok(())
}

/// In version [`LATEST`].
pub fn decode(frame: &mut Bytes) -> Result<WriteTxnMarkersRequest, String> {
    let mut request = WriteTxnMarkersRequest::default();
    for _ in 0..count(frame)? {
        let short = |_| "a marker is cut off".to_owned();
        let producer_id = ProducerId(frame.try_get_i64().map_err(short)?);
        let producer_epoch = frame.try_get_i16().map_err(short)?;
        let commit = frame.try_get_u8().map_err(short)? != 0;
        let topics = (0..count(frame)?).map(|_| WritableTxnMarkerTopic::decode(frame, KNOWN));
        let topics = topics.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let coordinator_epoch = frame.try_get_i32().map_err(short)?;
        let level = frame.try_get_i8().map_err(short)?;
        skip_tagged_fields(frame)?;
        let marker = WritableTxnMarker::default()
            .with_producer_id(producer_id)
            .with_producer_epoch(producer_epoch)
            .with_transaction_result(commit)
            .with_topics(topics)
            .with_coordinator_epoch(coordinator_epoch);
        request.markers.push(with_transaction_version(marker, level));
    }
    skip_tagged_fields(frame)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::protocol::StrBytes;

    fn request() -> WriteTxnMarkersRequest {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_indexes(vec![0, 200]);
        let marker = |level| {
            let marker = WritableTxnMarker::default()
                .with_producer_id(ProducerId(7))
                .with_producer_epoch(3)
                .with_transaction_result(true)
                .with_topics(vec![topic.clone()])
                .with_coordinator_epoch(9);
            with_transaction_version(marker, level)
        };
        WriteTxnMarkersRequest::default().with_markers(vec![marker(2), marker(0)])
    }

    #[test]
    fn a_request_has_kafkas_bytes_and_is_decoded_as_it_was_encoded() {
        let mut frame = BytesMut::new();
        encode(&request(), &mut frame).unwrap();
        let marker = |level| {
            [
                &[0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 1, 2, 7][..],
                b"orders",
                &[3, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 0, 9, level, 0],
            ]
            .concat()
        };
        assert_eq!(frame[..], [&[3][..], &marker(2), &marker(0), &[0]].concat());
        let decoded = decode(&mut frame.freeze()).unwrap();
        assert_eq!(decoded, request());
        assert_eq!(decoded.markers.iter().map(transaction_version).collect::<Vec<_>>(), [2, 0]);
    }

    #[test]
    fn what_is_cut_or_claims_too_much_is_refused() {
        let mut frame = BytesMut::new();
        encode(&request(), &mut frame).unwrap();
        for end in 0..frame.len() {
            assert!(decode(&mut Bytes::copy_from_slice(&frame[..end])).is_err(), "{end} bytes");
        }
        assert!(decode(&mut Bytes::from_static(&[0, 0])).is_err());
        assert!(decode(&mut Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0])).is_err());
        assert!(decode(&mut Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff])).is_err());
    }
}
