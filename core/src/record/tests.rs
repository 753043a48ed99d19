//! What Apache Kafka's Java producer and librdkafka wrote is read, and hostile bytes are refused without a panic.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::check::check;
use super::{Batch, BatchBuilder, Compression, Header, Record, batches};
use crate::rng::Seed;
use crate::time::Timestamp;

/// One batch of Kafka 4.3's own MemoryRecordsBuilder a codec: four records, every other one without a key, each with
/// the header `h` twice.
const JAVA: &[(Compression, &str)] = &[
    (
        Compression::None,
        "\
         AAAAAAAAAAAAAAH5/////wLyTVuyAAAAAAADAAABi8/laAAAAAGLz+VoA///////////////////AAAABNwBAAAAAcABdmFsdWUg\
         MCB2YWx1ZSAwIHZhbHVlIDAgdmFsdWUgMCB2YWx1ZSAwIHZhbHVlIDAgdmFsdWUgMCB2YWx1ZSAwIHZhbHVlIDAgdmFsdWUgMCB2\
         YWx1ZSAwIHZhbHVlIDAgBAJoAngCaAHkAQACAghrZXkxwAF2YWx1ZSAxIHZhbHVlIDEgdmFsdWUgMSB2YWx1ZSAxIHZhbHVlIDEg\
         dmFsdWUgMSB2YWx1ZSAxIHZhbHVlIDEgdmFsdWUgMSB2YWx1ZSAxIHZhbHVlIDEgdmFsdWUgMSAEAmgCeAJoAdwBAAQEAcABdmFs\
         dWUgMiB2YWx1ZSAyIHZhbHVlIDIgdmFsdWUgMiB2YWx1ZSAyIHZhbHVlIDIgdmFsdWUgMiB2YWx1ZSAyIHZhbHVlIDIgdmFsdWUg\
         MiB2YWx1ZSAyIHZhbHVlIDIgBAJoAngCaAHkAQAGBghrZXkzwAF2YWx1ZSAzIHZhbHVlIDMgdmFsdWUgMyB2YWx1ZSAzIHZhbHVl\
         IDMgdmFsdWUgMyB2YWx1ZSAzIHZhbHVlIDMgdmFsdWUgMyB2YWx1ZSAzIHZhbHVlIDMgdmFsdWUgMyAEAmgCeAJoAQ==",
    ),
    (
        Compression::Gzip,
        "\
         AAAAAAAAAAAAAACN/////wI1kTUSAAEAAAADAAABi8/laAAAAAGLz+VoA///////////////////AAAABB+LCAAAAAAAAP+7w8jA\
         wMB4gLEsMac0VcFAgVY0C1MGUwVTBuMTRgYmJo7s1EpDmJ2GCrSiYXbeYWRgYYH70UiBVjSSH9nYQH40htlprEArGmYnALc+agnI\
         AQAA",
    ),
    (
        Compression::Snappy,
        "\
         AAAAAAAAAAAAAACz/////wJCuFWcAAIAAAADAAABi8/laAAAAAGLz+VoA///////////////////AAAABIJTTkFQUFkAAAAAAQAA\
         AAEAAABuyAM83AEAAAABwAF2YWx1ZSAwIP4IAF4IAEQEAmgCeAJoAeQBAAICCGtleTERdAQxIAl0/ggARggAEXQQ3AEABAQV5AAy\
         DXD+CABGCAARcBDkAQAGBgHkADMR5AAzDXT+CABGCAAcBAJoAngCaAE=",
    ),
    (
        Compression::Lz4,
        "\
         AAAAAAAAAAAAAACm/////wKO24Y6AAMAAAADAAABi8/laAAAAAGLz+VoA///////////////////AAAABAQiTRhgQIJmAAAA/wHc\
         AQAAAAHAAXZhbHVlIDAgCABF9AMEAmgCeAJoAeQBAAICCGtleTF0ABMxdAAPCAA/BHQAVdwBAAQE5AATMnAADwgAPwRwAFDkAQAG\
         BuQAFDPkABMzdAAPCAA/gAQCaAJ4AmgBAAAAAA==",
    ),
    (
        Compression::Zstd,
        "\
         AAAAAAAAAAAAAACu/////wIPQaP0AAQAAAADAAABi8/laAAAAAGLz+VoA///////////////////AAAABCi1L/0AWIwDADIEDxqw\
         JenQJqBhGLA0DKWYyJSk4EkqXKtGELDlDv///xvTtm3btqUYF0JJIoI7Y4DqkFNXjnCSUQwHATQzriAg4JXlRfJlliVfZlnkyyxL\
         vsxIBIizLPkyy5IvsyzyZZYF5XsuSsQjsO665RvUpg0GAQAA",
    ),
];

