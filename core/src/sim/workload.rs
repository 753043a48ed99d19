//! Who is there besides the brokers, and what they are told to do.

use std::sync::Arc;

use super::admin::{self, Admin, Wanted};
use super::check::Who;
use super::guest::Guest;
use super::network::NodeId;
use super::scenario::parse::MAX_BROKERS;
use super::scenario::{Action, Expectation};
use super::story;
use super::{Actor, Outcome, Simulation};
use crate::client::admin::{Election, Errand};
use crate::client::{Command, Consumer, Effect, Event, Producer};
use crate::node::Node;
use crate::protocol::znode;
use crate::rng::Seed;
use crate::time::{Instant, Now};
use crate::view::Level;

/// The producer that sends what a scenario's `send` says.
pub const HAND: &str = "hand";

#[derive(Clone)]
pub(super) struct Client {
    pub app: App,
    /// False once it was stopped.
    pub running: bool,
    /// The line that says who it is, so that it can be started again.
    pub line: Option<Arc<Action>>,
    /// How many processes there were, this one included.
    pub starts: u32,
    /// It has closed itself, because it could not go on.
    pub failed: bool,
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
pub(super) enum App {
    Admin(Admin),
    Guest(Guest),
    Producer(Producer),
    Consumer(Consumer),
}

impl Client {
    pub fn admin(admin: Admin) -> Client {
        Client::new(App::Admin(admin))
    }

    pub fn guest() -> Client {
        Client::new(App::Guest(Guest::default()))
    }

    fn new(app: App) -> Client {
        Client { app, running: true, line: None, starts: 1, failed: false }
    }
}

impl App {
    fn takes(&self, command: &Command) -> bool {
        match command {
            Command::Rate { .. } | Command::Close => matches!(self, App::Producer(_) | App::Consumer(_)),
            Command::Send(_) | Command::Transaction(_) | Command::SendOffsets(_) => matches!(self, App::Producer(_)),
            Command::Seek { .. } | Command::Pause { .. } | Command::Resume { .. } => matches!(self, App::Consumer(_)),
        }
    }
}

impl Node for App {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        match self {
            App::Admin(admin) => admin.step(now, event, out),
            App::Guest(guest) => guest.step(now, event, out),
            App::Producer(producer) => producer.step(now, event, out),
            App::Consumer(consumer) => consumer.step(now, event, out),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            App::Admin(admin) => admin.deadline(),
            App::Guest(guest) => guest.deadline(),
            App::Producer(producer) => producer.deadline(),
            App::Consumer(consumer) => consumer.deadline(),
        }
    }
}

impl Simulation {
    /// Whether a hand may do that now; an error in words where it may not.
    pub(crate) fn allows(&self, action: &Action) -> Result<(), String> {
        match action {
            Action::Fault(fault) => self.may(fault),
            Action::AddBroker if self.hosts().count() >= MAX_BROKERS as usize => {
                Err(format!("a cluster may have {MAX_BROKERS} brokers"))
            }
            Action::Producer { name, .. } | Action::Consumer { name, .. } => match self.client_of(name) {
                Some(client) if client.running => Err(format!("there is a {name} already")),
                _ => Ok(()),
            },
            Action::Rate { client: name, .. }
            | Action::Command { client: name, .. }
            | Action::Send { by: Some(name), .. }
            | Action::Stop(name) => self.node(name).map(drop),
            _ => Ok(()),
        }
    }

    /// Does what the scenario, or a hand, wants now. What cannot be done is said in the event log.
    pub(super) fn act(&mut self, action: Action) {
        let late = matches!(
            action,
            Action::Producer { .. }
                | Action::Consumer { .. }
                | Action::Rate { .. }
                | Action::Send { .. }
                | Action::Command { .. }
        ) || self.is_awaited(&action);
        if late && !(self.waiting.is_empty() && self.admin().is_idle()) {
            self.waiting.push_back(action);
            return;
        }
        if self.trace.is_on() {
            self.trace.line(self.now, "scenario", '!', &action);
        }
        if let Some((level, text)) = story::of_action(&action) {
            self.story.say(self.now, "scenario", level, text);
        }
        if let Err(why) = self.try_act(action) {
            self.story.say(self.now, "scenario", Level::Bad, why);
        }
    }

