//! What brokers say to each other, as bytes.
//!
//! ```text
//! frame  = length:i32 payload
//! hello  = KEY:i16 FORM:i16 correlation:i32=0 client:i16=−1 secret:string from:i32 to:i32
//! accept = 0:i8
//! call   = 1:i8 call:i64 kind:i8 …            answer = 2:i8 call:i64 kind:i8 …
//! ```
//!
//! The first frame on a connection is a hello, to a port where clients of Kafka are served too: it begins as their requests
//! do, with a key that no API of Kafka's has. It is answered by an accept; after that both ends call and answer. Numbers,
//! strings and vectors are as in ZooKeeper's encoding; what a client has asked, and what it is answered, as Kafka encodes it.
//!
//! 1. Nothing that comes is believed: an error is that the bytes are no such message, and ends the connection.
//! 2. A state holds nothing of the frame that it came in: it lives long.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Assignment, BrokerConfigs, ClusterRequest, ClusterResponse, ClusterState, Registration, Topic};
use crate::controller::topic::validate_name;
use crate::id::{BrokerId, CallId, TopicPartition};
use crate::protocol::line;
use crate::quota::QuotaEntity;
use crate::vec_map::VecMap;
use crate::zookeeper::jute::{Malformed, Reader, Write};

/// The key of a hello, where an API's would be: "Ot".
pub const KEY: i16 = 0x4f74;
/// Which form all that follows has.
const FORM: i16 = 2;
/// Bytes of a frame, at most.
pub const MAX_FRAME: i32 = 256 << 20;
/// Bytes of the length.
const PREFIX: usize = 4;

/// Who wants to talk to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What only the brokers of one cluster know: clients reach the same port.
    pub secret: String,
    pub from: BrokerId,
    pub to: BrokerId,
}

/// What follows a hello.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The hello was heard, and whoever said it is welcome.
    Accept,
    Call {
        call: CallId,
        request: ClusterRequest,
    },
    Answer {
        call: CallId,
        response: ClusterResponse,
    },
}

/// A frame in two parts, so that many calls can share one request.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pub head: Bytes,
    pub body: Bytes,
}

impl Hello {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i32(0);
        out.put_i16(KEY);
        out.put_i16(FORM);
        out.put_i32(0);
        out.put_i16(-1);
        out.put_string(&self.secret);
        out.put_i32(self.from.0);
        out.put_i32(self.to.0);
        close(&mut out, 0);
        out.freeze()
    }

    /// Whether a frame is a hello at all, of whatever form.
    pub fn is_one(frame: &[u8]) -> bool {
        frame.starts_with(&KEY.to_be_bytes())
    }

    pub fn decode(frame: Bytes) -> Result<Hello, Malformed> {
        let mut reader = Reader::new(frame);
        let head = (i32::from(KEY) << 16) | i32::from(FORM);
        if reader.int()? != head || reader.int()? != 0 {
            return Err(Malformed("a hello in the form that is spoken here"));
        }
        reader.bool()?;
        reader.bool()?;
        Ok(Hello { secret: text(&mut reader)?, from: id(&mut reader)?, to: id(&mut reader)? })
    }
}

/// The part of a call that is the same whomever it is made to.
///
/// Errors: in words, where a client's request cannot be put into the version that it names.
pub fn request(request: &ClusterRequest) -> Result<Bytes, String> {
    let mut out = BytesMut::new();
    match request {
        ClusterRequest::Forward { version, client_id, body } => {
            out.put_i8(0);
            put_api(&mut out, body, *version)?;
            out.put_buffer(client_id.as_deref().map(str::as_bytes));
            body.encode(&mut out, *version).map_err(|error| error.to_string())?;
        }
        ClusterRequest::Update(state) => {
            out.put_i8(1);
            put_state(&mut out, state);
        }
        ClusterRequest::ControlledShutdown { broker, epoch } => {
            out.put_i8(2);
            out.put_i32(broker.0);
            out.put_i64(*epoch);
        }
    }
    Ok(out.freeze())
}

