//! Topics are made and grown. What is refused, and in which words, is Kafka's `ReplicationControlManager`
//! and `ControllerApis`.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Controller, Refusal, assignment, placement};
use crate::arrange::Arrange;
use crate::config::broker::Placement;
use crate::config::describe::wire;
use crate::config::{describe, topic::TopicConfig};
use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::protocol::cluster::{Assignment, Topic};
use crate::vec_map::VecMap;
use crate::vec_set::VecSet;

/// What a few bytes of a request may ask for (Kafka's `MAX_PARTITIONS_PER_BATCH`): partitions of all its new topics
/// together, or new ones of one topic. Those that are assigned by hand take bytes themselves.
const MAX_PARTITIONS_PER_BATCH: usize = 10_000;

impl Controller {
    pub fn create_topics(&mut self, request: &CreateTopicsRequest, version: i16) -> CreateTopicsResponse {
        let twice = twice(request.topics.iter().map(|topic| &topic.name));
        let mut results: Vec<CreatableTopicResult> = Vec::with_capacity(request.topics.len());
        let mut partitions_in_batch = 0;
        for topic in request.topics.iter().filter(|topic| !twice.contains(&topic.name)) {
            let decided = self.decide_topic(topic, partitions_in_batch);
            results.push(match decided {
                Ok(decided) => {
                    partitions_in_batch += decided.partitions.len();
                    let result = self.created(topic, &decided, version);
                    if !request.validate_only {
                        // A name that is cut from a request would keep the whole buffer that it came in.
                        let name = TopicName(StrBytes::from_string(topic.name.0.to_string()));
                        self.change(|state| {
                            state.topics.insert(name, decided);
                        });
                    }
                    result
                }
                Err(refusal) => refused(&topic.name, refusal),
            });
        }
        let duplicate = || (ErrorCode::InvalidRequest, "Duplicate topic name.".to_string());
        results.extend(twice.iter().map(|name| refused(name, duplicate())));
        CreateTopicsResponse::default().with_topics(results)
    }

    pub fn create_partitions(&mut self, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
        let twice = twice(request.topics.iter().map(|topic| &topic.name));
        let mut results = Vec::with_capacity(request.topics.len());
        let result = |name: &TopicName, refusal: Option<Refusal>| {
            // Kafka has no words for a topic that is not there.
            let words = |message: String| Some(message).filter(|message| !message.is_empty()).map(text);
            let (code, message) = refusal.map_or((0, None), |(error, message)| (error.code(), words(message)));
            CreatePartitionsTopicResult::default()
                .with_name(name.clone())
                .with_error_code(code)
                .with_error_message(message)
        };
        for name in &twice {
            let refusal = (ErrorCode::InvalidRequest, "Duplicate topic name.".to_string());
            results.push(result(name, Some(refusal)));
        }
        for topic in request.topics.iter().filter(|topic| !twice.contains(&topic.name)) {
            let refusal = match self.decide_growth(topic) {
                Ok(added) if !request.validate_only => {
                    self.change(|state| {
                        if let Some(known) = state.topics.get_mut(&topic.name) {
                            known.partitions.extend(added);
                        }
                    });
                    None
                }
                Ok(_) => None,
                Err(refusal) => Some(refusal),
            };
            results.push(result(&topic.name, refusal));
        }
        CreatePartitionsResponse::default().with_results(results)
    }

    fn decide_topic(&mut self, topic: &CreatableTopic, partitions_in_batch: usize) -> Result<Topic, Refusal> {
        validate_name(&topic.name.0)?;
        let mut others = self.state.topics.keys().filter(|_| topic.name.contains(['.', '_']));
        if let Some(other) = others.find(|name| **name != topic.name && collides(name, &topic.name)) {
            let message = format!("Topic '{}' collides with existing topic: {}", topic.name.0, other.0);
            return Err((ErrorCode::InvalidTopicException, message));
        }
        if self.state.topics.contains_key(&topic.name) {
            return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{}' already exists.", topic.name.0)));
        }
        if self.state.deleting.contains_key(&topic.name) {
            let message = format!("Topic '{}' is marked for deletion.", topic.name.0);
            return Err((ErrorCode::TopicAlreadyExists, message));
        }
        let configs = self.decide_configs(topic)?;
        let partitions = if topic.assignments.is_empty() {
            self.decide_placement(topic, partitions_in_batch)?
        } else {
            self.decide_manual(topic)?
        };
        self.charge(partitions.len())?;
        Ok(Topic { id: self.dice.uuid(), configs, partitions })
    }

