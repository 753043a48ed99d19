//! What a broker asks of the bytes that a producer sent for one partition, before it looks at any topic's settings:
//! exactly one batch of format v2, whole, CRC right, records as many and as well formed as the header says.

use bytes::Bytes;

use super::Batch;
use crate::error::ErrorCode;

/// What was wrong: the code and the message of a Produce response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub error: ErrorCode,
    pub message: String,
}

/// Checks what a producer sent for one partition and gives the batch in it, its bytes untouched.
pub fn check(_records: Option<Bytes>) -> Result<Batch, Invalid> {
    todo!()
}
