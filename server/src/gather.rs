//! Requests on their way out: bytes that were encoded, and between them record sets, which nobody copies.
//!
//! kafka-protocol encodes a Produce with its record sets inside. The buffer that is encoded into ([`Sieve`]) knows such a slice by where
//! it lies, and keeps the batch itself in its place; all of it is written at once (`writev(2)`).

use std::io::{self, ErrorKind, IoSlice};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::RequestKind;
use ottla_core::protocol::Request;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::frame::PREFIX;
use crate::sieve::Sieve;

/// Batches of up to this many bytes are copied: that is cheaper than a slice of their own.
const SMALL: usize = 1 << 10;

/// Encoded requests with batches between.
#[derive(Default)]
pub struct Requests {
    bytes: BytesMut,
    /// Where in `bytes` each belongs; in order.
    between: Vec<(usize, Bytes)>,
}

impl Requests {
    fn len(&self) -> usize {
        self.bytes.len() + self.between.iter().map(|(_, batch)| batch.len()).sum::<usize>()
    }

    /// Adds one request, framed.
    pub fn push(&mut self, request: &Request) -> Result<(), String> {
        let (start, before) = (self.bytes.len(), self.len());
        self.bytes.put_i32(0);
        match &request.body {
            RequestKind::Produce(produce) => {
                let batches = request.batches.iter().filter_map(|checked| checked.as_ref().ok());
                let batches = batches.map(|checked| &checked.batch.bytes).filter(|bytes| bytes.len() > SMALL);
                let take = |bytes: &mut BytesMut, source: &[u8]| {
                    let is = |batch: &&Bytes| batch.as_ptr() == source.as_ptr() && batch.len() == source.len();
                    let batch = batches.clone().find(is);
                    self.between.extend(batch.map(|batch| (bytes.len(), batch.clone())));
                    batch.is_some()
                };
                request.encode_produce(produce, &mut Sieve(&mut self.bytes, take))?;
            }
            _ => request.encode(&mut self.bytes)?,
        }
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