/// Segments that librdkafka's batches made, by `kcat -P -z CODEC -K'|' -H h=x -H h`: four keyed records; with lz4 it
/// sent them in two batches.
const LIBRDKAFKA: &[(Compression, &str)] = &[
    (
        Compression::Gzip,
        "\
         AAAAAAAAAAAAAACMAAAAAAKmAYB0AAEAAAADAAABogYZDkQAAAGiBhkORP//////////////////AAAABB+LCAAAAAAAAAN7wsjA\
         wMCRnVppcICxLDGnNFXBQIFWNAtTBlMFUwbjE6CdTCA7DWF2GirQika2kwVkpxHMTiMFWtHIdrKB7DSG2WmsQCsaZicAXSxY09AB\
         AAA=",
    ),
    (
        Compression::Snappy,
        "\
         AAAAAAAAAAAAAACeAAAAAAKSvij6AAIAAAADAAABogYZEqwAAAGiBhkSrP//////////////////AAAABNADTOQBAAAACGtleTDA\
         AXZhbHVlIDAg/ggAXggAHAQCaAJ4AmgBAXQAAgF0ADERdAAxDXT+CABGCAAudAAABAF0ADIRdAAyDXT+CABGCAAudAAABgF0ADMR\
         dAAzDXT+CABGCAAcBAJoAngCaAE=",
    ),
    (
        Compression::Lz4,
        "\
         AAAAAAAAAAAAAABiAAAAAALKUrB/AAMAAAAAAAABogYZFCEAAAGiBhkUIf//////////////////AAAAAQQiTRhgQIIiAAAA/wXk\
         AQAAAAhrZXkwwAF2YWx1ZSAwIAgARYAEAmgCeAJoAQAAAAAAAAAAAAAAAQAAAJAAAAAAAsFEF+oAAwAAAAIAAAGiBhkUIQAAAaIG\
         GRQh//////////////////8AAAADBCJNGGBAglAAAAD/BeQBAAAACGtleTHAAXZhbHVlIDEgCABFgAQCaAJ4AmgBdAAQAnQAFDJ0\
         ABMydAAPCAA/CHQAEAR0ABQzdAATM3QADwgAP4AEAmgCeAJoAQAAAAA=",
    ),
    (
        Compression::Zstd,
        "\
         AAAAAAAAAAAAAACKAAAAAAK4eUiPAAQAAAADAAABogYZGDIAAAGiBhkYMv//////////////////AAAABCi1L/0AWIUCANQC5AEA\
         AAAIa2V5MMABdmFsdWUgMCAEAmgCeAJoAeQBAAACCGtleTExBDIyBjMzDwCAgAcIgDvwDKwCOHiAALgDz8AqgIMHCMBdd3iD2lTu",
    ),
];

fn decoded(base64: &str) -> Bytes {
    BASE64_STANDARD.decode(base64).expect("the fixtures are base64").into()
}

fn value(index: usize) -> String {
    format!("value {index} ").repeat(12)
}

fn assert_record(record: &Record, index: usize, key: Option<String>) {
    assert_eq!(record.offset, index as i64);
    assert_eq!(record.key.as_deref(), key.as_ref().map(String::as_bytes));
    assert_eq!(record.value.as_deref(), Some(value(index).as_bytes()));
    let header = |value: Option<&'static [u8]>| Header { key: "h".into(), value: value.map(Bytes::from_static) };
    assert_eq!(record.headers, [header(Some(b"x")), header(None)]);
}

