//! Kafka's error codes. The numbers are kafka-protocol's, which are Kafka's `Errors`.

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

/// Kafka's name of a code: `NOT_LEADER_OR_FOLLOWER`, `NONE`.
pub fn name(code: i16) -> String {
    let Some(error) = ErrorCode::try_from_code(code) else { return "NONE".to_owned() };
    let mut name = String::new();
    for letter in error.to_string().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