    /// Whether a client that it is about has a line that was done, and waits for a topic.
    fn is_awaited(&self, action: &Action) -> bool {
        let awaited = |name: &str| {
            self.waiting.iter().any(|waiting| match waiting {
                Action::Producer { name: known, .. } | Action::Consumer { name: known, .. } => known == name,
                _ => false,
            })
        };
        action.clients().any(awaited)
    }

    /// Clients that were to come after a topic: as soon as it stands.
    pub(super) fn act_late(&mut self) {
        while !self.waiting.is_empty() && self.admin().is_idle() {
            let waiting = std::mem::take(&mut self.waiting);
            for action in waiting {
                self.act(action);
            }
        }
    }

    fn try_act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Errand(errand) => {
                if let Errand::Elect { election: Election::Unclean, topic, partition } = &errand {
                    self.checks.unclean_election(&znode::topic_name(topic), *partition);
                }
                let since = self.now;
                let taker = errand.taker().map(|id| self.endpoint(id)).transpose()?;
                let node = self.node(admin::NAME)?;
                if let App::Admin(admin) = &mut self.client_mut(node).app {
                    admin.want(Wanted { errand, taker, since });
                }
                self.tell_client(node, Event::Timer);
                Ok(())
            }
            Action::Producer { ref name, ref topics, ref settings } => {
                let producer = Producer::new(name, topics, settings, self.brokers(), self.seed_of(name))?;
                let name = name.clone();
                self.begin(&name, App::Producer(producer), Some(Arc::new(action)))
            }
            Action::Consumer { ref name, ref topics, ref settings } => {
                let consumer = Consumer::new(name, topics, settings, self.brokers(), self.seed_of(name))?;
                let name = name.clone();
                self.begin(&name, App::Consumer(consumer), Some(Arc::new(action)))
            }
            Action::Command { client, command } => {
                let node = self.node(&client)?;
                self.command(node, command)
            }
            Action::Rate { client, milli_per_second } => {
                let node = self.node(&client)?;
                self.command(node, Command::Rate { milli_per_second })
            }
            Action::Send { by: Some(by), record } => {
                let node = self.node(&by)?;
                self.command(node, Command::Send(record))
            }
            Action::Send { by: None, record } => {
                if !self.names.contains_key(HAND) {
                    let seed = self.seed_of(HAND);
                    let producer = Producer::new(
                        HAND,
                        std::slice::from_ref(&record.topic),
                        &Default::default(),
                        self.brokers(),
                        seed,
                    )?;
                    self.begin(HAND, App::Producer(producer), None)?;
                }
                let node = self.node(HAND)?;
                self.command(node, Command::Send(record))
            }
            Action::Fault(fault) => self.strike(&fault),
            Action::AddBroker => self.add_broker(),
            Action::Stop(name) => {
                let node = self.node(&name)?;
                match self.host(node).map(|host| host.id()) {
                    Some(id) => self.stop_broker(id),
                    None => self.close_client(node).map_err(|why| format!("{name}: {why}")),
                }
            }
            Action::Expect(expectation) => {
                self.expect(expectation);
                Ok(())
            }
        }
    }

    fn expect(&mut self, expectation: Expectation) {
        let (held, found) = self.evaluate(&expectation);
        let level = if held { Level::Good } else { Level::Bad };
        let verdict = if held { "holds" } else { "FAILS" };
        self.story.say(self.now, "scenario", level, format!("expect {expectation} {verdict}: {found}"));
        self.outcomes.push(Outcome { at: self.now, expectation, held, found });
    }

    /// Lets a client run under that name, which may be one that was stopped.
    fn begin(&mut self, name: &str, app: App, line: Option<Arc<Action>>) -> Result<(), String> {
        let starts = self.client_of(name).map_or(0, |client| client.starts) + 1;
        let client = Box::new(Client { line, starts, ..Client::new(app) });
        let node = match self.names.get(name) {
            Some(&node) => {
                let same = match &self.nodes[node.0 as usize].actor {
                    Actor::Client(known) => {
                        !known.running && std::mem::discriminant(&known.app) == std::mem::discriminant(&client.app)
                    }
                    Actor::Broker(_) | Actor::ZooKeeper(_) => false,
                };
                if !same {
                    return Err(format!("there is a {name} already"));
                }
                self.nodes[node.0 as usize].actor = Actor::Client(client);
                node
            }
            None => self.join(name, Actor::Client(client)),
        };
        let who = self.who(node);
        let name = self.name(node).clone();
        self.checks.began(&name, who);
        self.tell_client(node, Event::Timer);
        Ok(())
    }

    fn who(&self, node: NodeId) -> Who {
        match &self.nodes[node.0 as usize].actor {
            Actor::Client(client) => match &client.app {
                App::Producer(producer) => Who::Producer {
                    idempotent: producer.is_idempotent(),
                    transactional_id: producer.transactional_id().map(str::to_owned),
                    timeout: producer.transaction_timeout(),
                    reads: producer.reads().map(str::to_owned),
                },
                App::Consumer(consumer) => Who::Consumer { read_committed: consumer.reads_committed() },
                App::Admin(_) | App::Guest(_) => Who::Other,
            },
            Actor::Broker(_) | Actor::ZooKeeper(_) => Who::Other,
        }
    }

    /// It runs again, as its line says, and knows nothing of what was; and so does what shares its process.
    pub(super) fn start_client(&mut self, name: &str) -> Result<(), String> {
        let node = self.node(name)?;
        for node in self.process_of(node) {
            let client = self.client_mut(node);
            let Some(line) = client.line.clone() else { return Err(format!("{name} cannot be started")) };
            if !client.running {
                self.try_act(Action::clone(&line))?;
            }
        }
        Ok(())
    }

    fn command(&mut self, node: NodeId, command: Command) -> Result<(), String> {
        let name = self.name(node).clone();
        match &self.nodes[node.0 as usize].actor {
            Actor::Client(client) if !client.running => Err(format!("{name} was stopped")),
            Actor::Client(client) if client.app.takes(&command) => {
                self.tell_client(node, Event::Command(command.into()));
                Ok(())
            }
            _ => Err(format!("{name} does no such thing")),
        }
    }

    /// Another one for every process that runs under that name.
    fn seed_of(&self, name: &str) -> Seed {
        let before = self.client_of(name).map_or(0, |client| client.starts);
        let mut stream = self.seed.stream(name);
        Seed((0..before).fold(stream.next(), |_, _| stream.next()))
    }

    fn admin(&self) -> &Admin {
        let client = self.names.get(admin::NAME).map(|node| &self.nodes[node.0 as usize].actor);
        match client {
            Some(Actor::Client(client)) => match &client.app {
                App::Admin(admin) => admin,
                _ => unreachable!("the name is taken when the simulation is made"),
            },
            _ => unreachable!("the name is taken when the simulation is made"),
        }
    }

    pub(super) fn client_mut(&mut self, node: NodeId) -> &mut Client {
        match &mut self.nodes[node.0 as usize].actor {
            Actor::Client(client) => client,
            Actor::Broker(_) | Actor::ZooKeeper(_) => unreachable!("only clients have clients' effects"),
        }
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = (NodeId, &Client)> {
        self.nodes.iter().enumerate().filter_map(|(node, slot)| match &slot.actor {
            Actor::Client(client) => Some((NodeId(node as u32), &**client)),
            Actor::Broker(_) | Actor::ZooKeeper(_) => None,
        })
    }
}
