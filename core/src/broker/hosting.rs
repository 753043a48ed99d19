//! Partitions come, change their role and their settings, and go, as the cluster's state says.
//!
//! 1. A partition is hosted where this broker is among its replicas, and only there.
//! 2. A directory belongs to the topic whose id is in its `partition.metadata`. One of another id is left over from a
//!    topic that was deleted while this broker was down, or this broker was given to a cluster that is not its own: it
//!    is set aside before its name is used again, and never removed.
//! 3. Checkpoints are saved before a directory goes, so that they never speak of a log that came later.
//! 4. What was found on disk and the cluster's state does not know stays as it is, and is told of once; but for what is
//!    left of a topic whose deletion waits for that: it goes.
//! 5. A leader that stays, in a later epoch, keeps those waiting who wait for what it has written: nobody has cut that.
//! 6. Malformed files are told with line and reason. Recovery points and log start offsets can be found anew; where any
//!    other cannot be read the broker does not start: Kafka fails the log directory, and a broker halts with its last one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::{Broker, Effect, Image};
use crate::arrange::Arrange;
use crate::config::TopicConfig;
use crate::error::ErrorCode;
use crate::id::{BrokerId, LogId, Offset, TopicPartition};
use crate::log::checkpoint::{self, CLEANER, LOG_START, PARTITION_METADATA, RECOVERY_POINT, REPLICATION};
use crate::log::epoch::EpochCache;
use crate::log::snapshot::{SUFFIX, Snapshots};
use crate::log::{Checkpoints, Log, LogImage};
use crate::partition::{Around, Follower, Partition, Role, Settings, Until};
use crate::protocol::cluster::{Assignment, ClusterState, Topic};
use crate::time::Now;
use crate::vec_map::VecMap;
use crate::view::Level;

/// What was found on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    files: BTreeMap<String, Bytes>,
    logs: BTreeMap<String, LogImage>,
    checkpoints: BTreeMap<TopicPartition, Checkpoints>,
}

impl Found {
    /// Fails, naming file and line, where one is malformed without which the logs cannot be trusted. (6)
    pub fn new(image: Image, log_dir: &str, out: &mut Vec<Effect>) -> Result<Found, String> {
        let mut checkpoints: BTreeMap<TopicPartition, Checkpoints> = BTreeMap::new();
        let mut take = |file: &str, otherwise: Option<&str>, set: fn(&mut Checkpoints, Offset)| {
            let Some(text) = image.files.get(file) else { return Ok(()) };
            match (checkpoint::parse_offsets(text), otherwise) {
                (Ok(offsets), _) => {
                    for (name, offset) in offsets {
                        set(checkpoints.entry(name).or_default(), offset);
                    }
                }
                (Err(why), Some(otherwise)) => {
                    let text =
                        format!("Error occurred while reading {file} file of directory {log_dir}, {otherwise}: {why}");
                    out.push(Effect::Note { level: Level::Warn, text });
                }
                (Err(why), None) => return Err(format!("Error while reading checkpoint file {log_dir}/{file}: {why}")),
            }
            Ok(())
        };
        let (whole, first) =
            ("resetting the recovery checkpoint to 0", "resetting to the base offset of the first segment");
        take(RECOVERY_POINT, Some(whole), |checkpoints, offset| checkpoints.recovery_point = offset)?;
        take(LOG_START, Some(first), |checkpoints, offset| checkpoints.log_start_offset = offset)?;
        take(REPLICATION, None, |checkpoints, offset| checkpoints.high_watermark = offset)?;
        take(CLEANER, None, |checkpoints, offset| checkpoints.cleaned = Some(offset))?;
        for directory in image.logs.keys() {
            let epochs = format!("{directory}/{}", checkpoint::LEADER_EPOCH);
            if let Some(Err(why)) = image.files.get(&epochs).map(|text| EpochCache::parse(text)) {
                return Err(format!("Error while reading checkpoint file {log_dir}/{epochs}: {why}"));
            }
            let metadata = format!("{directory}/{PARTITION_METADATA}");
            // One that is empty was being made when the machine died.
            let owner = image.files.get(&metadata).filter(|text| !text.is_empty());
            if let Some(Err(why)) = owner.map(|text| checkpoint::parse_partition_metadata(text)) {
                return Err(format!("Error while reading partition metadata file {log_dir}/{metadata}: {why}"));
            }
        }
        Ok(Found { files: image.files, logs: image.logs, checkpoints })
    }