#[test]
fn what_java_wrote_is_read_and_passes_the_check() {
    for (codec, base64) in JAVA {
        let bytes = decoded(base64);
        let batch = Batch::parse(bytes.clone()).unwrap();
        assert_eq!(batch.header.compression(), Ok(*codec));
        let records = Record::decode(&batch).unwrap();
        assert_eq!(records.len(), 4);
        for (index, record) in records.iter().enumerate() {
            assert_record(record, index, (index % 2 == 1).then(|| format!("key{index}")));
            assert_eq!(record.timestamp, Timestamp(1_700_000_000_000 + index as i64));
        }
        let checked = check(12, Some(bytes)).unwrap();
        assert_eq!(checked.batch, batch);
        assert!(checked.keyless);
        assert_eq!(checked.min_timestamp, Timestamp(1_700_000_000_000));
    }
}

#[test]
fn what_librdkafka_wrote_is_read() {
    for (codec, base64) in LIBRDKAFKA {
        let bytes = decoded(base64);
        let mut index = 0;
        for (header, bytes) in batches(&bytes) {
            let batch = Batch::parse(Bytes::copy_from_slice(bytes)).unwrap();
            assert!(batch.crc_is_right());
            assert_eq!(header.compression(), Ok(*codec));
            for record in Record::decode(&batch).unwrap() {
                assert_record(&record, index, Some(format!("key{index}")));
                index += 1;
            }
        }
        assert_eq!(index, 4, "{codec}");
    }
}

#[test]
fn an_uncompressed_batch_is_javas_byte_for_byte() {
    let mut builder = BatchBuilder::new(Compression::None);
    let headers = [Some(Bytes::from_static(b"x")), None].map(|value| Header { key: "h".into(), value });
    for index in 0..4_usize {
        let key = format!("key{index}");
        let key = (index % 2 == 1).then_some(key.as_bytes());
        let timestamp = Timestamp(1_700_000_000_000 + index as i64);
        builder.append(timestamp, key, Some(value(index).as_bytes()), &headers);
    }
    assert_eq!(builder.build().bytes, decoded(JAVA[0].1));
}

/// Thousands of mutations of valid batches, some with their CRC made right again: whatever comes, an answer and no
/// panic; and what passes the check can be decoded.
#[test]
fn mutated_batches_are_answered_without_a_panic() {
    let mut dice = Seed(4711).stream("mutations");
    let originals: Vec<Bytes> = JAVA.iter().map(|(_, base64)| decoded(base64)).collect();
    let mut passed = 0;
    for _ in 0..5_000 {
        let mut bytes = originals[dice.below(originals.len() as u64) as usize].to_vec();
        for _ in 0..dice.between(1, 4) {
            let at = dice.below(bytes.len() as u64) as usize;
            match dice.below(4) {
                0 => bytes[at] = dice.next() as u8,
                1 => bytes[at] ^= 1 << dice.below(8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, dice.next() as u8),
            }
        }
        if bytes.len() > 61 && dice.chance(700_000) {
            let length = (bytes.len() - 12) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let crc = super::batch::computed_crc(&bytes);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        let bytes = Bytes::from(bytes);
        for (_, batch) in batches(&bytes) {
            let _ = Batch::parse(Bytes::copy_from_slice(batch)).map(|batch| Record::decode(&batch));
        }
        if let Ok(checked) = check(12, Some(bytes)) {
            passed += 1;
            let records = Record::decode(&checked.batch).unwrap();
            assert_eq!(records.len(), checked.batch.header.record_count as usize);
            assert!(records.iter().enumerate().all(|(index, record)| record.offset == index as i64));
            let max = records.iter().map(|record| record.timestamp).max().max(Some(Timestamp::NONE));
            assert_eq!(max, Some(checked.batch.header.max_timestamp.max(Timestamp::NONE)));
        }
    }
    assert!(passed > 100, "the mutations should not all be fatal: {passed}");
}