/// Errors: in words, where an answer to a client cannot be put into the version that it has asked in.
pub fn response(response: &ClusterResponse) -> Result<Bytes, String> {
    let mut out = BytesMut::new();
    match response {
        ClusterResponse::Done { failed } => {
            out.put_i8(0);
            put_all(&mut out, failed, |out, name| {
                out.put_string(&name.topic.0);
                out.put_i32(name.partition);
            });
        }
        ClusterResponse::Forward { version, body } => {
            out.put_i8(1);
            put_api(&mut out, body, *version)?;
            body.encode(&mut out, *version).map_err(|error| error.to_string())?;
        }
        ClusterResponse::Remaining(partitions) => {
            out.put_i8(2);
            out.put_i64(*partitions as i64);
        }
        ClusterResponse::NotController => out.put_i8(3),
        ClusterResponse::StaleControllerEpoch(epoch) => {
            out.put_i8(4);
            out.put_i32(*epoch);
        }
        ClusterResponse::StaleBrokerEpoch(epoch) => {
            out.put_i8(5);
            out.put_i64(*epoch);
        }
    }
    Ok(out.freeze())
}

impl Frame {
    pub fn accept() -> Frame {
        Frame::new(0, None, Bytes::new())
    }

    pub fn call(call: CallId, request: Bytes) -> Frame {
        Frame::new(1, Some(call), request)
    }

    pub fn answer(call: CallId, response: Bytes) -> Frame {
        Frame::new(2, Some(call), response)
    }

    fn new(kind: i8, call: Option<CallId>, body: Bytes) -> Frame {
        let mut head = BytesMut::new();
        head.put_i32(0);
        head.put_i8(kind);
        if let Some(call) = call {
            head.put_u64(call.0);
        }
        close(&mut head, body.len());
        Frame { head: head.freeze(), body }
    }
}

impl Message {
    /// What a frame without its length says.
    pub fn decode(frame: Bytes) -> Result<Message, Malformed> {
        let mut reader = Reader::new(frame);
        Ok(match reader.byte()? {
            0 => Message::Accept,
            1 => Message::Call { call: CallId(reader.long()? as u64), request: read_request(reader)? },
            2 => Message::Answer { call: CallId(reader.long()? as u64), response: read_response(reader)? },
            _ => return Err(Malformed("an accept, a call or an answer")),
        })
    }
}

fn read_request(mut reader: Reader) -> Result<ClusterRequest, Malformed> {
    Ok(match reader.byte()? {
        0 => {
            let (api, version) = read_api(&mut reader)?;
            let client_id = reader.optional_string()?.map(|id| StrBytes::from_string(id.to_string()));
            let body = RequestKind::decode(api, &mut reader.rest(), version);
            let body = Box::new(body.map_err(|_| Malformed("a client's request"))?);
            ClusterRequest::Forward { version, client_id, body }
        }
        1 => ClusterRequest::Update(Arc::new(read_state(&mut reader)?)),
        2 => ClusterRequest::ControlledShutdown { broker: id(&mut reader)?, epoch: reader.long()? },
        _ => return Err(Malformed("a request that is known here")),
    })
}

fn read_response(mut reader: Reader) -> Result<ClusterResponse, Malformed> {
    Ok(match reader.byte()? {
        0 => {
            let name = |reader: &mut Reader| Ok(TopicName(StrBytes::from_string(text(reader)?)));
            let failed = reader.vector(|reader| Ok(TopicPartition::new(name(reader)?, reader.int()?)))?;
            ClusterResponse::Done { failed }
        }
        1 => {
            let (api, version) = read_api(&mut reader)?;
            let body = ResponseKind::decode(api, &mut reader.rest(), version);
            ClusterResponse::Forward { version, body: Box::new(body.map_err(|_| Malformed("an answer to a client"))?) }
        }
        2 => ClusterResponse::Remaining(reader.long()?.max(0) as usize),
        3 => ClusterResponse::NotController,
        4 => ClusterResponse::StaleControllerEpoch(reader.int()?),
        5 => ClusterResponse::StaleBrokerEpoch(reader.long()?),
        _ => return Err(Malformed("a response that is known here")),
    })
}

