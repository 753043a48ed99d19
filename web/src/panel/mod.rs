//! What lies beside the stage. Left, three views of one run: `lesson.rs` its prose, `script.rs` its text, `events.rs` what
//! happened; `story.rs` holds their tabs (`tabs.rs`). Right, what one holds: `hand.rs`, with `message.rs`, `batch.rs`, `node.rs`,
//! `producer.rs` (`stages.rs`), `group.rs`, `transaction.rs` (both with `steps.rs`), `topic.rs`, `znode.rs` and the `form.rs`s by which one adds to the run.

pub mod batch;
pub mod events;
pub mod form;
pub mod group;
pub mod hand;
pub mod lesson;
pub mod message;
pub mod node;
pub mod producer;
pub mod script;
pub mod stages;
pub mod steps;
pub mod story;
pub mod tabs;
pub mod topic;
pub mod transaction;
pub mod znode;