    /// The snapshots of producers in a log's directory.
    fn take_snapshots(&mut self, directory: &str) -> Snapshots {
        let inside = format!("{directory}/");
        let of = |(file, _): &(&String, &Bytes)| file.starts_with(&inside);
        let files = self.files.range(inside.clone()..).take_while(of);
        let found: Vec<String> = files.map(|(file, _)| file.clone()).filter(|file| file.ends_with(SUFFIX)).collect();
        let files: Vec<(String, Bytes)> = found.into_iter().filter_map(|file| self.files.remove_entry(&file)).collect();
        Snapshots::found(files.iter().map(|(file, contents)| (&file[inside.len()..], contents.clone())))
    }
}

impl Broker {
    /// Makes this broker what the cluster's state says: hosts what it must, leads what it may, drops the rest.
    pub(super) fn apply(&mut self, now: Now, state: Arc<ClusterState>, out: &mut Vec<Effect>) {
        if state.version <= self.cluster.version {
            return;
        }
        let before = std::mem::replace(&mut self.cluster, state.clone());
        let is_first = before.version == 0;
        self.topic_names = Arc::new(state.topics.iter().map(|(name, topic)| (topic.id, name.clone())).collect());
        self.drop_what_is_gone(&state, out);
        self.drop_what_was_found_of(&state.deleting, out);
        let own = self.id();
        let sets = |state: &ClusterState| (state.broker_configs.of_all().clone(), state.broker_configs.of(own).clone());
        let reset = sets(&before) != sets(&state);
        if reset {
            let new = self.settings.under(&state.broker_configs, own);
            let idle = new.set_without_effect_since(&self.settings).collect::<Vec<_>>();
            if !idle.is_empty() {
                let text = format!("accepted, without effect yet: {}", idle.join(", "));
                out.push(Effect::Note { level: Level::Warn, text });
            }
            self.settings = Arc::new(new);
            out.push(Effect::Configure { settings: self.settings.clone() });
        }
        for (name, topic) in &state.topics {
            let old = before.topics.get(name);
            if old == Some(topic) && !reset {
                continue;
            }
            let reconfigured = reset || old.is_none_or(|old| old.configs != topic.configs);
            self.host_topic(now, name, topic, reconfigured, out);
        }
        if before.quotas != state.quotas {
            self.follow_quotas(&before.quotas, out);
        }
        if before.brokers != state.brokers {
            self.look_who_lives(now, out);
        }
        self.coordinators_see_cluster(&before, out);
        self.transacting_sees_cluster(now, &before.brokers, out);
        self.sharing_sees_cluster(now, &before.brokers, out);
        self.replicate(now, out);
        if is_first {
            self.tell_what_is_not_hosted(out);
            self.admit_those_who_waited(now, out);
        }
    }

    /// (4)
    fn tell_what_is_not_hosted(&self, out: &mut Vec<Effect>) {
        let mut topics: VecMap<&str, Vec<i32>> = VecMap::new();
        for directory in self.found.logs.keys() {
            let Some((topic, partition)) = directory.rsplit_once('-') else { continue };
            let Ok(partition) = partition.parse() else { continue };
            topics.entry(topic).or_default().push(partition);
        }
        for (topic, mut partitions) in topics {
            partitions.arrange();
            let names = partitions.iter().map(|partition| format!("{topic}-{partition}"));
            let text = format!(
                "the cluster knows of no replica of {topic} here: {} not hosted; the files stay",
                names.collect::<Vec<_>>().join(", ")
            );
            out.push(Effect::Note { level: Level::Warn, text });
        }
    }

    /// Brokers came or went: leaders know whom not to wait for, followers where their leaders are found.
    fn look_who_lives(&mut self, now: Now, out: &mut Vec<Effect>) {
        let cluster = self.cluster.clone();
        let logs: Vec<LogId> = self.partitions().map(|partition| partition.log.id()).collect();
        for log in logs {
            let Some(partition) = self.partition_mut(log) else { continue };
            match &mut partition.role {
                Role::Leader(leader) => {
                    leader.set_alive(&cluster.brokers);
                    if partition.advance(now.instant, out) {
                        self.progressed(log, true, out);
                    }
                    self.wake_deletes(log, out);
                }
                Role::Follower(_) => self.refollow(log),
            }
        }
    }

