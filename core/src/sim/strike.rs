//! Whom a fault strikes, whether it can, and what does it: every line of [`Fault`].

use std::collections::VecDeque;

use super::check::Death;
use super::network::NodeId;
use super::scenario::{Fault, Link, Who};
use super::{Actor, Host, Paused, Process, Simulation, Told};
use crate::arrange::Arrange;
use crate::id::BrokerId;
use crate::time::Duration;
use crate::view::Level;

impl Simulation {
    /// Does it, or says why it cannot be done now; then nothing has changed.
    pub(super) fn strike(&mut self, fault: &Fault) -> Result<(), String> {
        self.may(fault)?;
        self.tally.struck(fault);
        match fault {
            Fault::Kill(Who::ZooKeeper) => self.kill_zookeeper(),
            Fault::Crash(Who::ZooKeeper) => self.crash_zookeeper(),
            Fault::Start(Who::ZooKeeper) => self.start_zookeeper(),
            Fault::Kill(Who::Client(name)) => self.kill_client(name),
            Fault::Start(Who::Client(name)) => self.start_client(name),
            Fault::Kill(who) => self.each_host(who, runs, Simulation::kill),
            Fault::Crash(who) => self.each_host(who, runs, Simulation::crash),
            Fault::Start(who) => self.each_host(who, is_down, Simulation::start),
            Fault::Pause(who) => self.each(who, Simulation::pause),
            Fault::Resume(who) => self.each(who, Simulation::resume),
            Fault::Cut(link) => self.each_way(link, Simulation::cut),
            Fault::Heal(link) => self.each_way(link, Simulation::heal),
            Fault::HealAll => self.heal_all(),
            Fault::SlowLink(link, by) => self.each_way(link, |this, from, to| this.network.slow(from, to, *by)),
            Fault::Hold(link, by) => self.each_way(link, |this, from, to| this.network.hold(from, to, *by)),
            Fault::Reset(one, other) => {
                let link = Link { from: one.clone(), to: other.clone(), one_way: true };
                self.each_way(&link, Simulation::reset_link)
            }
            Fault::SlowDisk(who, by) => self.each_disk(who, |host| host.disk.drive.slow = *by),
            Fault::Fill(who) => self.each_disk(who, |host| host.disk.full = true),
            Fault::Free(who) => self.each_disk(who, |host| host.disk.full = false),
            Fault::Tear(who) => self.each_disk(who, |host| host.disk.tears = true),
            Fault::Corrupt(who) => self.each_disk(who, |host| host.disk.corrupts = true),
            Fault::Wipe(who) => self.each_host(who, is_down, Simulation::wipe),
            Fault::Quicken(who) => {
                self.each_disk(who, |host| host.disk.drive.slow = Duration::ZERO)?;
                let nodes = self.nodes_of(who)?;
                let slowed: Vec<_> = self.network.slowed().collect();
                for (from, to, _) in
                    slowed.into_iter().filter(|(from, to, _)| nodes.contains(from) || nodes.contains(to))
                {
                    self.network.slow(from, to, Duration::ZERO);
                }
                Ok(())
            }
            Fault::Skew(who, millis) => {
                for node in self.nodes_of(who)? {
                    self.nodes[node.0 as usize].skew = *millis;
                }
                Ok(())
            }
            Fault::Expire(who) => self.each_host(who, runs, Simulation::expire_session),
        }
    }

