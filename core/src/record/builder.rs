//! Makes batches: records in, one v2 batch out.

/// Collects records of one batch. Offsets count from 0; the leader stamps the base.
#[derive(Clone, Debug)]
pub struct BatchBuilder {}