    fn decide_configs(&self, topic: &CreatableTopic) -> Result<VecMap<String, String>, Refusal> {
        let unset: Vec<&str> =
            topic.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
        if !unset.is_empty() {
            let message = format!("Null value not supported for topic configs: {}", unset.join(","));
            return Err((ErrorCode::InvalidConfig, message));
        }
        let configs = topic
            .configs
            .iter()
            .filter_map(|config| config.value.as_ref().map(|value| (config.name.to_string(), value.to_string())));
        let configs = configs.collect();
        match TopicConfig::new(&configs, &self.settings) {
            Ok(_) => Ok(configs),
            Err(error) => Err((ErrorCode::InvalidConfig, error.to_string())),
        }
    }

    fn decide_placement(&mut self, topic: &CreatableTopic, in_batch: usize) -> Result<Vec<Assignment>, Refusal> {
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            return refuse(
                ErrorCode::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            );
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            return refuse(
                ErrorCode::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            );
        }
        let count =
            if topic.num_partitions == -1 { self.settings.num_partitions } else { topic.num_partitions } as usize;
        let factor = if topic.replication_factor == -1 {
            self.settings.default_replication_factor
        } else {
            topic.replication_factor
        } as usize;
        if in_batch + count > MAX_PARTITIONS_PER_BATCH {
            return Err((
                ErrorCode::PolicyViolation,
                format!("Excessively large number of partitions per request: more than {MAX_PARTITIONS_PER_BATCH}."),
            ));
        }
        self.place(0, count, factor)
    }

    fn decide_manual(&self, topic: &CreatableTopic) -> Result<Vec<Assignment>, Refusal> {
        if topic.replication_factor != -1 {
            return refuse(
                ErrorCode::InvalidRequest,
                "A manual partition assignment was specified, but replication factor was not set to -1.",
            );
        }
        if topic.num_partitions != -1 {
            return refuse(
                ErrorCode::InvalidRequest,
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            );
        }
        let (mut partitions, mut factor, hosts) = (BTreeMap::new(), None, OnceCell::new());
        for manual in &topic.assignments {
            let index = manual.partition_index;
            if partitions.contains_key(&index) {
                let message = format!("Found multiple manual partition assignments for partition {index}");
                return Err((ErrorCode::InvalidReplicaAssignment, message));
            }
            partitions.insert(index, self.manual(&manual.broker_ids, factor, index, &hosts)?);
            factor = Some(manual.broker_ids.len());
        }
        if !partitions.keys().copied().eq(0..partitions.len() as i32) {
            return refuse(
                ErrorCode::InvalidReplicaAssignment,
                "partitions should be a consecutive 0-based integer sequence",
            );
        }
        Ok(partitions.into_values().collect())
    }

    /// The partitions that a topic grows by.
    fn decide_growth(&mut self, topic: &CreatePartitionsTopic) -> Result<Vec<Assignment>, Refusal> {
        let unknown = || (ErrorCode::UnknownTopicOrPartition, String::new());
        let known = self.state.topics.get(&topic.name).ok_or_else(unknown)?;
        let has = known.partitions.len();
        if topic.count == has as i32 {
            return Err((ErrorCode::InvalidPartitions, format!("Topic already has {has} partition(s).")));
        }
        if topic.count < has as i32 {
            let message = format!(
                "The topic {} currently has {has} partition(s); {} would not be an increase.",
                topic.name.0, topic.count
            );
            return Err((ErrorCode::InvalidPartitions, message));
        }
        if known.partitions.iter().any(Assignment::is_moving) {
            let message = format!("A partition reassignment is in progress for the topic '{}'.", topic.name.0);
            return Err((ErrorCode::ReassignmentInProgress, message));
        }
        let additional = topic.count as usize - has;
        if additional > MAX_PARTITIONS_PER_BATCH {
            let message =
                format!("Excessively large number of partitions per request: more than {MAX_PARTITIONS_PER_BATCH}.");
            return Err((ErrorCode::PolicyViolation, message));
        }
        let factor = known.partitions.first().map_or(1, |partition| partition.replicas.len());
        if let Some(assignments) = &topic.assignments
            && assignments.len() != additional
        {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
        self.charge(additional)?;
        let Some(assignments) = &topic.assignments else { return self.place(has, additional, factor) };
        let (indices, hosts) = (has as i32.., OnceCell::new());
        let manual = |(index, manual): (i32, &CreatePartitionsAssignment)| {
            self.manual(&manual.broker_ids, Some(factor), index, &hosts)
        };
        indices.zip(assignments).map(manual).collect()
    }

    /// `first` is the index of the first of them.
    fn place(&mut self, first: usize, count: usize, factor: usize) -> Result<Vec<Assignment>, Refusal> {
        let start = self.state.topics.values().map(|topic| topic.partitions.len()).sum();
        let brokers = self.placeable();
        let placed = match self.settings.placement {
            Placement::Notes => placement::place(&brokers, start, count, factor)?,
            Placement::Kafka => placement::place_as_kafka(&brokers, first, count, factor, &mut self.dice)?,
        };
        // Only brokers that live were placed on.
        Ok(placed.into_iter().filter_map(|replicas| assignment(replicas, &brokers)).collect())
    }

    /// Every broker that has a replica.
    fn hosts(&self) -> VecSet<BrokerId> {
        let partitions = self.state.topics.values().flat_map(|topic| &topic.partitions);
        partitions.flat_map(|partition| partition.replicas.iter().copied()).collect()
    }

    /// A partition that the client places itself; `factor` is that of the partitions before it. Whether a broker that is away
    /// is one at all, `hosts` tells: it is looked up once a request.
    fn manual(
        &self,
        ids: &[kafka_protocol::messages::BrokerId],
        factor: Option<usize>,
        index: i32,
        hosts: &OnceCell<VecSet<BrokerId>>,
    ) -> Result<Assignment, Refusal> {
        let wrong = |message: String| Err((ErrorCode::InvalidReplicaAssignment, message));
        if ids.is_empty() {
            return wrong("The manual partition assignment includes an empty replica list.".to_string());
        }
        let mut seen = VecSet::new();
        for id in ids {
            let id = BrokerId(id.0);
            if !self.state.brokers.contains_key(&id) && !hosts.get_or_init(|| self.hosts()).contains(&id) {
                return wrong(format!(
                    "The manual partition assignment includes broker {}, but no such broker is registered.",
                    id.0
                ));
            }
            if !seen.insert(id) {
                return wrong(format!("The manual partition assignment includes the broker {} more than once.", id.0));
            }
        }
        if let Some(factor) = factor.filter(|&factor| factor != ids.len()) {
            return wrong(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {factor} replica(s).",
                ids.len()
            ));
        }
        let replicas = ids.iter().map(|id| BrokerId(id.0)).collect();
        match assignment(replicas, &self.state.brokers) {
            Some(assignment) => Ok(assignment),
            None => wrong(format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            )),
        }
    }

    fn created(&self, topic: &CreatableTopic, decided: &Topic, version: i16) -> CreatableTopicResult {
        let result = CreatableTopicResult::default().with_name(topic.name.clone()).with_error_message(None);
        let result = if version >= 7 { result.with_topic_id(decided.id) } else { result };
        if version < 5 {
            return result;
        }
        let factor = decided.partitions.first().map_or(0, |partition| partition.replicas.len());
        let mut configs = describe::topic(&decided.configs, &self.settings);
        configs.arrange_by(|one, other| one.name.cmp(&other.name));
        let configs = configs.into_iter().map(|entry| {
            CreatableTopicConfigs::default()
                .with_name(wire(entry.name))
                .with_value(entry.value.map(text))
                .with_read_only(entry.read_only)
                .with_config_source(entry.source as i8)
                .with_is_sensitive(entry.sensitive)
        });
        result
            .with_num_partitions(decided.partitions.len() as i32)
            .with_replication_factor(factor as i16)
            .with_configs(Some(configs.collect()))
    }
}

