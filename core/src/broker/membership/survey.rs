//! What a broker reads before it registers; and, where it may have lost records, of which ISRs it is a member, and how it
//! leaves them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::messages::TopicName;

use super::{MAY_HAVE_LOST, Purpose, Stage};
use crate::broker::{Broker, Effect};
use crate::id::{BrokerId, TopicPartition};
use crate::protocol::cluster::Assignment;
use crate::protocol::znode;
use crate::time::Now;
use crate::view::Level;
use crate::zookeeper::protocol::{CreateMode, Op, Reply};
use crate::zookeeper::{Error, Path, Stat};

/// Partitions' states in one multi: ZooKeeper takes a megabyte.
const MAX_STEPS: usize = 1_000;

/// What there is before we register.
#[derive(Clone, Default)]
pub(super) struct Survey {
    pub children: BTreeMap<Path, Vec<Path>>,
    pub data: BTreeMap<Path, (Bytes, Stat)>,
    absent: BTreeSet<Path>,
}

impl Survey {
    fn read<T>(&self, path: &str, parse: impl FnOnce(&[u8], &Stat) -> Result<T, String>) -> Option<T> {
        let (json, stat) = self.data.get(path)?;
        parse(json, stat).ok()
    }

    /// The topics, where they lie.
    fn topics(&self) -> impl Iterator<Item = (TopicName, Option<Vec<Assignment>>)> {
        let names = self.children.get(znode::TOPICS).into_iter().flatten().map(|name| znode::topic_name(name));
        names.map(|name| {
            let partitions = self.read(&znode::topic_path(&name), |json, _| znode::parse_topic(json));
            (name, partitions.map(|(_, partitions)| partitions))
        })
    }

    /// What is still to be read to know of which ISRs `own` is a member.
    fn states_to_read(&self, own: BrokerId) -> Vec<Path> {
        let mut paths = Vec::new();
        for (name, partitions) in self.topics() {
            let Some(partitions) = partitions else {
                paths.push(znode::topic_path(&name));
                continue;
            };
            let mine = (0..).zip(&partitions).filter(|(_, partition)| partition.replicas.contains(&own));
            paths.extend(mine.map(|(index, _)| znode::state_path(&name, index)));
        }
        paths.retain(|path| !self.data.contains_key(path) && !self.absent.contains(path));
        paths
    }

    /// The states without `own` in their ISRs, and whose they are.
    fn steps_out(&self, own: BrokerId) -> (Vec<Op>, Vec<TopicPartition>) {
        let (mut ops, mut names) = (Vec::new(), Vec::new());
        let epoch = self.read(znode::CONTROLLER_EPOCH, |text, _| znode::parse_controller_epoch(text)).unwrap_or(0);
        for (name, partitions) in self.topics() {
            for (index, mut partition) in (0..).zip(partitions.unwrap_or_default()) {
                let path = znode::state_path(&name, index);
                let parsed = self.read(&path, |json, stat| znode::parse_state(json, stat.version, &mut partition));
                if parsed.is_none() || !partition.isr.contains(&own) {
                    continue;
                }
                if partition.isr.len() > 1 {
                    partition.isr.retain(|id| *id != own);
                    if partition.leader == own {
                        partition.leader = BrokerId::NONE;
                        partition.leader_epoch += 1;
                    }
                } else {
                    partition.leader_epoch += 1;
                }
                let (data, version) = (Some(znode::state(&partition, epoch)), partition.partition_epoch);
                ops.push(Op::SetData { path, data, version });
                names.push(TopicPartition::new(name.clone(), index));
            }
        }
        (ops, names)
    }
}

impl Broker {
    /// What is there already.
    pub(super) fn survey(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.membership.leaving {
            return;
        }
        let children = |path: &str| Op::GetChildren { path: path.into(), watch: false };
        let data = |path: Path| Op::GetData { path, watch: false };
        let mut ops = vec![
            children("/"),
            children("/brokers"),
            children("/config"),
            children("/admin"),
            data(znode::CLUSTER_ID.into()),
            data(znode::CONTROLLER.into()),
            data(znode::broker_path(self.id())),
        ];
        if self.membership.may_have_lost {
            ops.extend([children(znode::TOPICS), data(znode::CONTROLLER_EPOCH.into())]);
        }
        self.look_at(now, ops, Survey::default(), out);
    }

    fn look_at(&mut self, now: Now, ops: Vec<Op>, survey: Survey, out: &mut Vec<Effect>) {
        self.membership.stage = Stage::Surveying { waiting: ops.len(), survey };
        for op in ops {
            let path = op.path().cloned().unwrap_or_else(|| "/".into());
            self.ask_zookeeper(now, op, Purpose::Survey(path), out);
        }
    }

    pub(super) fn surveyed(&mut self, now: Now, path: Path, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let Stage::Surveying { waiting, survey } = &mut self.membership.stage else { return };
        *waiting -= 1;
        match result {
            Ok(Reply::GetChildren { children }) => drop(survey.children.insert(path, children)),
            Ok(Reply::GetData { data, stat }) => drop(survey.data.insert(path, (data.unwrap_or_default(), stat))),
            Ok(_) | Err(Error::NoNode) => drop(survey.absent.insert(path)),
            // The connection is lost: `reconnected`, or a new session, begins again.
            Err(_) => {
                self.membership.stage = Stage::Away;
                return;
            }
        }
        if *waiting > 0 {
            return;
        }
        let survey = std::mem::take(survey);
        if !self.membership.may_have_lost {
            return self.register(now, &survey, out);
        }
        let states = survey.states_to_read(self.id());
        if !states.is_empty() {
            let ops = states.into_iter().map(|path| Op::GetData { path, watch: false });
            return self.look_at(now, ops.collect(), survey, out);
        }
        let (rest, told) = survey.steps_out(self.id());
        if !told.is_empty() {
            let text = format!("may have lost records: steps out of {} ISRs before it registers", told.len());
            out.push(Effect::Note { level: Level::Warn, text });
        }
        self.step_out(now, survey, rest, told, out);
    }

    /// Another round, until it is in none.
    fn step_out(
        &mut self,
        now: Now,
        survey: Survey,
        mut rest: Vec<Op>,
        told: Vec<TopicPartition>,
        out: &mut Vec<Effect>,
    ) {
        if rest.is_empty() {
            self.membership.may_have_lost = false;
            out.push(Effect::Save { file: MAY_HAVE_LOST.to_owned(), contents: Bytes::new() });
            return self.register(now, &survey, out);
        }
        let later = rest.split_off(rest.len().min(MAX_STEPS));
        let names = told.iter().take(rest.len());
        let data = Some(znode::isr_change(names));
        rest.push(Op::Create { path: znode::isr_change_path(), data, mode: CreateMode::PersistentSequential });
        let told = told[told.len() - later.len()..].to_vec();
        self.membership.stage = Stage::SteppingOut { survey, rest: later, told };
        self.ask_zookeeper(now, Op::Multi(rest), Purpose::StepOut, out);
    }

    pub(super) fn stepped_out(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let Stage::SteppingOut { survey, rest, told } = &mut self.membership.stage else { return };
        match result {
            Ok(Reply::Multi(Ok(_))) => {
                let (survey, rest, told) = (std::mem::take(survey), std::mem::take(rest), std::mem::take(told));
                self.step_out(now, survey, rest, told, out);
            }
            // Another has changed a state meanwhile.
            Ok(_) => self.survey(now, out),
            Err(_) => self.membership.stage = Stage::Away,
        }
    }
}
