//! What a call of a client throws, by the names of Kafka's Java client.

use std::fmt;

use crate::error::{self, ErrorCode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// `ProducerFencedException`.
    pub class: String,
    pub message: String,
    /// What a broker answered, where that is why.
    pub code: Option<ErrorCode>,
    pub cause: Option<Box<Exception>>,
}

impl Exception {
    pub fn new(class: &str, message: impl Into<String>) -> Exception {
        Exception { class: class.to_owned(), message: message.into(), code: None, cause: None }
    }

    pub fn kafka(message: impl Into<String>) -> Exception {
        Exception::new("KafkaException", message)
    }

    pub fn illegal_state(message: impl Into<String>) -> Exception {
        Exception::new("IllegalStateException", message)
    }

    /// `Errors.exception()`; a broker's own words come before Kafka's.
    pub fn of(code: ErrorCode, message: Option<&str>) -> Exception {
        let message = message.map_or_else(|| error::message(code).into_owned(), str::to_owned);
        Exception { class: class(code), message, code: Some(code), cause: None }
    }

    pub fn caused_by(self, cause: &Exception) -> Exception {
        Exception { cause: Some(Box::new(cause.clone())), ..self }
    }

    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == Some(code)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)?;
        self.cause.iter().try_for_each(|cause| write!(f, ", caused by {cause}"))
    }
}

impl std::error::Error for Exception {}

/// Kafka's `RetriableException`; kafka-protocol does not count all of them.
pub fn is_retriable(error: ErrorCode) -> bool {
    error.is_retriable() || error == ErrorCode::ConcurrentTransactions
}

/// `Errors` with the exceptions that are not called as their errors are.
fn class(code: ErrorCode) -> String {
    match code {
        ErrorCode::UnknownServerError => "UnknownServerException".to_owned(),
        ErrorCode::CorruptMessage => "CorruptRecordException".to_owned(),
        ErrorCode::OffsetMetadataTooLarge => "OffsetMetadataTooLarge".to_owned(),
        ErrorCode::TopicAuthorizationFailed => "TopicAuthorizationException".to_owned(),
        ErrorCode::GroupAuthorizationFailed => "GroupAuthorizationException".to_owned(),
        ErrorCode::ClusterAuthorizationFailed => "ClusterAuthorizationException".to_owned(),
        ErrorCode::TransactionalIdAuthorizationFailed => "TransactionalIdAuthorizationException".to_owned(),
        ErrorCode::KafkaStorageError => "KafkaStorageException".to_owned(),
        ErrorCode::NonEmptyGroup => "GroupNotEmptyException".to_owned(),
        ErrorCode::OutOfOrderSequenceNumber => "OutOfOrderSequenceException".to_owned(),
        ErrorCode::DuplicateSequenceNumber => "DuplicateSequenceException".to_owned(),
        ErrorCode::InvalidProducerIdMapping => "InvalidPidMappingException".to_owned(),
        ErrorCode::InvalidTransactionTimeout => "InvalidTxnTimeoutException".to_owned(),
        ErrorCode::MessageTooLarge => "RecordTooLargeException".to_owned(),
        ErrorCode::RecordListTooLarge => "RecordBatchTooLargeException".to_owned(),
        ErrorCode::RequestTimedOut => "TimeoutException".to_owned(),
        ErrorCode::InvalidTopicException => "InvalidTopicException".to_owned(),
        code => format!("{code:?}Exception"),
    }
}