/// `body` is a request's or a response's, called as the API is.
fn put_api(out: &mut BytesMut, body: &dyn Debug, version: i16) -> Result<(), String> {
    let name = line::variant(body);
    let api = ApiKey::iter().find(|api| format!("{api:?}") == name).ok_or_else(|| format!("{name} has no key"))?;
    out.put_i16(api as i16);
    out.put_i16(version);
    Ok(())
}

fn read_api(reader: &mut Reader) -> Result<(ApiKey, i16), Malformed> {
    let both = reader.int()?;
    let (api, version) = ((both >> 16) as i16, both as i16);
    let api = ApiKey::try_from(api).map_err(|()| Malformed("an API's key"))?;
    let known = api.valid_versions();
    if (known.min..=known.max).contains(&version) { Ok((api, version)) } else { Err(Malformed("an API's version")) }
}

fn put_state(out: &mut BytesMut, state: &ClusterState) {
    out.put_u64(state.version);
    out.put_string(&state.cluster_id);
    out.put_i32(state.controller.0);
    out.put_i32(state.controller_epoch);
    put_all(out, &state.brokers, |out, (_, broker)| {
        out.put_i32(broker.id.0);
        out.put_string(&broker.host);
        out.put_i32(broker.port.into());
        out.put_buffer(broker.rack.as_ref().map(String::as_bytes));
    });
    put_all(out, &state.broker_epochs, |out, (id, epoch)| {
        out.put_i32(id.0);
        out.put_i64(*epoch);
    });
    put_all(out, &state.topics, put_topic);
    put_all(out, &state.deleting, put_topic);
    put_all(out, &state.broker_configs.0, |out, (whose, configs)| {
        out.put_i32(whose.unwrap_or(BrokerId::NONE).0);
        put_configs(out, configs);
    });
    put_all(out, &state.group_configs, |out, (group, configs)| {
        out.put_string(group);
        put_configs(out, configs);
    });
    put_all(out, &state.quotas, |out, (entity, quotas)| {
        out.put_string(&entity.path());
        put_configs(out, quotas);
    });
}

fn read_state(reader: &mut Reader) -> Result<ClusterState, Malformed> {
    Ok(ClusterState {
        version: reader.long()? as u64,
        cluster_id: text(reader)?,
        controller: id(reader)?,
        controller_epoch: reader.int()?,
        brokers: all(reader, |reader| {
            let id = id(reader)?;
            let host = text(reader)?;
            let port = u16::try_from(reader.int()?).map_err(|_| Malformed("a port"))?;
            let rack = reader.optional_string()?.map(|rack| rack.to_string());
            Ok((id, Registration { id, host, port, rack }))
        })?,
        broker_epochs: all(reader, |reader| Ok((id(reader)?, reader.long()?)))?,
        topics: all(reader, read_topic)?,
        deleting: all(reader, read_topic)?,
        broker_configs: BrokerConfigs(all(reader, |reader| {
            let whose = Some(id(reader)?).filter(|id| *id != BrokerId::NONE);
            Ok((whose, read_configs(reader)?))
        })?),
        group_configs: all(reader, |reader| Ok((text(reader)?, read_configs(reader)?)))?,
        quotas: all(reader, |reader| {
            let entity = QuotaEntity::from_path(&text(reader)?).ok_or(Malformed("whom a quota is for"))?;
            Ok((entity, read_configs(reader)?))
        })?,
    })
}

fn put_topic(out: &mut BytesMut, (name, topic): (&TopicName, &Topic)) {
    out.put_string(&name.0);
    out.put_slice(topic.id.as_bytes());
    put_configs(out, &topic.configs);
    put_all(out, &topic.partitions, |out, partition| {
        put_ids(out, &partition.replicas);
        put_ids(out, &partition.isr);
        out.put_i32(partition.leader.0);
        out.put_i32(partition.leader_epoch);
        out.put_i32(partition.partition_epoch);
        put_ids(out, &partition.adding);
        put_ids(out, &partition.removing);
        out.put_bool(partition.recovering);
    });
}

