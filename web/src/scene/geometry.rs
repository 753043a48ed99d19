//! Points, rectangles and the curved paths that messages travel.

/// In units of the world; at scale 1 one unit is one CSS pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

pub const fn point(x: f64, y: f64) -> Point {
    Point { x, y }
}

impl Point {
    pub fn distance(self, other: Point) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    fn toward(self, other: Point, t: f64) -> Point {
        point(self.x + (other.x - self.x) * t, self.y + (other.y - self.y) * t)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

pub const fn rect(x: f64, y: f64, width: f64, height: f64) -> Rect {
    Rect { x, y, width, height }
}

impl Rect {
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    pub fn center(&self) -> Point {
        point(self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    pub fn top_center(&self) -> Point {
        point(self.center().x, self.y)
    }

    pub fn bottom_center(&self) -> Point {
        point(self.center().x, self.bottom())
    }

    #[cfg(test)]
    pub fn overlaps(&self, other: &Rect) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
}

/// A chain of cubic Bézier curves that knows where it is after any part of its length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    start: Point,
    curves: Vec<[Point; 3]>,
    /// Points on the way, at equal steps of the curves' parameter, and how far each lies from the start.
    samples: Vec<(Point, f64)>,
}

impl Path {
    /// Samples a curve; the marks on it are a few pixels wide, so that straight lines between them do.
    const STEPS: usize = 16;

    pub fn from(start: Point) -> Path {
        Path { start, curves: Vec::new(), samples: vec![(start, 0.0)] }
    }

    pub fn curve(mut self, control_1: Point, control_2: Point, end: Point) -> Path {
        let (mut last, mut length) = self.samples[self.samples.len() - 1];
        let start = last;
        for step in 1..=Self::STEPS {
            let next = cubic(start, control_1, control_2, end, step as f64 / Self::STEPS as f64);
            length += last.distance(next);
            self.samples.push((next, length));
            last = next;
        }
        self.curves.push([control_1, control_2, end]);
        self
    }

    pub fn line(self, end: Point) -> Path {
        let start = self.samples[self.samples.len() - 1].0;
        self.curve(start.toward(end, 1.0 / 3.0), start.toward(end, 2.0 / 3.0), end)
    }

    pub fn reversed(&self) -> Path {
        let ends = std::iter::once(self.start).chain(self.curves.iter().map(|curve| curve[2]));
        let starts: Vec<Point> = ends.collect();
        let path = Path::from(starts[starts.len() - 1]);
        let back = self.curves.iter().zip(&starts).rev();
        back.fold(path, |path, ([a, b, _], start)| path.curve(*b, *a, *start))
    }

    pub fn length(&self) -> f64 {
        self.samples[self.samples.len() - 1].1
    }

    /// The point after the part `t` of the length, 0 to 1.
    pub fn at(&self, t: f64) -> Point {
        let goal = t.clamp(0.0, 1.0) * self.length();
        let next = self.samples.partition_point(|(_, length)| *length < goal);
        let Some(&(there, after)) = self.samples.get(next) else { return self.samples[self.samples.len() - 1].0 };
        if next == 0 {
            return there;
        }
        let (here, before) = self.samples[next - 1];
        if after > before { here.toward(there, (goal - before) / (after - before)) } else { here }
    }

    pub fn start(&self) -> Point {
        self.start
    }

    /// Two control points and an end each.
    pub fn curves(&self) -> &[[Point; 3]] {
        &self.curves
    }

    #[cfg(test)]
    pub fn points(&self) -> impl Iterator<Item = Point> {
        self.samples.iter().map(|(point, _)| *point)
    }

    /// As the `d` of an SVG path.
    pub fn d(&self) -> String {
        use std::fmt::Write;
        let mut d = format!("M{:.1} {:.1}", self.start.x, self.start.y);
        for [a, b, end] in &self.curves {
            let _ = write!(d, "C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a.x, a.y, b.x, b.y, end.x, end.y);
        }
        d
    }
}

fn cubic(a: Point, b: Point, c: Point, d: Point, t: f64) -> Point {
    let s = 1.0 - t;
    let (wa, wb, wc, wd) = (s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t);
    point(wa * a.x + wb * b.x + wc * c.x + wd * d.x, wa * a.y + wb * b.y + wc * c.y + wd * d.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_move_evenly_along_a_bent_path() {
        let path = Path::from(point(0.0, 0.0))
            .curve(point(0.0, 90.0), point(10.0, 100.0), point(100.0, 100.0))
            .line(point(400.0, 100.0));
        assert_eq!((path.at(0.0), path.at(1.0)), (point(0.0, 0.0), point(400.0, 100.0)));
        let step = path.length() / 50.0;
        for i in 0..50 {
            let walked = path.at(f64::from(i) / 50.0).distance(path.at(f64::from(i + 1) / 50.0));
            assert!(walked <= step * 1.001 && walked > step * 0.97, "step {i}: {walked} of {step}");
        }
    }
}
