//! The other half of the twin test: the run of `twin/storm.ottla` in a browser has the hash that it has natively.

#![cfg(target_arch = "wasm32")]

use ottla_core::sim::Simulation;
use ottla_core::sim::scenario::parse;
use ottla_core::sim::trace::{Trace, TraceHash};
use ottla_core::time::Instant;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn one_seed_has_one_trace_in_the_browser_and_natively() {
    let scenario = parse::scenario(include_str!("twin/storm.ottla")).unwrap();
    let mut simulation = Simulation::new(&scenario).unwrap();
    simulation.set_trace(Trace::Hash(TraceHash::default()));
    simulation.run(Instant::from_millis(15_000), u64::MAX);
    let hash = format!("{:016x}", simulation.trace().hash().unwrap());
    assert_eq!(hash, include_str!("twin/hash.txt").trim());
}