fn read_topic(reader: &mut Reader) -> Result<(TopicName, Topic), Malformed> {
    let name = text(reader)?;
    // It becomes the name of a directory.
    validate_name(&name).map_err(|_| Malformed("a legal name of a topic"))?;
    let name = TopicName(StrBytes::from_string(name));
    let id_high = reader.long()? as u64;
    let topic = Topic {
        id: Uuid::from_u64_pair(id_high, reader.long()? as u64),
        configs: read_configs(reader)?,
        partitions: reader.vector(|reader| {
            Ok(Assignment {
                replicas: reader.vector(id)?,
                isr: reader.vector(id)?,
                leader: id(reader)?,
                leader_epoch: reader.int()?,
                partition_epoch: reader.int()?,
                adding: reader.vector(id)?,
                removing: reader.vector(id)?,
                recovering: reader.bool()?,
            })
        })?,
    };
    Ok((name, topic))
}

fn put_configs(out: &mut BytesMut, configs: &VecMap<String, String>) {
    put_all(out, configs, |out, (key, value)| {
        out.put_string(key);
        out.put_string(value);
    });
}

fn read_configs(reader: &mut Reader) -> Result<VecMap<String, String>, Malformed> {
    all(reader, |reader| Ok((text(reader)?, text(reader)?)))
}

fn put_ids(out: &mut BytesMut, ids: &[BrokerId]) {
    put_all(out, ids, |out, id| out.put_i32(id.0));
}

fn put_all<I: IntoIterator<IntoIter: ExactSizeIterator>>(
    out: &mut BytesMut,
    items: I,
    mut put: impl FnMut(&mut BytesMut, I::Item),
) {
    let items = items.into_iter();
    out.put_i32(items.len() as i32);
    for item in items {
        put(out, item);
    }
}

fn all<K, V, M: FromIterator<(K, V)>>(
    reader: &mut Reader,
    item: impl FnMut(&mut Reader) -> Result<(K, V), Malformed>,
) -> Result<M, Malformed> {
    Ok(reader.vector(item)?.into_iter().collect())
}

fn id(reader: &mut Reader) -> Result<BrokerId, Malformed> {
    reader.int().map(BrokerId)
}

fn text(reader: &mut Reader) -> Result<String, Malformed> {
    reader.string().map(|text| text.to_string())
}