fn refused(name: &TopicName, (error, message): Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name.clone())
        .with_error_code(error.code())
        .with_error_message(Some(text(message)))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

/// Whatever stands in a list more than once.
pub(super) fn twice<'a, T: Ord + Clone + 'a>(items: impl Iterator<Item = &'a T>) -> VecSet<T> {
    let mut items: Vec<&T> = items.collect();
    items.sort_unstable();
    items.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect()
}

pub(super) fn text(message: String) -> StrBytes {
    StrBytes::from_string(message)
}

pub(super) fn refuse<T>(error: ErrorCode, message: &str) -> Result<T, Refusal> {
    Err((error, message.to_string()))
}

/// The error with the message that Kafka gives it by default.
pub(super) fn plain(error: ErrorCode) -> Refusal {
    (error, crate::error::message(error).into_owned())
}

/// Kafka's `Topic.validate`.
pub fn validate_name(name: &str) -> Result<(), Refusal> {
    const MAX_LEN: usize = 249;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = match name {
        "" => "the empty string is not allowed".to_string(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > MAX_LEN => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_LEN}")
        }
        _ if !name.bytes().all(legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err((ErrorCode::InvalidTopicException, format!("Topic name is invalid: {reason}")))
}

/// Kafka's metrics write `.` as `_`, so names that differ only there are refused.
fn collides(a: &TopicName, b: &TopicName) -> bool {
    let unify = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.0.len() == b.0.len() && a.0.bytes().map(unify).eq(b.0.bytes().map(unify))
}

#[cfg(test)]
pub(crate) mod tests {
    use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;

    use super::super::tests::{cluster, topic};
    use super::*;

    pub(crate) fn request(name: &str, partitions: i32, factor: i16) -> CreateTopicsRequest {
        let topic = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(partitions)
            .with_replication_factor(factor);
        CreateTopicsRequest::default().with_topics(vec![topic])
    }

    pub(crate) fn create(controller: &mut Controller, request: CreateTopicsRequest) -> Vec<(i16, String)> {
        let response = controller.create_topics(&request, 7);
        response
            .topics
            .iter()
            .map(|topic| {
                (topic.error_code, topic.error_message.as_ref().map_or(String::new(), |text| text.to_string()))
            })
            .collect()
    }

    #[test]
    fn partitions_are_spread_and_the_next_topic_goes_on_where_the_last_ended() {
        let mut controller = cluster(3);
        create(&mut controller, request("one", 1, 1));
        create(&mut controller, request("two", 1, -1));
        create(&mut controller, request("three", -1, 1));
        let leader = |name: &str| controller.state().topics[&topic(name)].partitions[0].leader.0;
        assert_eq!([leader("one"), leader("two"), leader("three")], [1, 2, 3]);
    }

    #[test]
    fn refusals_carry_kafkas_codes_and_words() {
        let mut controller = cluster(1);
        assert_eq!(create(&mut controller, request("a.b", 1, 1)), [(0, String::new())]);
        for (request, code, message) in [
            (request("a.b", 1, 1), 36, "Topic 'a.b' already exists."),
            (request("a_b", 1, 1), 17, "Topic 'a_b' collides with existing topic: a.b"),
            (request("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"),
            (request("x", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
            (request("x", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
            (
                request("x", 1, 3),
                38,
                "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
                 because only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
            ),
        ] {
            assert_eq!(create(&mut controller, request), [(code, message.to_string())]);
        }
    }

    #[test]
    fn a_request_that_only_validates_changes_nothing() {
        let mut controller = cluster(1);
        let version = controller.state().version;
        assert_eq!(create(&mut controller, request("x", 1, 1).with_validate_only(true)), [(0, String::new())]);
        assert_eq!(controller.state().version, version);
        assert!(controller.state().topics.is_empty());
    }

    #[test]
    fn names_given_twice_are_refused_once_and_the_others_made() {
        let mut controller = cluster(1);
        let mut both = request("x", 1, 1);
        both.topics.extend(request("y", 1, 1).topics);
        both.topics.extend(request("x", 1, 1).topics);
        assert_eq!(create(&mut controller, both), [(0, String::new()), (42, "Duplicate topic name.".to_string())]);
        assert_eq!(controller.state().topics.keys().map(|name| name.0.as_str()).collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn a_manual_assignment_is_taken_as_given_or_refused() {
        let mut controller = cluster(2);
        let manual = |assignments: &[(i32, &[i32])]| {
            let mut request = request("m", -1, -1);
            request.topics[0].assignments = assignments
                .iter()
                .map(|(index, ids)| {
                    let ids = ids.iter().map(|&id| kafka_protocol::messages::BrokerId(id)).collect();
                    CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(ids)
                })
                .collect();
            request
        };
        for (assignments, message) in [
            (
                &[(0, &[9][..])][..],
                "The manual partition assignment includes broker 9, but no such broker is registered.",
            ),
            (&[(0, &[1, 1])], "The manual partition assignment includes the broker 1 more than once."),
            (&[(1, &[1])], "partitions should be a consecutive 0-based integer sequence"),
        ] {
            assert_eq!(create(&mut controller, manual(assignments)), [(39, message.to_string())]);
        }
        assert_eq!(create(&mut controller, manual(&[(0, &[2]), (1, &[1])])), [(0, String::new())]);
        let leaders: Vec<i32> =
            controller.state().topics[&topic("m")].partitions.iter().map(|partition| partition.leader.0).collect();
        assert_eq!(leaders, [2, 1]);
    }

    #[test]
    fn a_topic_grows_and_never_shrinks() {
        let mut controller = cluster(2);
        create(&mut controller, request("x", 2, 1));
        let mut grow = |count| {
            let topic = CreatePartitionsTopic::default().with_name(topic("x")).with_count(count).with_assignments(None);
            let response = controller.create_partitions(&CreatePartitionsRequest::default().with_topics(vec![topic]));
            let result = &response.results[0];
            (result.error_code, result.error_message.as_ref().map_or(String::new(), |text| text.to_string()))
        };
        assert_eq!(grow(2), (37, "Topic already has 2 partition(s).".to_string()));
        assert_eq!(grow(1), (37, "The topic x currently has 2 partition(s); 1 would not be an increase.".to_string()));
        assert_eq!(grow(5), (0, String::new()));
        assert_eq!(controller.state().topics[&topic("x")].partitions.len(), 5);
    }
}