    /// Whether there is anybody now whom it can strike; an error in words where there is nobody.
    pub(super) fn may(&self, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::Kill(Who::ZooKeeper) | Fault::Crash(Who::ZooKeeper) if self.zookeeper().server().is_none() => {
                Err(format!("{} is not running", Who::ZooKeeper))
            }
            Fault::Start(Who::ZooKeeper) if self.zookeeper().server().is_some() => {
                Err(format!("{} is running", Who::ZooKeeper))
            }
            Fault::Kill(Who::ZooKeeper) | Fault::Crash(Who::ZooKeeper) | Fault::Start(Who::ZooKeeper) => Ok(()),
            Fault::Kill(who @ Who::Client(_)) => self.any(who, Simulation::is_up, "is not running"),
            Fault::Start(who @ Who::Client(_)) => self.any(who, |this, node| !this.is_up(node), "is running"),
            Fault::Kill(who) | Fault::Crash(who) | Fault::Tear(who) | Fault::Corrupt(who) | Fault::Expire(who) => {
                self.any_host(who, runs, "is not running")
            }
            Fault::Start(who) | Fault::Wipe(who) => self.any_host(who, is_down, "is running"),
            Fault::Pause(who) => self.any(who, |this, node| this.is_up(node) && !this.is_paused(node), "does not go"),
            Fault::Resume(who) => self.any(who, Simulation::is_paused, "does not stand still"),
            Fault::SlowDisk(who, _) | Fault::Fill(who) | Fault::Free(who) => {
                self.any(who, |this, node| this.host(node).is_some(), "has no disk")
            }
            Fault::Quicken(who) | Fault::Skew(who, _) => self.nodes_of(who).map(drop),
            Fault::Cut(link) | Fault::Heal(link) | Fault::SlowLink(link, _) | Fault::Hold(link, _) => {
                self.ways(link).map(drop)
            }
            Fault::Reset(one, other) => {
                self.ways(&Link { from: one.clone(), to: other.clone(), one_way: true }).map(drop)
            }
            Fault::HealAll => Ok(()),
        }
    }

    /// The nodes that are meant at this moment.
    fn nodes_of(&self, who: &Who) -> Result<Vec<NodeId>, String> {
        match who {
            Who::Broker(id) => {
                let node = self.host_node(*id)?;
                Ok(vec![node])
            }
            // What strikes a machine strikes all of a process.
            Who::Client(name) => Ok(self.process_of(self.node(name)?)),
            Who::ZooKeeper => Ok(vec![self.zookeeper_node()]),
            Who::Controller => {
                let state = self.cluster_state().filter(|state| state.controller != BrokerId::NONE);
                let id = state.map(|state| state.controller).ok_or("nobody is the controller")?;
                Ok(vec![self.host_node(id)?])
            }
            Who::Rack(rack) => {
                let inside = |host: &Host| host.config.registration.rack.as_ref() == Some(rack);
                let nodes: Vec<_> = self.hosts().filter(|(_, host)| inside(host)).map(|(node, _)| node).collect();
                if nodes.is_empty() { Err(format!("no broker is in rack {rack}")) } else { Ok(nodes) }
            }
        }
    }

    /// From, to: every way that is meant at this moment.
    fn ways(&self, link: &Link) -> Result<Vec<(NodeId, NodeId)>, String> {
        let (from, to) = (self.nodes_of(&link.from)?, self.nodes_of(&link.to)?);
        let mut ways = Vec::new();
        for &one in &from {
            for &other in to.iter().filter(|&&other| other != one) {
                ways.push((one, other));
                if !link.one_way {
                    ways.push((other, one));
                }
            }
        }
        ways.arrange();
        ways.dedup();
        match ways.is_empty() {
            true => Err(format!("{} is {} itself: a link has two ends", link.from, link.to)),
            false => Ok(ways),
        }
    }

    fn any(&self, who: &Who, fits: impl Fn(&Simulation, NodeId) -> bool, why: &str) -> Result<(), String> {
        let any = self.nodes_of(who)?.into_iter().any(|node| fits(self, node));
        if any { Ok(()) } else { Err(format!("{who} {why}")) }
    }

    fn any_host(&self, who: &Who, fits: fn(&Host) -> bool, why: &str) -> Result<(), String> {
        self.any(who, |this, node| this.host(node).is_some_and(fits), why)
    }

    fn each(&mut self, who: &Who, act: fn(&mut Simulation, NodeId)) -> Result<(), String> {
        for node in self.nodes_of(who)? {
            act(self, node);
        }
        Ok(())
    }

    fn each_host(
        &mut self,
        who: &Who,
        fits: fn(&Host) -> bool,
        act: fn(&mut Simulation, BrokerId) -> Result<(), String>,
    ) -> Result<(), String> {
        for node in self.nodes_of(who)? {
            if let Some(id) = self.host(node).filter(|host| fits(host)).map(Host::id) {
                act(self, id)?;
            }
        }
        Ok(())
    }

    fn each_disk(&mut self, who: &Who, act: impl Fn(&mut Host)) -> Result<(), String> {
        for node in self.nodes_of(who)? {
            if let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor {
                act(host);
            }
        }
        Ok(())
    }

    fn each_way(&mut self, link: &Link, act: impl Fn(&mut Simulation, NodeId, NodeId)) -> Result<(), String> {
        for (from, to) in self.ways(link)? {
            act(self, from, to);
        }
        Ok(())
    }

    /// The process stands still. Its kernel goes on: it takes what comes, and writes what it was given.
    fn pause(&mut self, node: NodeId) {
        if !self.is_up(node) || self.is_paused(node) {
            return;
        }
        let since = self.now;
        self.nodes[node.0 as usize].paused = Some(Paused { since, inbox: VecDeque::new() });
        self.watch_silence(node);
    }

    /// The process goes on, with all that has come meanwhile.
    fn resume(&mut self, node: NodeId) {
        let Some(Paused { inbox, .. }) = self.nodes[node.0 as usize].paused.take() else { return };
        for told in inbox {
            match told {
                Told::Broker(event) => self.tell_broker(node, event),
                Told::ZooKeeper(event) => self.tell_zookeeper(event),
                Told::Client(event, said) => {
                    self.said = said;
                    self.tell_client(node, event);
                }
            }
        }
        self.set_timer(node);
        self.join_all_peers(node);
    }

    /// All is put right but what is dead.
    fn heal_all(&mut self) -> Result<(), String> {
        let cuts: Vec<_> = self.network.cuts().collect();
        for (from, to) in cuts {
            self.heal(from, to);
        }
        let slowed: Vec<_> = self.network.slowed().collect();
        for (from, to, _) in slowed {
            self.network.slow(from, to, Duration::ZERO);
        }
        self.network.hold_none();
        for node in (0..self.nodes.len() as u32).map(NodeId) {
            let slot = &mut self.nodes[node.0 as usize];
            slot.skew = 0;
            if let Actor::Broker(host) = &mut slot.actor {
                (host.disk.drive.slow, host.disk.full) = (Duration::ZERO, false);
                (host.disk.tears, host.disk.corrupts) = (false, false);
            }
            self.resume(node);
        }
        Ok(())
    }

    /// Another disk, empty, in the place of that of a machine that is down.
    fn wipe(&mut self, id: BrokerId) -> Result<(), String> {
        let node = self.host_node(id)?;
        let Actor::Broker(host) = &mut self.nodes[node.0 as usize].actor else {
            return Err(format!("{id} is no broker"));
        };
        let bytes = host.disk.wipe();
        host.look_at_disk();
        self.story.say(self.now, id, Level::Bad, format!("its disk is empty: {bytes} bytes of logs are gone"));
        self.observe_death(node, Death::Wiped);
        Ok(())
    }

    fn is_up(&self, node: NodeId) -> bool {
        match &self.nodes[node.0 as usize].actor {
            Actor::Broker(host) => runs(host),
            Actor::ZooKeeper(machine) => machine.server().is_some(),
            Actor::Client(client) => client.running,
        }
    }

    pub(super) fn is_paused(&self, node: NodeId) -> bool {
        self.nodes[node.0 as usize].paused.is_some()
    }
}

fn runs(host: &Host) -> bool {
    matches!(host.process, Process::Running(_))
}

fn is_down(host: &Host) -> bool {
    !runs(host)
}