/// Writes the length of the frame that begins with `out` and goes on with so many bytes.
fn close(out: &mut BytesMut, goes_on: usize) {
    let length = (out.len() - PREFIX + goes_on) as i32;
    out[..PREFIX].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_topics_request::CreatableTopic;
    use kafka_protocol::messages::{CreateTopicsRequest, ListPartitionReassignmentsResponse};

    use super::*;

    fn state() -> ClusterState {
        let name = |name: &str| TopicName(StrBytes::from_string(name.to_owned()));
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let partition = Assignment {
            replicas: ids(&[3, 1, 2]),
            isr: ids(&[1, 3]),
            leader: BrokerId(1),
            leader_epoch: 7,
            partition_epoch: 12,
            adding: ids(&[2]),
            removing: ids(&[3]),
            recovering: true,
        };
        let configs = VecMap::from([("retention.ms".to_owned(), "1".to_owned()), ("é".to_owned(), String::new())]);
        let quotas = VecMap::from([("producer_byte_rate".to_owned(), "1024.5".to_owned())]);
        let topic =
            Topic { id: Uuid::from_u128(7 << 100 | 9), configs: configs.clone(), partitions: vec![partition; 2] };
        let gone = Topic { id: Uuid::nil(), configs: VecMap::new(), partitions: vec![Assignment::default()] };
        let broker = |id: i32, rack: Option<&str>| Registration {
            id: BrokerId(id),
            host: format!("host-{id}"),
            port: 65_535,
            rack: rack.map(str::to_owned),
        };
        ClusterState {
            version: 5 << 32 | 3,
            cluster_id: "abc".to_owned(),
            controller: BrokerId(1),
            controller_epoch: 5,
            brokers: [broker(1, None), broker(2, Some("")), broker(3, Some("a"))].map(|it| (it.id, it)).into(),
            broker_epochs: [(BrokerId(1), 99), (BrokerId(3), i64::MAX)].into(),
            topics: [(name("orders"), topic)].into(),
            deleting: [(name("gone"), gone)].into(),
            group_configs: [("shop".to_owned(), configs.clone()), ("é".to_owned(), VecMap::new())].into(),
            broker_configs: BrokerConfigs([(None, configs), (Some(BrokerId(2)), VecMap::new())].into()),
            quotas: [(QuotaEntity::from_path("users/a%2F/clients/<default>").expect("is one"), quotas)].into(),
        }
    }

    fn messages() -> Vec<Message> {
        let topic = CreatableTopic::default().with_name(TopicName(StrBytes::from_static_str("t")));
        let forward = CreateTopicsRequest::default().with_topics(vec![topic]);
        let answer = ListPartitionReassignmentsResponse::default().with_error_code(41);
        let requests = [
            ClusterRequest::Forward { version: 7, client_id: None, body: Box::new(forward.clone().into()) },
            ClusterRequest::Forward {
                version: 7,
                client_id: Some(StrBytes::from_static_str("c")),
                body: Box::new(forward.into()),
            },
            ClusterRequest::Update(Arc::new(state())),
            ClusterRequest::ControlledShutdown { broker: BrokerId(3), epoch: -1 },
        ];
        let failed = |topic, partition| TopicPartition::new(TopicName(StrBytes::from_static_str(topic)), partition);
        let responses = [
            ClusterResponse::Done { failed: vec![] },
            ClusterResponse::Done { failed: vec![failed("t", 1), failed("é", 0)] },
            ClusterResponse::Forward { version: 0, body: Box::new(answer.into()) },
            ClusterResponse::Remaining(3),
            ClusterResponse::NotController,
            ClusterResponse::StaleControllerEpoch(2),
            ClusterResponse::StaleBrokerEpoch(i64::MAX),
        ];
        let calls = requests.into_iter().map(|request| Message::Call { call: CallId(u64::MAX), request });
        let answers = responses.into_iter().map(|response| Message::Answer { call: CallId(8), response });
        calls.chain(answers).chain([Message::Accept]).collect()
    }

    /// The payload.
    fn encode(message: &Message) -> Bytes {
        let frame = match message {
            Message::Accept => Frame::accept(),
            Message::Call { call, request: asked } => Frame::call(*call, request(asked).unwrap()),
            Message::Answer { call, response: said } => Frame::answer(*call, response(said).unwrap()),
        };
        let mut whole = [frame.head, frame.body].concat();
        let payload = whole.split_off(PREFIX);
        assert_eq!(whole, (payload.len() as i32).to_be_bytes());
        payload.into()
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        for message in messages() {
            assert_eq!(Message::decode(encode(&message)), Ok(message));
        }
        let hello = Hello { secret: "abc".to_owned(), from: BrokerId(2), to: BrokerId(1) };
        let frame = hello.encode().slice(PREFIX..);
        assert!(Hello::is_one(&frame));
        assert_eq!(Hello::decode(frame), Ok(hello));
    }

    #[test]
    fn what_is_cut_off_is_not_heard_as_something_else() {
        for message in messages() {
            let whole = encode(&message);
            // What follows a whole message of Kafka's is ignored, as Kafka does, and so may its tagged fields be cut.
            for len in 0..whole.len() {
                let heard = Message::decode(whole.slice(..len));
                assert!(heard.is_err(), "{heard:?} of {len} bytes of {}", whole.len());
            }
        }
    }

    #[test]
    fn no_api_of_kafkas_has_the_key_of_a_hello() {
        assert!(ApiKey::iter().all(|api| api as i16 != KEY));
    }
}
