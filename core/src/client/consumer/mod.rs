//! A consumer.

pub mod settings;

use std::collections::BTreeMap;

pub use settings::Settings;

use super::{Effect, Endpoint, Event};
use crate::node::Node;
use crate::rng::Seed;
use crate::sim::view::{ConsumerView, FactGroup};
use crate::time::{Instant, Now};

/// Reads all partitions of its topics.
#[derive(Clone, Debug)]
pub struct Consumer {}

impl Consumer {
    /// `name` is its `client.id` unless that is set. An error names the setting that is wrong.
    pub fn new(
        _name: &str,
        _topics: &[String],
        _settings: &BTreeMap<String, String>,
        _bootstrap: Vec<Endpoint>,
        _seed: Seed,
    ) -> Result<Consumer, String> {
        todo!()
    }

    pub fn view(&self) -> ConsumerView {
        todo!()
    }

    /// What there is to see of it beyond the view, stage by stage.
    pub fn facts(&self) -> Vec<FactGroup> {
        todo!()
    }
}

impl Node for Consumer {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, _now: Now, _event: Event, _out: &mut Vec<Effect>) {
        todo!()
    }

    fn deadline(&self) -> Option<Instant> {
        todo!()
    }
}
