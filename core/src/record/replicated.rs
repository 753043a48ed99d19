//! What a follower asks of the bytes that its leader sent for one partition: batches, whole, each with its right CRC, in
//! the order of their offsets. It runs where answers are decoded, on every byte that is replicated; the records
//! themselves are not looked at, since the leader has.

use bytes::Bytes;

use super::batch::{Batch, Broken, batches, computed_crc};
use super::check::Invalid;
use crate::error::ErrorCode;

/// The batches of a record set, as slices of it. A last one that was cut at the size of the fetch comes with the next.
///
/// Errors: `CorruptMessage`, `InvalidRecord`.
pub fn replicated(records: Option<Bytes>) -> Result<Vec<Batch>, Invalid> {
    let records = records.unwrap_or_default();
    let invalid = |error, message| Err(Invalid::new(error, message));
    let mut walk = batches(&records);
    let mut found: Vec<Batch> = Vec::new();
    for (header, bytes) in &mut walk {
        let at = header.base_offset;
        let computed = computed_crc(bytes);
        if computed != header.crc {
            let stored = header.crc;
            let message =
                format!("the batch at offset {at} is corrupt (stored crc = {stored}, computed crc = {computed})");
            return invalid(ErrorCode::CorruptMessage, message);
        }
        let end = at.checked_add(header.last_offset_delta.into());
        if at < 0 || header.last_offset_delta < 0 || end.is_none_or(|end| end == i64::MAX) {
            let message = format!("a batch has the offsets {at} and {} on", header.last_offset_delta);
            return invalid(ErrorCode::InvalidRecord, message);
        }
        if let Some(before) = found.last().filter(|before| at <= before.header.last_offset()) {
            let message = format!("the batch at offset {at} comes after offset {}", before.header.last_offset());
            return invalid(ErrorCode::InvalidRecord, message);
        }
        found.push(Batch { header, bytes: records.slice_ref(bytes) });
    }
    match walk.broken() {
        Some(broken) if broken != Broken::Torn || found.is_empty() => {
            invalid(ErrorCode::CorruptMessage, broken.to_string())
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression, Stamp};
    use crate::time::Timestamp;

    fn batch(base_offset: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(1), None, Some(b"v"), &[]);
        let batch = builder.build();
        let stamp = Stamp { base_offset, leader_epoch: 3, append_time: None };
        [&stamp.apply(&batch)[..], &batch.payload()].concat()
    }

    fn taken(bytes: &[&[u8]]) -> Result<Vec<i64>, ErrorCode> {
        let found = replicated(Some(bytes.concat().into())).map_err(|invalid| invalid.error)?;
        Ok(found.iter().map(|batch| batch.header.base_offset).collect())
    }

    #[test]
    fn whole_batches_are_taken_and_a_cut_one_is_left() {
        let (first, second) = (batch(5), batch(6));
        assert_eq!(taken(&[&first, &second]), Ok(vec![5, 6]));
        assert_eq!(taken(&[&first, &second[..second.len() - 1]]), Ok(vec![5]));
        assert_eq!(taken(&[&first, &second[..9]]), Ok(vec![5]));
        assert_eq!(replicated(None), Ok(vec![]));
    }

    #[test]
    fn what_no_leader_can_have_is_refused() {
        let (first, second) = (batch(5), batch(6));
        let mut flipped = second.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(taken(&[&first, &flipped]), Err(ErrorCode::CorruptMessage));
        assert_eq!(taken(&[&second, &first]), Err(ErrorCode::InvalidRecord));
        assert_eq!(taken(&[&batch(-2)]), Err(ErrorCode::InvalidRecord));
        assert_eq!(taken(&[&first[..40]]), Err(ErrorCode::CorruptMessage), "a fetch brings one whole batch at least");
        let mut magic = second;
        magic[16] = 1;
        assert_eq!(taken(&[&first, &magic]), Err(ErrorCode::CorruptMessage));
    }
}
