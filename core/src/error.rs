//! Kafka's error codes. The names, numbers and default messages are kafka-protocol's, which are Kafka's `Errors`.

pub use kafka_protocol::ResponseError as ErrorCode;

/// The code of "no error".
pub const NONE: i16 = 0;

/// The wire code of a result: 0 where it is `Ok`.
pub fn code<T>(result: &Result<T, ErrorCode>) -> i16 {
    match result {
        Ok(_) => NONE,
        Err(error) => error.code(),
    }
}
