//! Where everything lies: a pure function of a shape and the stage's size.
//!
//! The world flows down: producers, brokers in racks, consumers. Roomy rows (a line of words above each strip) are taken
//! where they fit; where they would have to shrink too far, compact ones (words and strip in one line) are.
//!
//! 1. No two boxes overlap.
//! 2. Every link has a path, and it starts and ends at the edges of its two boxes.
//! 3. All lies within `size`.

use super::camera::{Size, scale_to_fit};
use super::geometry::{Path, Point, Rect, point, rect};
use super::shape::{BrokerShape, Shape};
use ottla_core::arrange::Arrange;
use ottla_core::vec_map::VecMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub size: Size,
    pub density: Density,
    pub brokers: Vec<BrokerPlace>,
    pub racks: Vec<RackPlace>,
    pub producers: Vec<(String, Rect)>,
    pub consumers: Vec<(String, Rect)>,
    pub guests: Vec<(String, Rect)>,
    pub add_producer: Option<Rect>,
    pub add_topic: Option<Rect>,
    pub add_consumer: Option<Rect>,
    pub links: Vec<LinkPlace>,
    /// From node to node to its place in `links`.
    routes: VecMap<String, VecMap<String, usize>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerPlace {
    pub id: i32,
    pub name: String,
    pub rect: Rect,
    /// Rows of replicas that show at once.
    pub rows: usize,
    row: usize,
    column: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RackPlace {
    pub name: String,
    pub label: Point,
    /// Around the brokers of one rack, where they stand below each other.
    pub band: Option<Rect>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkPlace {
    pub from: String,
    pub to: String,
    pub cut: bool,
    pub path: Path,
}

/// How much a row of a broker's card says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Density {
    #[default]
    Roomy,
    Compact,
}

impl Density {
    pub fn row_height(self) -> f64 {
        match self {
            Density::Roomy => 58.0,
            Density::Compact => 26.0,
        }
    }

    /// Positions that a consumer's box lists.
    pub fn max_positions(self) -> usize {
        match self {
            Density::Roomy => 3,
            Density::Compact => 1,
        }
    }

    fn spaces(self) -> Spaces {
        match self {
            Density::Roomy => Spaces { above: 100.0, below: 72.0, between: 54.0 },
            Density::Compact => Spaces { above: 88.0, below: 60.0, between: 44.0 },
        }
    }

    /// More rows than that fold.
    pub fn max_rows(self) -> usize {
        match self {
            Density::Roomy => 5,
            Density::Compact => 8,
        }
    }

    /// Cells of a strip.
    pub fn cells(self) -> usize {
        match self {
            Density::Roomy => 25,
            Density::Compact => 12,
        }
    }
}

pub const CARD_WIDTH: f64 = 240.0;
pub const HEAD_HEIGHT: f64 = 40.0;
pub const FOLD_HEIGHT: f64 = 24.0;
pub const POSITION_HEIGHT: f64 = 24.0;

const MARGIN: f64 = 30.0;
const TOP: f64 = 18.0;
pub const GAP: f64 = 22.0;
const CLIENT_WIDTH: (f64, f64) = (140.0, 190.0);
const CLIENT_HEIGHT: f64 = 64.0;
/// Where compact rows are taken rather than shrink roomy ones.
const SMALL: f64 = 0.8;
/// A grid that shows whole at this scale is wide enough.
const READABLE: f64 = 0.85;
/// A narrower stage (a phone) shows a part of a world that is laid out for a desk.
const NARROWEST: f64 = 600.0;
const DESK: Size = Size { width: 824.0, height: 724.0 };

pub fn layout(shape: &Shape, stage: Size) -> Layout {
    let stage = if stage.width < NARROWEST { DESK } else { stage };
    // The widest grid that stays readable; if none does, the one that shrinks least.
    let best = |density: Density| {
        let candidates = Grid::candidates(&shape.brokers).into_iter().map(|grid| arrange(shape, &grid, density));
        candidates
            .map(|layout| (scale_to_fit(layout.size, stage), layout))
            .reduce(|best, next| if best.0 < READABLE && next.0 > best.0 + 1e-9 { next } else { best })
    };
    match (best(Density::Roomy), best(Density::Compact)) {
        (Some((roomy, layout)), Some((compact, _))) if roomy >= SMALL || roomy >= compact => layout,
        (_, Some((_, layout))) => layout,
        _ => Layout::default(),
    }
}

impl Layout {
    /// The way from node to node, and whether it runs against the path's own direction.
    pub fn route(&self, from: &str, to: &str) -> Option<(&LinkPlace, bool)> {
        let find = |a: &str, b: &str| Some(&self.links[*self.routes.get(a)?.get(b)?]);
        find(from, to).map(|link| (link, false)).or_else(|| find(to, from).map(|link| (link, true)))
    }

    /// Where the brokers begin.
    pub fn left(&self) -> f64 {
        self.brokers.iter().map(|broker| broker.rect.x).reduce(f64::min).unwrap_or(MARGIN)
    }

    pub fn broker(&self, id: i32) -> Option<&BrokerPlace> {
        self.brokers.iter().find(|broker| broker.id == id)
    }
}

/// Between producers and brokers, where the links curve; below the brokers; between brokers that stand below each other.
#[derive(Clone, Copy)]
struct Spaces {
    above: f64,
    below: f64,
    between: f64,
}

/// In which row and column each broker stands.
struct Grid {
    columns: usize,
    /// By broker.
    cells: Vec<(usize, usize)>,
    /// Racks as columns.
    racks: Vec<String>,
}

impl Grid {
    fn candidates(brokers: &[BrokerShape]) -> Vec<Grid> {
        let mut racks: Vec<String> = brokers.iter().filter_map(|broker| broker.rack.clone()).collect();
        racks.sort();
        racks.dedup();
        let all_racked = brokers.iter().all(|broker| broker.rack.is_some());
        if all_racked && racks.len() > 1 && racks.len() < brokers.len() {
            return vec![Grid::of_racks(brokers, racks)];
        }
        (1..=brokers.len().max(1)).rev().map(|columns| Grid::flowing(brokers.len(), columns)).collect()
    }

    fn of_racks(brokers: &[BrokerShape], racks: Vec<String>) -> Grid {
        let mut filled = vec![0; racks.len()];
        let place = |broker: &BrokerShape| {
            let column = racks.iter().position(|rack| Some(rack) == broker.rack.as_ref()).unwrap_or(0);
            filled[column] += 1;
            (filled[column] - 1, column)
        };
        let cells = brokers.iter().map(place).collect();
        Grid { columns: racks.len(), cells, racks }
    }

    fn flowing(brokers: usize, columns: usize) -> Grid {
        Grid { columns, cells: (0..brokers).map(|i| (i / columns, i % columns)).collect(), racks: Vec::new() }
    }

    fn rows(&self) -> usize {
        self.cells.iter().map(|(row, _)| row + 1).max().unwrap_or(0)
    }
}

fn arrange(shape: &Shape, grid: &Grid, density: Density) -> Layout {
    let spaces = density.spaces();
    let banded = !grid.racks.is_empty();
    let gap = if banded { GAP + 18.0 } else { GAP };
    let grid_width = grid.columns as f64 * (CARD_WIDTH + gap) - gap;
    let least = 3.0 * CLIENT_WIDTH.1 + 2.0 * GAP;
    let inner = if shape.brokers.is_empty() { least } else { grid_width.max(least) };
    let mut layout = Layout { density, ..Layout::default() };

    let above = shape.producers.len() + shape.guests.len() + usize::from(shape.editable);
    let (mut places, bottom) = client_rows(above, inner, TOP, CLIENT_HEIGHT);
    layout.add_producer = if shape.editable { places.pop() } else { None };
    let mut places = places.into_iter();
    layout.producers = shape.producers.iter().cloned().zip(places.by_ref()).collect();
    layout.guests = shape.guests.iter().cloned().zip(places).collect();

    let top = if above == 0 { TOP + 30.0 } else { bottom + spaces.above };
    place_brokers(&mut layout, shape, grid, gap, MARGIN + (inner - grid_width) / 2.0, top);
    let brokers_bottom = layout.brokers.iter().map(|broker| broker.rect.bottom()).fold(top, f64::max);
    if shape.editable && !shape.brokers.is_empty() {
        layout.add_topic = Some(rect(MARGIN + (inner + grid_width) / 2.0 - 76.0, top - 36.0, 76.0, 24.0));
    }

    let below = shape.consumers.len() + usize::from(shape.editable);
    let most = shape.consumers.iter().map(|consumer| consumer.positions).max().unwrap_or(0);
    let lines = most.min(density.max_positions()) + usize::from(most > density.max_positions());
    let height = if shape.consumers.is_empty() { CLIENT_HEIGHT } else { 44.0 + POSITION_HEIGHT * lines.max(1) as f64 };
    let (mut places, bottom) = client_rows(below, inner, brokers_bottom + spaces.below, height);
    layout.add_consumer = if shape.editable { places.pop() } else { None };
    layout.consumers = shape.consumers.iter().map(|consumer| consumer.name.clone()).zip(places).collect();

    let bottom = if below == 0 { brokers_bottom } else { bottom };
    layout.size = Size { width: inner + 2.0 * MARGIN, height: bottom + TOP };
    connect(&mut layout, shape);
    layout
}

fn place_brokers(layout: &mut Layout, shape: &Shape, grid: &Grid, gap: f64, left: f64, top: f64) {
    let density = layout.density;
    let between = density.spaces().between;
    let most = shape.brokers.iter().map(|broker| broker.rows).max().unwrap_or(0);
    let rows = most.clamp(1, density.max_rows());
    let fold = if most > density.max_rows() { FOLD_HEIGHT } else { 4.0 };
    let height = HEAD_HEIGHT + rows as f64 * density.row_height() + fold;
    for (broker, &(row, column)) in shape.brokers.iter().zip(&grid.cells) {
        let x = left + column as f64 * (CARD_WIDTH + gap);
        let y = top + row as f64 * (height + between);
        let rect = rect(x, y, CARD_WIDTH, height);
        layout.brokers.push(BrokerPlace { id: broker.id, name: broker.name.clone(), rect, rows, row, column });
        if let (true, Some(rack)) = (grid.racks.is_empty(), &broker.rack) {
            layout.racks.push(RackPlace { name: rack.clone(), label: point(x, y - 9.0), band: None });
        }
    }
    let bottom = top + grid.rows() as f64 * (height + between) - between;
    for (column, rack) in grid.racks.iter().enumerate() {
        let x = left + column as f64 * (CARD_WIDTH + gap);
        let band = rect(x - 12.0, top - 14.0, CARD_WIDTH + 24.0, bottom - top + 26.0);
        layout.racks.push(RackPlace { name: rack.clone(), label: point(x - 8.0, top - 21.0), band: Some(band) });
    }
}

/// Boxes in as few rows as fit, each row in the middle. Gives the bottom too.
fn client_rows(count: usize, inner: f64, top: f64, height: f64) -> (Vec<Rect>, f64) {
    let fit = (((inner + GAP) / (CLIENT_WIDTH.0 + GAP)) as usize).max(1);
    let rows = count.div_ceil(fit).max(1);
    let per_row = count.div_ceil(rows).max(1);
    let width = ((inner + GAP) / per_row as f64 - GAP).clamp(CLIENT_WIDTH.0, CLIENT_WIDTH.1);
    let mut places = Vec::new();
    let mut y = top;
    for row in 0..rows {
        let here = per_row.min(count - (row * per_row).min(count));
        let x = MARGIN + (inner - (here as f64 * (width + GAP) - GAP)) / 2.0;
        places.extend((0..here).map(|i| rect(x + i as f64 * (width + GAP), y, width, height)));
        y += height + GAP;
    }
    (places, y - GAP)
}

fn connect(layout: &mut Layout, shape: &Shape) {
    for link in &shape.links {
        let Some(path) = path(layout, &link.from, &link.to) else { continue };
        layout.routes.entry(link.from.clone()).or_default().insert(link.to.clone(), layout.links.len());
        layout.links.push(LinkPlace { from: link.from.clone(), to: link.to.clone(), cut: link.cut, path });
    }
}

fn path(layout: &Layout, from: &str, to: &str) -> Option<Path> {
    let broker = |name: &str| layout.brokers.iter().find(|broker| broker.name == name);
    let client = |places: &[(String, Rect)]| places.iter().find(|(name, _)| name == from).map(|(_, rect)| *rect);
    let target = broker(to)?;
    if let Some(source) = broker(from) {
        return Some(between(layout.density.spaces(), source, target));
    }
    if let Some(source) = client(&layout.producers).or_else(|| client(&layout.guests)) {
        let others = layout.producers.iter().chain(&layout.guests).map(|(_, rect)| *rect).chain(layout.add_producer);
        let rows = rows(others.filter(|other| other.y > source.bottom()), |row| row.y);
        return Some(down(layout, past(source.bottom_center(), 1.0, rows), target));
    }
    client(&layout.consumers).map(|source| {
        let others = layout.consumers.iter().map(|(_, rect)| *rect).chain(layout.add_consumer);
        let rows = rows(others.filter(|other| other.bottom() < source.y), |row| -row.y);
        up(layout, past(source.top_center(), -1.0, rows), target)
    })
}

/// Boxes by the row that they stand in, the nearest row first.
fn rows(boxes: impl Iterator<Item = Rect>, far: impl Fn(&Rect) -> f64) -> Vec<Vec<Rect>> {
    let mut boxes: Vec<Rect> = boxes.collect();
    boxes.arrange_by(|a, b| far(a).total_cmp(&far(b)));
    boxes.chunk_by(|a, b| a.y == b.y).map(<[Rect]>::to_vec).collect()
}

/// From a box through the gaps of the rows before it, down (1) or up (−1); also where that ends.
fn past(start: Point, way: f64, rows: Vec<Vec<Rect>>) -> (Path, Point) {
    let mut path = Path::from(start);
    let mut at = start;
    for row in rows {
        let (enter, leave) = if way > 0.0 { (row[0].y, row[0].bottom()) } else { (row[0].bottom(), row[0].y) };
        if !row.iter().any(|other| at.x > other.x - 4.0 && at.x < other.right() + 4.0) {
            at = point(at.x, leave);
            path = path.line(at);
            continue;
        }
        let gaps = row.iter().flat_map(|other| [other.x - GAP / 2.0, other.right() + GAP / 2.0]);
        let Some(gap) = gaps.min_by(|a, b| (a - at.x).abs().total_cmp(&(b - at.x).abs())) else { continue };
        let middle = (at.y + enter) / 2.0;
        path = path.curve(point(at.x, middle), point(gap, middle), point(gap, enter)).line(point(gap, leave));
        at = point(gap, leave);
    }
    (path, at)
}

/// From above to a broker; past other brokers through the gap beside them.
fn down(layout: &Layout, (path, start): (Path, Point), target: &BrokerPlace) -> Path {
    let end = target.rect.top_center();
    if target.row == 0 {
        return fall(path, start, end);
    }
    let first = layout.brokers.iter().find(|broker| broker.row == 0).map_or(end.y, |broker| broker.rect.y);
    let (gutter, side) = gutter(start, target);
    let enter = point(gutter, first - 6.0);
    let leave = point(gutter, target.rect.y - layout.density.spaces().between / 2.0);
    let end = point(end.x - side * 70.0, end.y);
    let path = fall(path, start, enter).line(leave);
    path.curve(point(gutter, end.y - 8.0), point(end.x, end.y - 26.0), end)
}

/// From below to a broker.
fn up(layout: &Layout, (path, start): (Path, Point), target: &BrokerPlace) -> Path {
    let end = target.rect.bottom_center();
    let lowest = layout.brokers.iter().filter(|broker| broker.column == target.column).map(|broker| broker.row).max();
    let bottom = layout.brokers.iter().map(|broker| broker.rect.bottom()).fold(0.0, f64::max);
    if lowest == Some(target.row) {
        return fall(path, start, end);
    }
    let (gutter, side) = gutter(start, target);
    let enter = point(gutter, bottom + 6.0);
    let leave = point(gutter, target.rect.bottom() + layout.density.spaces().between / 2.0);
    let end = point(end.x - side * 70.0, end.y);
    let path = fall(path, start, enter).line(leave);
    path.curve(point(gutter, end.y + 8.0), point(end.x, end.y + 26.0), end)
}

/// The gap beside a card that is nearer to `start`, and on which side of the card's middle that is not.
fn gutter(start: Point, target: &BrokerPlace) -> (f64, f64) {
    let rect = target.rect;
    if start.x <= rect.center().x { (rect.x - GAP / 2.0 - 4.0, 1.0) } else { (rect.right() + GAP / 2.0 + 4.0, -1.0) }
}

fn fall(path: Path, start: Point, end: Point) -> Path {
    let drop = end.y - start.y;
    path.curve(point(start.x, start.y + drop * 0.5), point(end.x, end.y - drop * 0.6), end)
}

/// From broker to broker, `a` before `b`: over the cards of a row, or through the space between rows.
fn between(spaces: Spaces, a: &BrokerPlace, b: &BrokerPlace) -> Path {
    if a.row == b.row {
        let (left, right) = if a.column < b.column { (a, b) } else { (b, a) };
        let room = if a.row == 0 { spaces.above - 30.0 } else { spaces.between - 12.0 };
        let far = (right.column - left.column) as f64;
        let rise = (30.0 + 14.0 * (far - 1.0)).min(room);
        let start = point(left.rect.right() - 44.0, left.rect.y);
        let end = point(right.rect.x + 68.0, right.rect.y);
        let (start, end) = if a.column < b.column { (start, end) } else { (end, start) };
        let height = start.y - rise * 4.0 / 3.0;
        return Path::from(start).curve(point(start.x, height), point(end.x, height), end);
    }
    let (upper, lower) = if a.row < b.row { (a, b) } else { (b, a) };
    let start = point(upper.rect.center().x + 40.0, upper.rect.bottom());
    let end = point(lower.rect.center().x + 40.0, lower.rect.y);
    let path = if lower.row == upper.row + 1 {
        fall(Path::from(start), start, end)
    } else {
        let x = lower.rect.right() + GAP / 2.0 + 4.0;
        let enter = point(x, upper.rect.bottom() + spaces.between);
        let leave = point(x, lower.rect.y - spaces.between / 2.0);
        let path = fall(Path::from(start), start, enter).line(leave);
        path.curve(point(x, end.y - 8.0), point(end.x, end.y - 26.0), end)
    };
    if a.row < b.row { path } else { path.reversed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::shape::{ConsumerShape, LinkShape};

    fn shape(brokers: usize, clients: usize, rows: usize, racks: usize) -> Shape {
        let broker = |i: usize| BrokerShape {
            id: i as i32 + 1,
            name: format!("broker-{}", i + 1),
            rack: (racks > 0).then(|| format!("r{}", i % racks.max(1))),
            rows,
        };
        let brokers: Vec<BrokerShape> = (0..brokers).map(broker).collect();
        let producers: Vec<String> = (0..clients).map(|i| format!("p{}", i + 1)).collect();
        let consumers: Vec<ConsumerShape> =
            (0..clients).map(|i| ConsumerShape { name: format!("c{}", i + 1), positions: i }).collect();
        let mut links = Vec::new();
        for (i, broker) in brokers.iter().enumerate() {
            let clients = producers.iter().chain(consumers.iter().map(|consumer| &consumer.name));
            let lower = brokers[..i].iter().map(|broker| &broker.name);
            links.extend(clients.chain(lower).map(|from| (from.clone(), broker.name.clone())));
        }
        let links = links.into_iter().map(|(from, to)| LinkShape { from, to, cut: false }).collect();
        Shape { brokers, producers, consumers, guests: vec!["admin".into()], links, editable: true }
    }

    fn boxes(layout: &Layout) -> Vec<Rect> {
        let clients = [&layout.producers, &layout.consumers, &layout.guests];
        (layout.brokers.iter().map(|broker| broker.rect))
            .chain(clients.into_iter().flatten().map(|(_, rect)| *rect))
            .chain([layout.add_producer, layout.add_topic, layout.add_consumer].into_iter().flatten())
            .collect()
    }

    fn worlds() -> impl Iterator<Item = (Shape, Layout)> {
        let sizes = [DESK, Size { width: 390.0, height: 560.0 }, Size { width: 1600.0, height: 900.0 }];
        let numbers = (0..=12).flat_map(|brokers| [0, 1, 3, 8].map(|clients| (brokers, clients)));
        let shapes = numbers.flat_map(|(brokers, clients)| {
            [(0, 0), (4, 3), (60, 0), (3, 2)].map(|(rows, racks)| shape(brokers, clients, rows, racks))
        });
        shapes.flat_map(move |shape| sizes.map(|size| (shape.clone(), layout(&shape, size))))
    }

    #[test]
    fn nothing_overlaps_and_nothing_is_outside() {
        for (shape, layout) in worlds() {
            let boxes = boxes(&layout);
            let expected = shape.brokers.len() + shape.producers.len() + shape.consumers.len() + 1;
            assert!(boxes.len() >= expected, "{} of {expected}", boxes.len());
            for (i, a) in boxes.iter().enumerate() {
                assert!(a.x >= 0.0 && a.y >= 0.0 && a.right() <= layout.size.width && a.bottom() <= layout.size.height);
                assert!(boxes[..i].iter().all(|b| !a.overlaps(b)), "{a:?} overlaps in {shape:?}");
            }
        }
    }

    #[test]
    fn every_link_joins_the_edges_of_its_boxes() {
        for (shape, layout) in worlds() {
            assert_eq!(layout.links.len(), shape.links.len());
            for link in &layout.links {
                let on_edge = |name: &str, at: Point| {
                    let broker = layout.brokers.iter().find(|broker| broker.name == name).map(|broker| broker.rect);
                    let client = (layout.producers.iter().chain(&layout.consumers)).find(|(client, _)| client == name);
                    let rect = broker.or(client.map(|(_, rect)| *rect)).unwrap();
                    at.x >= rect.x
                        && at.x <= rect.right()
                        && ((at.y - rect.y).abs() < 0.01 || (at.y - rect.bottom()).abs() < 0.01)
                };
                assert!(on_edge(&link.from, link.path.at(0.0)), "{} → {}", link.from, link.to);
                assert!(on_edge(&link.to, link.path.at(1.0)), "{} → {}", link.from, link.to);
            }
        }
    }

    #[test]
    fn no_link_runs_behind_another_client() {
        for (_, layout) in worlds() {
            let clients = layout.producers.iter().chain(&layout.consumers).chain(&layout.guests);
            for (link, (name, rect)) in
                layout.links.iter().flat_map(|link| clients.clone().map(move |box_| (link, box_)))
            {
                let inner =
                    Rect { x: rect.x + 2.0, y: rect.y + 2.0, width: rect.width - 4.0, height: rect.height - 4.0 };
                let behind = link
                    .path
                    .points()
                    .any(|at| at.x > inner.x && at.x < inner.right() && at.y > inner.y && at.y < inner.bottom());
                assert!(!behind, "{} → {} runs behind {name}", link.from, link.to);
            }
        }
    }

    #[test]
    fn a_reply_runs_its_requests_way_back() {
        let layout = layout(&shape(3, 2, 4, 3), DESK);
        let (there, reversed) = layout.route("p1", "broker-3").unwrap();
        let (back, back_reversed) = layout.route("broker-3", "p1").unwrap();
        assert_eq!((there, reversed, back_reversed), (back, false, true));
        assert!(layout.route("p1", "nobody").is_none());
    }

    #[test]
    fn three_brokers_are_roomy_side_by_side_and_nine_are_racks_of_compact_cards() {
        for rows in [0, 1, 4] {
            let three = layout(&shape(3, 2, rows, 3), DESK);
            assert_eq!(three.density, Density::Roomy);
            assert!(three.brokers.iter().all(|broker| broker.rect.y == three.brokers[0].rect.y));
        }
        let nine = layout(&shape(9, 3, 12, 3), DESK);
        assert_eq!(nine.density, Density::Compact);
        assert_eq!(nine.racks.iter().filter(|rack| rack.band.is_some()).count(), 3);
        assert_eq!(nine.brokers[0].rows, Density::Compact.max_rows());
        assert_eq!(nine.brokers[0].rect.x, nine.brokers[3].rect.x, "a rack is a column");
    }
}
