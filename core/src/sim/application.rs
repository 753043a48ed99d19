//! An application that is two clients in one process: a consumer, and the producer that works off what it reads
//! (`reads=c1`). They live and die together, and tell each other what a call returns.
//!
//! ```text
//! consumer ─ Polled → producer: begin, send …, sendOffsetsToTransaction, commit ─ Committed, Aborted → consumer: poll()
//!                         └ fenced: Closed → the consumer closes, and leaves its group → the process starts anew
//! ```

use super::network::NodeId;
use super::workload::{App, Client};
use super::{Actor, Simulation, What};
use crate::client::{Command, Event, Report, TransactionStage};
use crate::time::Duration;

/// How long it takes until somebody starts a process again that has ended by itself.
const RESTART: Duration = Duration::from_secs(1);

/// Both of them.
#[derive(Clone, Copy)]
struct Application {
    consumer: NodeId,
    producer: NodeId,
}

/// What one of them is told, if it is still the process that was started so often.
#[derive(Clone)]
pub(super) struct Passing {
    node: NodeId,
    starts: u32,
    event: Event,
}

impl Simulation {
    fn client_at(&self, node: NodeId) -> Option<&Client> {
        match &self.nodes[node.0 as usize].actor {
            Actor::Client(client) => Some(client),
            Actor::Broker(_) | Actor::ZooKeeper(_) => None,
        }
    }

    /// The process that a client shares with another one, if it does.
    fn application(&self, node: NodeId) -> Option<Application> {
        let reads = |client: &Client| match &client.app {
            App::Producer(producer) => self.names.get(producer.reads()?).copied(),
            _ => None,
        };
        let (consumer, producer) = match self.client_at(node)?.app {
            App::Producer(_) => (reads(self.client_at(node)?)?, node),
            App::Consumer(_) => (node, self.clients().find(|(_, client)| reads(client) == Some(node))?.0),
            App::Admin(_) | App::Guest(_) => return None,
        };
        Some(Application { consumer, producer })
    }

    /// All clients of the process of that one.
    pub(super) fn process_of(&self, node: NodeId) -> Vec<NodeId> {
        self.application(node).map_or(vec![node], |one| vec![one.consumer, one.producer])
    }

    /// A client has told something: the other one of its process may have to know.
    pub(super) fn pass_on(&mut self, node: NodeId, report: &Report) {
        let event = match report {
            Report::Polled(polled) => Event::Process(polled.clone()),
            Report::Transaction(TransactionStage::Committed) => Event::Processed { well: true },
            Report::Transaction(TransactionStage::Aborted) => Event::Processed { well: false },
            _ => return,
        };
        let Some(Application { consumer, producer }) = self.application(node) else { return };
        self.pass(if node == consumer { producer } else { consumer }, event);
    }

    fn pass(&mut self, node: NodeId, event: Event) {
        let starts = self.client_at(node).map_or(0, |client| client.starts);
        self.passing.push_back(Passing { node, starts, event });
        self.schedule(self.now, What::Passed);
    }

    /// What comes next reaches its client, unless another process runs under its name by now.
    pub(super) fn passed(&mut self) -> bool {
        let Some(Passing { node, starts, event }) = self.passing.pop_front() else { return false };
        if !self.client_at(node).is_some_and(|client| client.running && client.starts == starts) {
            return false;
        }
        self.said = self.now;
        self.tell_client(node, event);
        true
    }

    /// A client has closed: so does the other one, and a process that could not go on starts anew when both have.
    pub(super) fn closed_of_process(&mut self, node: NodeId) {
        let Some(Application { consumer, producer }) = self.application(node) else { return };
        let runs = |this: &Simulation, node| this.client_at(node).is_some_and(|client| client.running);
        if node == producer {
            self.client_mut(producer).failed = true;
        }
        match (runs(self, consumer), runs(self, producer)) {
            (true, _) => self.pass(consumer, Event::Command(Command::Close.into())),
            // It was closed in order.
            (false, true) => drop(self.stop_client(producer)),
            (false, false) if self.client_at(producer).is_some_and(|client| client.failed) => {
                self.schedule(self.now + RESTART, What::Restart { producer });
            }
            (false, false) => {}
        }
    }

    /// False where somebody has started it, or killed it, meanwhile.
    pub(super) fn restart(&mut self, producer: NodeId) -> bool {
        if !self.client_at(producer).is_some_and(|client| !client.running && client.failed) {
            return false;
        }
        let name = self.name(producer).clone();
        self.start_client(&name).is_ok()
    }
}
