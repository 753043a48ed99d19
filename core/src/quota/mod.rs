//! Client quotas: how many bytes a second a client may produce and fetch, how much of a broker's time it may take, how
//! many partitions a second it may have made and removed; and for how long one is not heard that did more. And how many
//! connections a second an address may open.
//!
//! `entity.rs` whom a quota is for, and what is limited | `limits.rs` which quota holds for a client |
//! `window.rs` what was done in the last while | `recent.rs` of whom it is known | `meter.rs` rates, and how long a client
//! must wait | `bucket.rs` the same for what the controller does | `arrivals.rs` the same for connections

pub mod arrivals;
pub mod bucket;
pub mod entity;
pub mod limits;
pub mod meter;
pub mod recent;
pub mod window;

pub use entity::{ClientQuotas, Key, QuotaEntity, Who};
pub use limits::Tags;

/// Who a client is where nobody has to say who he is: the name of Kafka's `KafkaPrincipal.ANONYMOUS`.
pub const ANONYMOUS: &str = "ANONYMOUS";
