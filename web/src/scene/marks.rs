//! What moves: every request and response in flight is a mark on its way.
//!
//! 1. The counts of all marks that are placed add up to the messages that have a way.
//! 2. Up to [`FEW`] each message is a mark of its own, but for those that a cut link holds at one place; beyond, near
//!    ones of a kind are one mark with their number, and the more there are, the wider is "near".

use ottla_core::time::Instant;
use ottla_core::vec_map::VecMap;
use ottla_core::view::{MessageKind, MessageView, View};

use super::geometry::{Point, point};
use super::layout::Layout;

/// More than these are not told apart by an eye: near ones merge.
pub const FEW: usize = 300;

#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// In the world.
    pub at: Point,
    pub kind: MessageKind,
    pub response: bool,
    pub error: bool,
    /// The topic's place.
    pub hue: Option<usize>,
    /// The message, of several the last in the view.
    pub id: u64,
    pub count: u32,
}

/// How far a message has come, 0 to 1. Under `prefers-reduced-motion` it is here or there.
pub fn progress(message: &MessageView, now: Instant, reduced: bool) -> f64 {
    let whole = message.arrives.since(message.departed).as_secs_f64();
    let part = if whole > 0.0 { (now.since(message.departed).as_secs_f64() / whole).min(1.0) } else { 1.0 };
    if reduced { part.round() } else { part }
}

/// Places every message. More than [`FEW`] merge; `near` is in units of the world.
pub fn place(view: &View, now: Instant, layout: &Layout, reduced: bool, near: f64) -> Vec<Mark> {
    let mark = |message: &MessageView| {
        let (link, reversed) = layout.route(&message.from, &message.to)?;
        let part = progress(message, now, reduced);
        Some(Mark {
            at: link.path.at(if reversed { 1.0 - part } else { part }),
            kind: message.kind,
            response: message.response,
            error: message.error,
            hue: message.topic.as_deref().and_then(|topic| hue(view, topic)),
            id: message.id,
            count: 1,
        })
    };
    let marks: Vec<Mark> = view.messages.iter().filter_map(mark).collect();
    if marks.len() <= FEW {
        let held = |mark: &Mark| layout.links.iter().any(|link| link.cut && link.path.at(0.5).distance(mark.at) < 0.5);
        if !layout.links.iter().any(|link| link.cut) {
            return marks;
        }
        let (held, mut moving): (Vec<Mark>, Vec<Mark>) = marks.into_iter().partition(held);
        moving.extend(merge(held, 1.0));
        return moving;
    }
    let near = near * (marks.len() as f64 / FEW as f64).sqrt();
    merge(marks, near)
}

/// A topic's place in the order in which topics came; the coordinators' own have no hue.
pub fn hue(view: &View, topic: &str) -> Option<usize> {
    if topic.starts_with("__") {
        return None;
    }
    let place = view.topics.binary_search_by(|known| known.name.as_str().cmp(topic)).ok()?;
    Some(view.topics[place].hue as usize)
}

/// One mark for all of a kind, direction, hue and fate in a square of the world; it stands in their middle.
fn merge(marks: Vec<Mark>, near: f64) -> Vec<Mark> {
    let mut squares = VecMap::new();
    for mark in marks {
        let square = ((mark.at.y / near) as i32, (mark.at.x / near) as i32);
        let key = (square, mark.kind, mark.response, mark.error, mark.hue);
        let (sum, count, id) = squares.entry(key).or_insert((point(0.0, 0.0), 0, 0));
        *sum = point(sum.x + mark.at.x, sum.y + mark.at.y);
        *count += 1;
        *id = mark.id;
    }
    let whole = |((_, kind, response, error, hue), (sum, count, id)): (_, (Point, u32, u64))| {
        let at = point(sum.x / f64::from(count), sum.y / f64::from(count));
        Mark { at, kind, response, error, hue, id, count }
    };
    squares.into_iter().map(whole).collect()
}

/// The mark under a point of the world, the nearest within `reach`.
pub fn hit(marks: &[Mark], at: Point, reach: f64) -> Option<&Mark> {
    let near = marks.iter().map(|mark| (mark.at.distance(at), mark)).filter(|(distance, _)| *distance <= reach);
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, mark)| mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::camera::Size;
    use crate::scene::layout::layout;
    use crate::scene::sample;
    use crate::scene::shape::{Links, Shape};

    fn placed(view: &View) -> (Layout, Vec<Mark>) {
        let mut links = Links::default();
        links.hear(view);
        let layout = layout(&Shape::of(view, &links, true), Size { width: 824.0, height: 724.0 });
        let marks = place(view, view.now, &layout, false, 16.0);
        (layout, marks)
    }

    #[test]
    fn every_message_is_counted_whether_marks_merge_or_not() {
        for messages in [0, 1, FEW, FEW + 1, 1_000] {
            let view = sample::view(9, messages, Instant::from_millis(1_234));
            let (_, marks) = placed(&view);
            assert_eq!(marks.iter().map(|mark| mark.count as usize).sum::<usize>(), messages);
            assert_eq!(marks.len() == messages, messages <= FEW, "{} marks", marks.len());
        }
    }

    #[test]
    fn a_mark_walks_from_sender_to_receiver() {
        let mut view = sample::view(3, 1, Instant::from_millis(500));
        let message = view.messages[0].clone();
        let (layout, _) = placed(&view);
        let (link, reversed) = layout.route(&message.from, &message.to).unwrap();
        let (sender, receiver) = if reversed { (1.0, 0.0) } else { (0.0, 1.0) };
        for (now, at) in [(message.departed, sender), (message.arrives, receiver)] {
            view.now = now;
            assert_eq!(place(&view, now, &layout, false, 16.0)[0].at, link.path.at(at));
        }
        let early = Instant::from_nanos(message.departed.as_nanos() + 1_000);
        assert_eq!(
            place(&view, early, &layout, true, 16.0)[0].at,
            link.path.at(sender),
            "reduced motion waits, then jumps"
        );
    }

    #[test]
    fn a_hand_hits_the_nearest_mark_within_reach() {
        let (_, marks) = placed(&sample::view(3, 12, Instant::from_millis(800)));
        let at = marks[3].at;
        let near = point(at.x + 1.0, at.y);
        assert!(hit(&marks, near, 12.0).is_some_and(|mark| mark.at.distance(near) <= 1.0));
        assert_eq!(hit(&marks, point(-500.0, 0.0), 12.0), None);
    }
}
