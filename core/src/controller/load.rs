//! What the controller reads: everything when it begins, and whatever a watch says has changed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use super::write::Writes;
use super::{Controller, Output, Work};
use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::{BrokerConfigs, Registration, Topic};
use crate::protocol::znode::{self, Entity};
use crate::quota::{ClientQuotas, QuotaEntity};
use crate::vec_map::VecMap;
use crate::zookeeper::{Error, Op, Path, Reply, Stat, path};

/// What is asked of a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Children,
    Data,
    /// Whether it is there; whoever watches hears when it comes.
    Presence,
}

/// What has been read for a piece of work so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    waiting: BTreeSet<(What, Path)>,
    /// By parent; `None` where there is no such znode.
    children: BTreeMap<Path, Option<Vec<Path>>>,
    data: BTreeMap<Path, Option<(Bytes, Stat)>>,
    present: BTreeMap<Path, bool>,
}

/// Something to be read.
pub(super) struct Wish {
    pub what: What,
    pub path: Path,
    pub watch: bool,
}

impl Wish {
    pub fn op(&self) -> Op {
        let (path, watch) = (self.path.clone(), self.watch);
        match self.what {
            What::Children => Op::GetChildren { path, watch },
            What::Data => Op::GetData { path, watch },
            What::Presence => Op::Exists { path, watch },
        }
    }
}

impl Reads {
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn asked(&mut self, wish: &Wish) {
        self.waiting.insert((wish.what, wish.path.clone()));
    }

    pub fn found(&mut self, what: What, path: Path, result: Result<Reply, Error>) {
        self.waiting.remove(&(what, path.clone()));
        match (what, result) {
            (_, Ok(Reply::GetChildren { children })) => drop(self.children.insert(path, Some(children))),
            (_, Ok(Reply::GetData { data, stat })) => {
                self.data.insert(path, Some((data.unwrap_or_default(), stat)));
            }
            // There is no other reason not to read a znode.
            (What::Children, _) => drop(self.children.insert(path, None)),
            (What::Data, _) => drop(self.data.insert(path, None)),
            (What::Presence, result) => drop(self.present.insert(path, result.is_ok())),
        }
    }

    pub fn children(&self, path: &str) -> impl Iterator<Item = &Path> {
        self.children.get(path).into_iter().flatten().flatten()
    }

    pub fn data(&self, path: &str) -> Option<&(Bytes, Stat)> {
        self.data.get(path)?.as_ref()
    }

    fn is_present(&self, path: &str) -> bool {
        self.present.get(path) == Some(&true)
    }

    fn is_known(&self, Wish { what, path, .. }: &Wish) -> bool {
        match what {
            What::Children => self.children.contains_key(path),
            What::Data => self.data.contains_key(path),
            What::Presence => self.present.contains_key(path),
        }
    }
}

