//! Who is the controller: whether this broker runs for it, and what it does while it is.

use super::Purpose;
use crate::broker::{Broker, Effect};
use crate::controller::{Controller, Output};
use crate::protocol::znode;
use crate::time::Now;
use crate::view::Level;
use crate::zookeeper::protocol::{CreateMode, Op, Reply};
use crate::zookeeper::{Error, Path};

impl Broker {
    /// Looks whether there is one, and whether it is this broker; and is told when that changes.
    pub(super) fn look_for_the_controller(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.membership.is_member() && !self.membership.leaving {
            let op = Op::Exists { path: znode::CONTROLLER.into(), watch: true };
            self.ask_zookeeper(now, op, Purpose::Controller, out);
        }
    }

    pub(super) fn found_controller(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        match result {
            Ok(Reply::Exists { stat }) if stat.ephemeral_owner == self.membership.session() => {
                // Elected, though the answer to that was lost.
                if self.controller.is_none() {
                    let op = Op::GetData { path: znode::CONTROLLER_EPOCH.into(), watch: false };
                    self.ask_zookeeper(now, op, Purpose::OwnEpoch, out);
                }
            }
            Ok(_) => self.resign(now, out),
            Err(Error::NoNode) => {
                self.resign(now, out);
                if !self.membership.leaving {
                    let op = Op::GetData { path: znode::CONTROLLER_EPOCH.into(), watch: false };
                    self.ask_zookeeper(now, op, Purpose::LastEpoch, out);
                }
            }
            // The connection is lost: `reconnected` looks again.
            Err(_) => {}
        }
    }

    pub(super) fn run(&mut self, now: Now, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        let path: Path = znode::CONTROLLER_EPOCH.into();
        let data = Some(znode::controller(self.id(), now.wall));
        let mut ops = vec![Op::Create { path: znode::CONTROLLER.into(), data, mode: CreateMode::Ephemeral }];
        let (last, version) = match result {
            Ok(Reply::GetData { data, stat }) => match znode::parse_controller_epoch(&data.unwrap_or_default()) {
                Ok(epoch) => (epoch, stat.version),
                Err(why) => return out.push(Effect::Fail { why }),
            },
            Err(Error::NoNode) => {
                let data = Some(znode::controller_epoch(0));
                ops.push(Op::Create { path: path.clone(), data, mode: CreateMode::Persistent });
                (0, 0)
            }
            Ok(_) | Err(_) => return,
        };
        let epoch = last + 1;
        ops.push(Op::SetData { path, data: Some(znode::controller_epoch(epoch)), version });
        self.ask_zookeeper(now, Op::Multi(ops), Purpose::Run { epoch }, out);
    }

    pub(super) fn ran(&mut self, now: Now, epoch: i32, result: Result<Reply, Error>, out: &mut Vec<Effect>) {
        match result {
            Ok(Reply::Multi(Ok(replies))) => {
                if let Some(Reply::SetData { stat }) = replies.last() {
                    self.become_controller(now, epoch, stat.version, out);
                }
            }
            // Another was faster. It may be gone again already, before our watch saw it come.
            Ok(_) => self.look_for_the_controller(now, out),
            Err(_) => {}
        }
    }

    pub(super) fn become_controller(&mut self, now: Now, epoch: i32, fence: i32, out: &mut Vec<Effect>) {
        if self.membership.leaving || self.controller.is_some() {
            return;
        }
        let cluster_id = self.membership.cluster_id.clone().unwrap_or_default();
        let mut controller = Controller::new(&self.config, self.settings.clone(), cluster_id, epoch, fence);
        let mut outputs = Vec::new();
        controller.begin(now, &mut outputs);
        self.controller = Some(controller);
        out.push(Effect::Note { level: Level::Info, text: format!("is the controller, epoch {epoch}") });
        self.follow(now, outputs, out);
    }

    /// Another is the controller, or nobody.
    pub(in crate::broker) fn resign(&mut self, now: Now, out: &mut Vec<Effect>) {
        if let Some(mut controller) = self.controller.take() {
            out.push(Effect::Note {
                level: Level::Info,
                text: format!("is the controller no more, its epoch was {}", controller.epoch()),
            });
            let outputs = controller.resign();
            self.follow(now, outputs, out);
        }
    }

    /// Carries out what the controller wants.
    pub(in crate::broker) fn follow(&mut self, now: Now, outputs: Vec<Output>, out: &mut Vec<Effect>) {
        for output in outputs {
            match output {
                Output::Ask { tag, op } => self.ask_zookeeper(now, op, Purpose::Decide(tag), out),
                Output::Publish => self.publish(now, out),
                Output::AskForFailedLogs(broker) => self.ask_for_failed_logs(now, broker, out),
                Output::Answer { origin, answer } => self.answer(now, origin, answer, out),
                Output::Note(text) => out.push(Effect::Note { level: Level::Info, text }),
                Output::Resign => {
                    self.resign(now, out);
                    // Whoever is the controller now: the znode says it.
                    self.look_for_the_controller(now, out);
                }
                Output::Fail(why) => out.push(Effect::Fail { why }),
            }
        }
    }
}
