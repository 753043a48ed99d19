//! Requests on their way out: bytes that were encoded, and between them record sets, which nobody copies.
//!
//! kafka-protocol encodes a Produce with its record sets inside. The buffer that is encoded into knows such a slice by where
//! it lies, and keeps the batch itself in its place; all of it is written at once (`writev(2)`).

use std::io::{self, ErrorKind, IoSlice};

use bytes::buf::UninitSlice;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::RequestKind;
use kafka_protocol::protocol::buf::ByteBufMut;
use ottla_core::protocol::Request;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::frame::PREFIX;

/// Batches of up to this many bytes are copied: that is cheaper than a slice of their own.
const SMALL: usize = 1 << 10;

/// Encoded requests with batches between.
#[derive(Default)]
pub struct Requests {
    bytes: BytesMut,
    /// Where in `bytes` each belongs; in order.
    between: Vec<(usize, Bytes)>,
    /// Those of the request that is being encoded.
    batches: Vec<Bytes>,
}

impl Requests {
    fn len(&self) -> usize {
        self.bytes.len() + self.between.iter().map(|(_, batch)| batch.len()).sum::<usize>()
    }

    /// Adds one request, framed.
    pub fn push(&mut self, request: &Request) -> Result<(), String> {
        let (start, before) = (self.bytes.len(), self.len());
        self.bytes.put_i32(0);
        let batches = request.batches.iter().filter_map(|checked| checked.as_ref().ok());
        let batches = batches.map(|checked| &checked.batch.bytes).filter(|bytes| bytes.len() > SMALL);
        self.batches.extend(batches.cloned());
        let encoded = match &request.body {
            RequestKind::Produce(produce) => request.encode_produce(produce, self),
            _ => request.encode(&mut self.bytes),
        };
        self.batches.clear();
        encoded?;
        let length = i32::try_from(self.len() - before - PREFIX).map_err(|error| error.to_string())?;
        self.bytes[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Writes everything.
    pub async fn send(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let (mut slices, mut from) = (Vec::with_capacity(2 * self.between.len() + 1), 0);
        for (at, batch) in &self.between {
            slices.extend([IoSlice::new(&self.bytes[from..*at]), IoSlice::new(batch)]);
            from = *at;
        }
        slices.push(IoSlice::new(&self.bytes[from..]));
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match stream.write_vectored(left).await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut left, written),
            }
        }
        self.bytes.clear();
        self.between.clear();
        Ok(())
    }
}

// SAFETY: all of it is `BytesMut`'s, but that `put_slice` leaves out what is a batch.
unsafe impl BufMut for Requests {
    fn remaining_mut(&self) -> usize {
        self.bytes.remaining_mut()
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        unsafe { self.bytes.advance_mut(count) }
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        self.bytes.chunk_mut()
    }

    fn put_slice(&mut self, source: &[u8]) {
        let is = |batch: &&Bytes| batch.as_ptr() == source.as_ptr() && batch.len() == source.len();
        match self.batches.iter().find(is) {
            Some(batch) => self.between.push((self.bytes.len(), batch.clone())),
            None => self.bytes.put_slice(source),
        }
    }
}

impl ByteBufMut for Requests {
    fn offset(&self) -> usize {
        self.bytes.offset()
    }

    fn seek(&mut self, offset: usize) {
        self.bytes.seek(offset);
    }

    fn range(&mut self, range: std::ops::Range<usize>) -> &mut [u8] {
        self.bytes.range(range)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{ApiKey, ProduceRequest};
    use ottla_core::record::{BatchBuilder, Compression};
    use ottla_core::time::Timestamp;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn batch(size: usize) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(1), None, Some(&vec![7; size]), &[]);
        builder.build().bytes
    }

    #[tokio::test]
    async fn what_is_sent_is_what_is_encoded_and_large_batches_are_not_copied() {
        let data = [100, 70_000, 1, 5_000].map(|size| PartitionProduceData::default().with_records(Some(batch(size))));
        let topic = TopicProduceData::default().with_partition_data(data.to_vec());
        let body = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
        let request = Request::new(ApiKey::Produce, 12, 3, None, body.into());
        let mut plain = BytesMut::new();
        request.encode(&mut plain).unwrap();

        let mut requests = Requests::default();
        requests.push(&request).unwrap();
        requests.push(&request).unwrap();
        assert_eq!(requests.between.len(), 4);
        assert!(requests.bytes.len() < 2_000);
        // A pipe that takes a little at a time.
        let (mut to, mut from) = tokio::io::duplex(1_000);
        let send = tokio::spawn(async move { requests.send(&mut to).await });
        for _ in 0..2 {
            assert_eq!(from.read_i32().await.unwrap() as usize, plain.len());
            let mut frame = vec![0; plain.len()];
            from.read_exact(&mut frame).await.unwrap();
            assert_eq!(frame, plain);
        }
        send.await.unwrap().unwrap();
    }
}