impl Controller {
    /// What must be read next for that piece of work.
    pub(super) fn wanted(&self, work: &Work, reads: &Reads) -> Vec<Wish> {
        let list = |path: &str, watch| Wish { what: What::Children, path: path.into(), watch };
        let data = |path: Path| Wish { what: What::Data, path, watch: false };
        let all = matches!(work, Work::Load);
        let mut wanted = Vec::new();
        if all || matches!(work, Work::Brokers) {
            wanted.push(list(znode::BROKER_IDS, true));
            let brokers = reads.children(znode::BROKER_IDS);
            wanted.extend(brokers.map(|id| data(path::join(znode::BROKER_IDS, id))));
        }
        if all || matches!(work, Work::IsrChanges) {
            wanted.push(list(znode::ISR_CHANGES, true));
        }
        if all || matches!(work, Work::LogDirEvents) {
            wanted.push(list(znode::LOG_DIR_EVENTS, true));
        }
        if all || matches!(work, Work::Marks) {
            wanted.push(list(znode::DELETE_TOPICS, true));
        }
        if all || matches!(work, Work::ConfigChanges) {
            wanted.push(list(znode::CONFIG_CHANGES, true));
            let news =
                reads.children(znode::CONFIG_CHANGES).filter(|name| all || !self.config_changes.contains_key(*name));
            wanted.extend(news.map(|name| data(path::join(znode::CONFIG_CHANGES, name))));
        }
        for (asked, path) in
            [(Work::PreferredElection, znode::PREFERRED_ELECTION), (Work::Reassignments, znode::REASSIGNMENTS)]
        {
            if all || std::mem::discriminant(work) == std::mem::discriminant(&asked) {
                wanted.push(Wish { what: What::Presence, path: path.into(), watch: true });
                wanted.extend(reads.is_present(path).then(|| data(path.into())));
            }
        }
        match work {
            Work::Load => {
                wanted.push(list(znode::TOPICS, false));
                wanted.push(list(znode::BROKER_CONFIGS, false));
                wanted.push(data(znode::FEATURE.into()));
                let configured = reads.children(znode::BROKER_CONFIGS);
                wanted.extend(configured.map(|name| data(path::join(znode::BROKER_CONFIGS, name))));
                wanted.push(list(znode::GROUP_CONFIGS, false));
                let configured = reads.children(znode::GROUP_CONFIGS);
                wanted.extend(configured.map(|name| data(path::join(znode::GROUP_CONFIGS, name))));
                let quotas = [znode::USER_CONFIGS, znode::CLIENT_CONFIGS, znode::IP_CONFIGS];
                wanted.extend(quotas.map(|parent| list(parent, false)));
                for entity in reads.quota_entities() {
                    if let QuotaEntity { user: Some(user), client: None, .. } = &entity {
                        wanted.push(list(&znode::clients_of_path(user), false));
                    }
                    wanted.push(data(Entity::Clients(entity).path()));
                }
                for topic in reads.children(znode::TOPICS) {
                    let name = znode::topic_name(topic);
                    let at = znode::topic_path(&name);
                    let partitions = reads.data(&at).and_then(|(json, _)| znode::parse_topic(json).ok());
                    let partitions = partitions.map_or(0, |(_, partitions)| partitions.len() as i32);
                    wanted.push(data(at));
                    wanted.push(data(znode::topic_config_path(&name)));
                    wanted.push(list(&znode::partitions_path(&name), false));
                    wanted.extend((0..partitions).map(|index| data(znode::state_path(&name, index))));
                }
            }
            Work::IsrChanges => {
                let notes = reads.children(znode::ISR_CHANGES).map(|name| path::join(znode::ISR_CHANGES, name));
                wanted.extend(notes.map(data));
                for TopicPartition { topic, partition } in reads.isr_changes() {
                    wanted.push(data(znode::state_path(&topic, partition)));
                }
            }
            Work::LogDirEvents => {
                let events = reads.children(znode::LOG_DIR_EVENTS);
                wanted.extend(events.map(|name| data(path::join(znode::LOG_DIR_EVENTS, name))));
            }
            Work::ConfigChanges => wanted.extend(reads.config_changes().map(|(_, _, entity)| data(entity.path()))),
            _ => {}
        }
        wanted.retain(|wish| !reads.is_known(wish));
        wanted
    }
}

impl Reads {
    /// The brokers that are registered, each with the zxid of its registration; and what cannot be read.
    pub fn brokers(&self, out: &mut Vec<Output>) -> VecMap<BrokerId, (Registration, i64)> {
        let mut brokers = VecMap::new();
        for name in self.children(znode::BROKER_IDS) {
            let Some((json, stat)) = self.data(&path::join(znode::BROKER_IDS, name)) else { continue };
            let id = name.parse().map(BrokerId).map_err(|_| format!("{name} is no broker id"));
            match id.and_then(|id| znode::parse_broker(id, json)) {
                Ok(broker) => drop(brokers.insert(broker.id, (broker, stat.czxid.0))),
                Err(why) => out.push(Output::Note(format!("{}/{name}: {why}", znode::BROKER_IDS))),
            }
        }
        brokers
    }

    /// The partitions whose ISRs have changed, as the notifications tell.
    pub fn isr_changes(&self) -> BTreeSet<TopicPartition> {
        let notes = self.children(znode::ISR_CHANGES).map(|name| path::join(znode::ISR_CHANGES, name));
        // Whatever cannot be read tells nothing; it is removed with the others.
        let told = notes.filter_map(|path| self.data(&path)).filter_map(|(json, _)| znode::parse_isr_change(json).ok());
        told.flatten().collect()
    }

    pub fn broker_configs(&self, out: &mut Vec<Output>) -> BrokerConfigs {
        let mut configs = BrokerConfigs::default();
        for name in self.children(znode::BROKER_CONFIGS) {
            let at = path::join(znode::BROKER_CONFIGS, name);
            let whose = if at == Entity::Brokers.path() { Ok(None) } else { name.parse().map(BrokerId).map(Some) };
            match (whose, self.config(&at)) {
                (Ok(whose), Ok(Some(set))) => drop(configs.0.insert(whose, set)),
                (Ok(_), Ok(None)) => {}
                (Err(_), _) => out.push(Output::Note(format!("{at}: {name} is no broker id"))),
                (_, Err(why)) => out.push(Output::Note(why)),
            }
        }
        configs
    }

