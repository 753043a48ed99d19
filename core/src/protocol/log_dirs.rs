//! DescribeLogDirs 5 (KIP-1066), which kafka-protocol does not know. The request is that of version 4; the response tells at
//! the end of each directory whether it is cordoned, which no directory is here.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::DescribeLogDirsResponse;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::compact::{count, get_i32, put_uvarint, skip_tagged_fields};

/// The last version that there is.
pub const LATEST: i16 = 5;
/// The one that kafka-protocol knows.
pub const KNOWN: i16 = 4;

/// In version [`LATEST`].
pub fn encode(response: &DescribeLogDirsResponse, frame: &mut BytesMut) -> Result<(), String> {
    frame.put_i32(response.throttle_time_ms);
    frame.put_i16(response.error_code);
    put_uvarint(frame, response.results.len() as u32 + 1);
    for directory in &response.results {
        directory.encode(frame, KNOWN).map_err(|error| error.to_string())?;
        // Before the number of tagged fields, which is 0.
        frame.truncate(frame.len() - 1);
        frame.put_u8(false.into());
        frame.put_u8(0);
    }
    frame.put_u8(0);
    Ok(())
}

/// In version [`LATEST`].
pub fn decode(frame: &mut Bytes) -> Result<DescribeLogDirsResponse, String> {
    let short = |_| "a number is cut off".to_owned();
    let mut response = DescribeLogDirsResponse::default()
        .with_throttle_time_ms(get_i32(frame)?)
        .with_error_code(frame.try_get_i16().map_err(short)?);
    for _ in 0..count(frame)? {
        // What follows the flag is read as if the flag were not there: its 0 is the number of tagged fields.
        let directory = DescribeLogDirsResult::decode(frame, KNOWN).map_err(|error| error.to_string())?;
        skip_tagged_fields(frame)?;
        response.results.push(directory);
    }
    skip_tagged_fields(frame)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    #[test]
    fn a_response_has_kafkas_bytes_and_is_decoded_as_it_was_encoded() {
        let directory = DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_static_str("/d"))
            .with_total_bytes(9)
            .with_usable_bytes(7);
        let response = DescribeLogDirsResponse::default().with_throttle_time_ms(3).with_results(vec![directory]);
        let mut frame = BytesMut::new();
        encode(&response, &mut frame).unwrap();
        let expected = [
            &[0, 0, 0, 3, 0, 0, 2][..],
            &[0, 0, 3, b'/', b'd', 1],
            &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7],
            // Cordoned, and tagged fields of the directory and of all.
            &[0, 0, 0],
        ];
        assert_eq!(frame, expected.concat());
        assert_eq!(decode(&mut frame.clone().freeze()), Ok(response));
        for end in 0..frame.len() {
            assert!(decode(&mut Bytes::copy_from_slice(&frame[..end])).is_err(), "{end} bytes");
        }
    }
}
