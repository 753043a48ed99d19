//! A producer.

pub mod settings;

use std::collections::BTreeMap;

pub use settings::Settings;

use super::{Effect, Endpoint, Event};
use crate::node::Node;
use crate::rng::Seed;
use crate::sim::view::{FactGroup, ProducerView};
use crate::time::{Instant, Now};

/// Sends records to one topic at a rate, and chosen ones to any.
#[derive(Clone, Debug)]
pub struct Producer {}

impl Producer {
    /// `name` is its `client.id` unless that is set. An error names the setting that is wrong.
    pub fn new(
        _name: &str,
        _topic: &str,
        _settings: &BTreeMap<String, String>,
        _bootstrap: Vec<Endpoint>,
        _seed: Seed,
    ) -> Result<Producer, String> {
        todo!()
    }

    pub fn view(&self) -> ProducerView {
        todo!()
    }

    /// What there is to see of it beyond the view, stage by stage.
    pub fn facts(&self) -> Vec<FactGroup> {
        todo!()
    }
}

impl Node for Producer {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, _now: Now, _event: Event, _out: &mut Vec<Effect>) {
        todo!()
    }

    fn deadline(&self) -> Option<Instant> {
        todo!()
    }
}