    /// (1)
    fn drop_what_is_gone(&mut self, state: &ClusterState, out: &mut Vec<Effect>) {
        let own = self.id();
        let stays = |partition: &Partition| {
            state.topics.get(&partition.name.topic).filter(|topic| topic.id == partition.topic_id).is_some_and(
                |topic| {
                    let assignment =
                        usize::try_from(partition.name.partition).ok().and_then(|at| topic.partitions.get(at));
                    assignment.is_some_and(|assignment| assignment.replicas.contains(&own))
                },
            )
        };
        let gone: Vec<LogId> = self.partitions().filter(|partition| !stays(partition)).map(|p| p.log.id()).collect();
        let mut removed = Vec::with_capacity(gone.len());
        for &log in &gone {
            self.stop_cleaning(log, out);
            let Some(partition) = self.partitions.remove(log) else { continue };
            if let Some(topic) = self.hosted.get_mut(&partition.name.topic) {
                topic.remove(&partition.name.partition);
                if topic.is_empty() {
                    self.hosted.remove(&partition.name.topic);
                }
            }
            self.replication.unfollow(log);
            removed.push(partition.name.clone());
        }
        if removed.is_empty() {
            return;
        }
        // (3)
        self.save_checkpoints(out);
        for (&log, name) in gone.iter().zip(&removed) {
            let error = self.hosted(&name.topic, name.partition).err().unwrap_or(ErrorCode::NotLeaderOrFollower);
            self.forsake(log, error, out);
            self.purgatory.remove(log);
            self.look_after_none(name, out);
            self.stopped_waiting_for(self.now, log, out);
            out.push(Effect::Remove { log });
        }
    }

