//! What of a view decides where things lie: names, counts and who talks to whom, but no offset and no rate. Two views of
//! the same shape have the same layout, so that most frames lay out nothing.

use ottla_core::time::{Duration, Instant};
use ottla_core::vec_map::VecMap;
use ottla_core::vec_set::VecSet;
use ottla_core::view::{BrokerView, ReplicaView, View};

use super::layout::Density;
use super::words::is_live;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    pub brokers: Vec<BrokerShape>,
    pub producers: Vec<String>,
    pub consumers: Vec<ConsumerShape>,
    /// Whoever else talks: ZooKeeper, a shell's admin client, a hand.
    pub guests: Vec<String>,
    /// A client, or the lower of two brokers, comes first.
    pub links: Vec<LinkShape>,
    /// Whether there are places to add something.
    pub editable: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerShape {
    pub id: i32,
    pub name: String,
    pub rack: Option<String>,
    pub rows: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerShape {
    pub name: String,
    pub positions: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkShape {
    pub from: String,
    pub to: String,
    pub cut: bool,
}

impl Shape {
    pub fn of(view: &View, links: &Links, editable: bool) -> Shape {
        let brokers: Vec<BrokerShape> = view
            .brokers
            .iter()
            .map(|broker| BrokerShape {
                id: broker.id,
                name: broker.name.clone(),
                rack: broker.rack.clone(),
                rows: rows(broker).count(),
            })
            .collect();
        let producers: Vec<String> = view.producers.iter().map(|producer| producer.name.clone()).collect();
        let consumers: Vec<ConsumerShape> = view
            .consumers
            .iter()
            .map(|consumer| ConsumerShape { name: consumer.name.clone(), positions: consumer.positions.len() })
            .collect();
        let links = links.of(view);
        let known: VecSet<&str> = (brokers.iter().map(|broker| &*broker.name))
            .chain(producers.iter().map(|name| &**name))
            .chain(consumers.iter().map(|consumer| &*consumer.name))
            .collect();
        let talk = links.iter().flat_map(|link| [&*link.from, &*link.to]).chain([&*view.zookeeper.name]);
        let guests: VecSet<&str> = talk.filter(|name| !name.is_empty() && !known.contains(name)).collect();
        let guests = guests.into_iter().map(str::to_owned).collect();
        Shape { brokers, producers, consumers, guests, links, editable }
    }
}

/// The replicas that a broker's card shows, in their order: those of users' topics, then those of the coordinators' own
/// in which something is. There are fifty of each, and most stay empty. Where some fold away, the empty ones do.
pub fn rows(broker: &BrokerView) -> impl Iterator<Item = &ReplicaView> {
    let is_internal = |replica: &&ReplicaView| replica.topic.starts_with("__");
    let users = move || broker.replicas.iter().filter(move |replica| !is_internal(replica));
    let folds = users().nth(Density::Roomy.max_rows()).is_some();
    let first = users().filter(move |replica| !folds || replica.end > 0);
    let last = users().filter(move |replica| folds && replica.end == 0);
    first.chain(broker.replicas.iter().filter(move |replica| is_internal(replica) && replica.end > 0)).chain(last)
}

/// Of a live server it remembers for a while who talked to whom, so that a link without a message in flight does not
/// blink. A simulated moment looks the same however one came to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    heard: VecMap<String, VecMap<String, Instant>>,
    now: Instant,
}

impl Links {
    const REMEMBERED: Duration = Duration::from_secs(5);

    /// Takes the messages of a view. Whoever goes back in time forgets.
    pub fn hear(&mut self, view: &View) {
        if view.now < self.now || !is_live(view) {
            self.heard.clear();
        }
        self.now = view.now;
        for message in &view.messages {
            let (from, to) = ordered(view, &message.from, &message.to);
            match self.heard.get_mut(from).and_then(|heard| heard.get_mut(to)) {
                Some(at) => *at = view.now,
                None => {
                    self.heard.entry(from.to_owned()).or_default().insert(to.to_owned(), view.now);
                }
            }
        }
        for heard in self.heard.values_mut() {
            heard.retain(|_, at| view.now.since(*at) < Self::REMEMBERED);
        }
    }

    fn of(&self, view: &View) -> Vec<LinkShape> {
        let mut links: VecMap<(&str, &str), bool> = VecMap::new();
        for link in &view.links {
            *links.entry(ordered(view, &link.from, &link.to)).or_default() |= link.cut;
        }
        for (from, heard) in &self.heard {
            for to in heard.keys() {
                links.entry((from, to)).or_default();
            }
        }
        links.into_iter().map(|((from, to), cut)| LinkShape { from: from.to_owned(), to: to.to_owned(), cut }).collect()
    }
}

/// A client before a broker, a lower broker before a higher one.
fn ordered<'a>(view: &View, a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let place = |name: &str| view.brokers.iter().position(|broker| broker.name == name);
    match (place(a), place(b)) {
        (Some(_), None) => (b, a),
        (Some(first), Some(second)) if first > second => (b, a),
        _ => (a, b),
    }
}