    pub fn group_configs(&self, out: &mut Vec<Output>) -> VecMap<String, VecMap<String, String>> {
        let mut configs = VecMap::new();
        for name in self.children(znode::GROUP_CONFIGS) {
            let at = path::join(znode::GROUP_CONFIGS, name);
            match (znode::group(name), self.config(&at)) {
                (Some(group), Ok(Some(set))) => drop(configs.insert(group, set)),
                (Some(_), Ok(None)) => {}
                (None, _) => out.push(Output::Note(format!("{at}: {name} is no group"))),
                (_, Err(why)) => out.push(Output::Note(why)),
            }
        }
        configs
    }

    /// Who has a znode for quotas.
    fn quota_entities(&self) -> Vec<QuotaEntity> {
        let below = |parent: &str| -> Vec<QuotaEntity> {
            let paths = self.children(parent).map(|name| path::join(parent, name));
            paths.filter_map(|path| QuotaEntity::from_path(path.strip_prefix("/config/")?)).collect()
        };
        let users = below(znode::USER_CONFIGS);
        let clients = users.iter().filter_map(|entity| entity.user.as_ref());
        let clients = clients.flat_map(|user| below(&znode::clients_of_path(user)));
        let clients: Vec<QuotaEntity> = clients.chain(below(znode::CLIENT_CONFIGS)).collect();
        [users, clients, below(znode::IP_CONFIGS)].concat()
    }

    /// Where nothing is left below `clients` it goes: whoever has removed what was there did not come so far.
    pub fn quotas(&self, writes: &mut Writes, out: &mut Vec<Output>) -> ClientQuotas {
        let mut quotas = ClientQuotas::new();
        for entity in self.quota_entities() {
            if let QuotaEntity { user: Some(user), client: None, .. } = &entity {
                let at = znode::clients_of_path(user);
                if self.children.get(&at).and_then(Option::as_ref).is_some_and(Vec::is_empty) {
                    writes.remove(at);
                }
            }
            match self.config(&Entity::Clients(entity.clone()).path()) {
                Ok(Some(set)) => drop(quotas.insert(entity, set)),
                Ok(None) => {}
                Err(why) => out.push(Output::Note(why)),
            }
        }
        quotas
    }

    pub fn remove_isr_changes(&self, writes: &mut Writes) {
        for name in self.children(znode::ISR_CHANGES) {
            writes.remove(path::join(znode::ISR_CHANGES, name));
        }
    }

    /// The brokers of which logs have failed, as the notifications tell.
    pub fn log_dir_events(&self) -> BTreeSet<BrokerId> {
        let notes = self.children(znode::LOG_DIR_EVENTS).map(|name| path::join(znode::LOG_DIR_EVENTS, name));
        // As with those of ISRs.
        let told = notes.filter_map(|path| self.data(&path));
        told.filter_map(|(json, _)| znode::parse_log_dir_event(json).ok()).collect()
    }

    pub fn remove_log_dir_events(&self, writes: &mut Writes) {
        for name in self.children(znode::LOG_DIR_EVENTS) {
            writes.remove(path::join(znode::LOG_DIR_EVENTS, name));
        }
    }

    /// The notifications that were read: each one's name, when it was written, and whose settings changed.
    pub fn config_changes(&self) -> impl Iterator<Item = (&Path, i64, Entity)> {
        self.children(znode::CONFIG_CHANGES).filter_map(|name| {
            let (json, stat) = self.data(&path::join(znode::CONFIG_CHANGES, name))?;
            // What cannot be read tells nothing, and goes with the others.
            let entity = znode::parse_config_change(json).ok().flatten()?;
            Some((name, stat.ctime, entity))
        })
    }

    pub fn config(&self, path: &str) -> Result<Option<VecMap<String, String>>, String> {
        let Some((json, _)) = self.data(path) else { return Ok(None) };
        znode::parse_config(json).map(Some).map_err(|why| format!("{path}: {why}"))
    }

    /// A topic as ZooKeeper holds it.
    pub fn topic(&self, name: &TopicName, writes: &mut Writes) -> Result<Option<Topic>, String> {
        let at = znode::topic_path(name);
        let Some((json, _)) = self.data(&at) else { return Ok(None) };
        let (id, mut partitions) = znode::parse_topic(json).map_err(|why| format!("{at}: {why}"))?;
        for (index, partition) in (0..).zip(&mut partitions) {
            let at = znode::state_path(name, index);
            if let Some((json, stat)) = self.data(&at) {
                znode::parse_state(json, stat.version, partition).map_err(|why| format!("{at}: {why}"))?;
            }
        }
        let at = znode::topic_config_path(name);
        let configs = self.config(&at)?.unwrap_or_else(|| {
            writes.create(at, znode::config(&VecMap::new()));
            VecMap::new()
        });
        if self.children.get(&znode::partitions_path(name)).is_none_or(Option::is_none) {
            writes.create_empty(znode::partitions_path(name));
        }
        Ok(Some(Topic { id, configs, partitions }))
    }
}