    /// What the last process had of topics whose deletion waits for this broker. (4)
    fn drop_what_was_found_of(&mut self, deleting: &BTreeMap<TopicName, Topic>, out: &mut Vec<Effect>) {
        let mut gone = Vec::new();
        for (name, topic) in deleting {
            for index in 0..topic.partitions.len() as i32 {
                let name = TopicPartition::new(name.clone(), index);
                let directory = name.to_string();
                let metadata = self.found.files.get(&format!("{directory}/{PARTITION_METADATA}"));
                let owner = metadata.and_then(|text| checkpoint::parse_partition_metadata(text).ok());
                // (2)
                if self.found.logs.contains_key(&directory) && owner.is_none_or(|owner| owner == topic.id) {
                    gone.push((name, directory));
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        let found = Arc::make_mut(&mut self.found);
        for (name, directory) in &gone {
            found.logs.remove(directory);
            found.checkpoints.remove(name);
        }
        let directories: BTreeSet<&str> = gone.iter().map(|(_, directory)| &**directory).collect();
        found.files.retain(|file, _| file.split_once('/').is_none_or(|(of, _)| !directories.contains(of)));
        // (3)
        self.save_checkpoints(out);
        for (_, directory) in gone {
            let log = self.next_log();
            out.push(Effect::Open { log, directory, base: 0, found: true });
            out.push(Effect::Remove { log });
        }
    }

    fn host_topic(&mut self, now: Now, name: &TopicName, topic: &Topic, reconfigured: bool, out: &mut Vec<Effect>) {
        let own = self.id();
        let mut config = None;
        for (index, assignment) in (0..).zip(&topic.partitions) {
            if !assignment.replicas.contains(&own) {
                continue;
            }
            // What the controller has checked is valid; what an older version let through counts as not set.
            let mut settings = || -> Settings {
                let new = || TopicConfig::new(&topic.configs, &self.settings).unwrap_or_default();
                let mut settings = Settings::new(config.get_or_insert_with(new), index, own);
                settings.log.producer_id_expiration_ms = self.settings.producer_id_expiration_ms;
                settings
            };
            let hosted = self.hosted.get(name).and_then(|partitions| partitions.get(&index)).copied();
            match hosted {
                Some(log) => {
                    let settings = reconfigured.then(&mut settings);
                    self.change(now, log, assignment, settings, out);
                }
                None => {
                    let settings = settings();
                    self.host(now, TopicPartition::new(name.clone(), index), topic.id, assignment, settings, out);
                }
            }
        }
    }

    /// A partition that is here already.
    fn change(
        &mut self,
        now: Now,
        log: LogId,
        assignment: &Assignment,
        settings: Option<Settings>,
        out: &mut Vec<Effect>,
    ) {
        let cluster = self.cluster.clone();
        let around = self.around(now, &cluster);
        let Some(partition) = self.partition_mut(log) else { return };
        if let Some(settings) = settings {
            partition.log.reconfigure(settings.log.clone());
            partition.settings = settings;
            self.set_cleaned(now, log, out);
        }
        let Some(partition) = self.partition_mut(log) else { return };
        let high_watermark = partition.log.high_watermark();
        let led = partition.led_in(-1).is_ok();
        let isr = partition.led_in(-1).ok().map(|leader| leader.isr().to_vec());
        let changed = partition.assume(assignment, &around, out);
        if let Some(isr) = isr.filter(|isr| !changed && *isr != assignment.isr) {
            out.push(isr_updated(partition, &isr, assignment));
        }
        if changed && let Ok(leader) = partition.led_in(-1) {
            let (name, ids) = (&partition.name, ids(&assignment.isr));
            let text = format!(
                "Leader {name} starts at leader epoch {} from offset {} with high watermark {}, ISR {ids}",
                leader.epoch,
                leader.epoch_start,
                partition.log.high_watermark()
            );
            out.push(Effect::Note { level: Level::Info, text });
        }
        let rose = partition.log.high_watermark() > high_watermark;
        let error = partition.led_in(-1).err();
        // Whether those that wait for the ISR wait in vain.
        let refused = partition.acknowledged(Offset::MAX).and_then(Result::err);
        // (5)
        let stays = led && error.is_none();
        if changed && stays {
            // Who asked in the epoch before is told that it is over.
            self.wake_fetches(log, out);
        } else if changed {
            // Whoever waited did so for a leader that is no more.
            self.forsake(log, error.unwrap_or(ErrorCode::NotLeaderOrFollower), out);
        }
        if rose && (stays || !changed) {
            self.progressed(log, true, out);
        }
        if let Some(error) = refused.filter(|_| stays || !changed) {
            while let Some((ticket, wait)) = self.purgatory.due(log, Until::Committed, Offset::MAX) {
                self.settle(ticket, wait, Err(error), out);
            }
        }
        self.refollow(log);
        self.look_after(log, out);
    }

    fn around<'a>(&self, now: Now, cluster: &'a ClusterState) -> Around<'a> {
        let lag = self.settings.replica_lag_time_max;
        Around { own: self.id(), alive: &cluster.brokers, lag, now: now.instant }
    }

    /// A partition that is new here, or was found on disk.
    fn host(
        &mut self,
        now: Now,
        name: TopicPartition,
        topic_id: Uuid,
        assignment: &Assignment,
        settings: Settings,
        out: &mut Vec<Effect>,
    ) {
        let found = Arc::make_mut(&mut self.found);
        let directory = name.to_string();
        let metadata = format!("{directory}/{PARTITION_METADATA}");
        let image = found.logs.remove(&directory);
        let snapshots = found.take_snapshots(&directory);
        let epochs = found.files.remove(&format!("{directory}/{}", checkpoint::LEADER_EPOCH));
        let owner = found.files.remove(&metadata).and_then(|text| checkpoint::parse_partition_metadata(&text).ok());
        let checkpoints = found.checkpoints.remove(&name).unwrap_or_default();
        let image = match (image, owner) {
            (Some(_), Some(owner)) if owner != topic_id => {
                // (2) `Open` sets it aside, for it was not found as this log.
                let text = format!(
                    "{directory} holds the topic of id {}, and {} has id {}: it is set aside",
                    checkpoint::print_uuid(owner),
                    name.topic.0,
                    checkpoint::print_uuid(topic_id)
                );
                out.push(Effect::Note { level: Level::Warn, text });
                None
            }
            (image, _) => image,
        };
        let id = self.next_log();
        let log = match image {
            Some(mut image) => {
                image.snapshots = snapshots;
                Log::open(id, directory, settings.log.clone(), image, checkpoints, epochs.as_deref(), now, out)
            }
            None => Log::create(id, directory, 0, settings.log.clone(), now, out),
        };
        let nobody = Role::Follower(Follower::new(BrokerId::NONE, -1));
        let mut partition = Partition { name: name.clone(), topic_id, log, role: nobody, settings, offline: None };
        if owner != Some(topic_id) {
            partition.save_metadata(out);
        }
        let cluster = self.cluster.clone();
        partition.assume(assignment, &self.around(now, &cluster), out);
        self.partitions.insert(id, Arc::new(partition));
        self.purgatory.insert(id);
        self.touch(id);
        self.hosted.entry(name.topic).or_default().insert(name.partition, id);
        self.set_cleaned(now, id, out);
        self.refollow(id);
        self.replay_producers(now, id, out);
        self.look_after(id, out);
    }

    fn next_log(&mut self) -> LogId {
        self.next_log += 1;
        LogId(self.next_log - 1)
    }
}

/// In Kafka's words.
fn isr_updated(partition: &Partition, before: &[BrokerId], now: &Assignment) -> Effect {
    let under = match partition.acknowledged(Offset::MAX) {
        Some(Err(_)) => " (under-min-isr)",
        _ => "",
    };
    let (name, isr, before_ids) = (&partition.name, ids(&now.isr), ids(before));
    let text = format!("ISR of {name} updated from {before_ids} to {isr}{under}");
    Effect::Note { level: if now.isr.len() < before.len() { Level::Warn } else { Level::Good }, text }
}

fn ids(ids: &[BrokerId]) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",")
}
