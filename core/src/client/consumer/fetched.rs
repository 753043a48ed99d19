//! Fetched records: decoded, and waiting for the application to poll them.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::AbortedTransaction;

use super::positions::Position;
use super::settings::Settings;
use crate::arrange::Arrange;
use crate::client::exception::Exception;
use crate::client::serdes::Part;
use crate::id::{LeaderEpoch, Offset};
use crate::record::batch::{batches, computed_crc};
use crate::record::{Batch, BatchHeader, Marker, Record, TimestampType};

/// What a fetch brought for one partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Which position.
    pub position: usize,
    pub records: VecDeque<Record>,
    /// In which leader epoch the first of them was written, and whose time it bears; then from which offset on it is another.
    written: Option<(LeaderEpoch, TimestampType)>,
    changes: VecDeque<(Offset, LeaderEpoch, TimestampType)>,
    /// The position after the last of them: a batch may end with offsets that hold no record.
    pub next_offset: Offset,
    /// Why nothing after it can be read, if so.
    pub broken: Option<String>,
    /// What poll() throws, again and again, for the first of them: the application has to seek past it.
    pub poison: Option<Exception>,
}

impl Fetched {
    /// In which epoch the record at `offset` was written; offsets must not fall from call to call.
    pub fn epoch_of(&mut self, offset: Offset) -> LeaderEpoch {
        self.forget_before(offset);
        self.written.map_or(-1, |(epoch, _)| epoch)
    }

    /// Whose time the record at `offset` bears; likewise.
    pub fn timestamp_type_of(&mut self, offset: Offset) -> TimestampType {
        self.forget_before(offset);
        self.written.map_or(TimestampType::CreateTime, |(_, of)| of)
    }

    fn forget_before(&mut self, offset: Offset) {
        while let Some((_, epoch, of)) = self.changes.pop_front_if(|(from, ..)| *from <= offset) {
            self.written = Some((epoch, of));
        }
    }
}

/// Whether the application's deserializers take a record (`CompletedFetch.parseRecord`).
pub fn deserialize(settings: &Settings, position: &Position, record: &Record) -> Result<(), Exception> {
    let parts = [
        (Part::Key, settings.key_deserializer, &record.key),
        (Part::Value, settings.value_deserializer, &record.value),
    ];
    parts.into_iter().try_for_each(|(part, serde, bytes)| {
        let Some(bytes) = bytes else { return Ok(()) };
        serde.ensure(bytes).map_err(|cause| {
            let message = format!(
                "Error deserializing {} for partition {} at offset {}. If needed, please seek past the record to continue \
                 consumption.",
                part.to_string().to_uppercase(),
                position.name(),
                record.offset
            );
            Exception::new("RecordDeserializationException", message).caused_by(&cause)
        })
    })
}

/// Whose batches are not given, as the walk over a fetch goes on: those of aborted transactions.
struct Aborted<'a> {
    /// In the order in which they begin.
    ahead: VecDeque<&'a AbortedTransaction>,
    /// Producers in whose aborted transactions the walk is.
    producers: Vec<i64>,
}

impl Aborted<'_> {
    fn of(transactions: &[AbortedTransaction]) -> Aborted<'_> {
        let mut ahead: VecDeque<&AbortedTransaction> = transactions.iter().collect();
        ahead.make_contiguous().arrange_by_key(|aborted| aborted.first_offset);
        Aborted { ahead, producers: Vec::new() }
    }

    /// Whether the batch is one of those.
    fn has(&mut self, header: &BatchHeader, batch: &Bytes) -> bool {
        while let Some(aborted) = self.ahead.pop_front_if(|aborted| aborted.first_offset <= header.last_offset()) {
            self.producers.push(aborted.producer_id.0);
        }
        if header.is_control() {
            let marker = Marker::of(&Batch { header: *header, bytes: batch.clone() });
            if marker.is_some_and(|marker| !marker.commit) {
                self.producers.retain(|producer| *producer != header.producer_id);
            }
        }
        header.is_transactional() && self.producers.contains(&header.producer_id)
    }
}

/// Decodes the record set of a fetch from `offset` on, without what was aborted. A last batch that is cut short is left
/// for the next fetch.
pub fn decode(
    position: &Position,
    index: usize,
    offset: Offset,
    (bytes, aborted): (&Bytes, &[AbortedTransaction]),
    check_crcs: bool,
) -> Fetched {
    let mut aborted = Aborted::of(aborted);
    let mut fetched = Fetched {
        position: index,
        records: VecDeque::new(),
        written: None,
        changes: VecDeque::new(),
        next_offset: offset,
        broken: None,
        poison: None,
    };
    let mut walk = batches(bytes);
    let mut whole = 0;
    for (header, batch) in &mut walk {
        whole += 1;
        // A batch is given whole, although the offset that was asked for may lie in its middle.
        if header.last_offset() < offset {
            continue;
        }
        if check_crcs && computed_crc(batch) != header.crc {
            fetched.broken = Some(format!(
                "Record batch for partition {} at offset {} is invalid, cause: Record is corrupt (stored crc = {}, \
                 computed crc = {})",
                position.name(),
                header.base_offset,
                header.crc,
                computed_crc(batch)
            ));
            return fetched;
        }
        // Control batches (transaction markers) are for clients, not for applications.
        let batch = bytes.slice_ref(batch);
        if !aborted.has(&header, &batch) && !header.is_control() {
            match Record::decode(&Batch { header, bytes: batch }) {
                // As they are, where there are none yet.
                Ok(records) if fetched.records.is_empty() && records.first().is_none_or(|one| one.offset >= offset) => {
                    fetched.records = records.into();
                }
                Ok(records) => fetched.records.extend(records.into_iter().filter(|record| record.offset >= offset)),
                Err(malformed) => {
                    fetched.broken = Some(format!(
                        "Received exception when fetching the next record from {}. If needed, please seek past the \
                         record to continue consumption. {malformed}",
                        position.name()
                    ));
                    return fetched;
                }
            }
        }
        let written = (header.partition_leader_epoch, header.timestamp_type());
        let last = fetched.changes.back().map(|(_, epoch, of)| (*epoch, *of));
        match last.or(fetched.written) {
            None => fetched.written = Some(written),
            Some(last) if last == written => {}
            Some(_) => fetched.changes.push_back((header.base_offset, written.0, written.1)),
        }
        fetched.next_offset = header.next_offset();
    }
    if whole == 0 && !bytes.is_empty() {
        // Brokers give a first batch whole however large it is, so this is no matter of size.
        fetched.broken = Some(format!(
            "Failed to make progress reading messages at {}={offset}. Received a non-empty fetch response from the \
             server, but no complete records were found.",
            position.name()
        ));
    }
    fetched
}
