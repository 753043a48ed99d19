//! Which part of the world the stage shows: pan and zoom.

use super::geometry::{Point, point};
use super::layout::{CARD_WIDTH, GAP};

/// `screen = world × scale + (x, y)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    pub scale: f64,
    pub x: f64,
    pub y: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    pub width: f64,
    pub height: f64,
}

impl Camera {
    const CLOSEST: f64 = 3.0;
    const FARTHEST: f64 = 0.15;
    /// What a narrow stage shows at least, in units of the world: two brokers' cards, whole.
    const COLUMNS: f64 = 2.0 * CARD_WIDTH + GAP + 2.0 * Self::EDGE;
    const EDGE: f64 = 10.0;
    /// A small world is not blown up further than this.
    const ENOUGH: f64 = 1.15;
    /// Wider than this, a stage shows the whole world at first.
    const WIDE: f64 = 600.0;
    /// Unless it is lower than this (a phone on its side): then it shows what can be read, from the top.
    const LOW: f64 = 300.0;
    const LEGIBLE: f64 = 0.6;

    /// Shows all of the world.
    pub fn fit(world: Size, stage: Size) -> Camera {
        let scale = scale_to_fit(world, stage);
        Camera {
            scale,
            x: (stage.width - world.width * scale) / 2.0,
            y: ((stage.height - world.height * scale) / 2.0).clamp(0.0, 24.0),
        }
    }

    /// What is shown before a hand has moved anything: all, or on a phone as much as can be read, from `left` on.
    pub fn first(world: Size, left: f64, stage: Size) -> Camera {
        let all = Camera::fit(world, stage);
        if stage.width >= Self::WIDE && stage.height < Self::LOW && all.scale < Self::LEGIBLE {
            let scale = Self::LEGIBLE;
            let x = ((stage.width - world.width * scale) / 2.0).max((Self::EDGE - left) * scale);
            return Camera { scale, x, y: all.y };
        }
        let scale = stage.width / Self::COLUMNS;
        if stage.width >= Self::WIDE || all.scale >= scale {
            return all;
        }
        Camera { scale, x: (Self::EDGE - left) * scale, y: all.y }
    }

    pub fn zoom(self, factor: f64, at: Point) -> Camera {
        let scale = (self.scale * factor).clamp(Self::FARTHEST, Self::CLOSEST);
        let under = self.to_world(at);
        Camera { scale, x: at.x - under.x * scale, y: at.y - under.y * scale }
    }

    /// Moves the world, but never wholly out of sight.
    pub fn pan(self, dx: f64, dy: f64, world: Size, stage: Size) -> Camera {
        let keep = 80.0;
        Camera {
            x: (self.x + dx).clamp(keep - world.width * self.scale, stage.width - keep),
            y: (self.y + dy).clamp(keep - world.height * self.scale, stage.height - keep),
            ..self
        }
    }

    pub fn to_world(self, screen: Point) -> Point {
        point((screen.x - self.x) / self.scale, (screen.y - self.y) / self.scale)
    }

    pub fn to_screen(self, world: Point) -> Point {
        point(world.x * self.scale + self.x, world.y * self.scale + self.y)
    }
}

/// How large a world can be shown whole.
pub fn scale_to_fit(world: Size, stage: Size) -> f64 {
    (stage.width / world.width.max(1.0))
        .min(stage.height / world.height.max(1.0))
        .clamp(Camera::FARTHEST, Camera::ENOUGH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooming_keeps_the_point_under_the_hand() {
        let camera = Camera { scale: 0.7, x: 30.0, y: -12.0 };
        let hand = point(211.0, 340.0);
        let under = camera.to_world(hand);
        for factor in [0.5, 1.1, 2.0] {
            assert!(camera.zoom(factor, hand).to_screen(under).distance(hand) < 1e-9);
        }
    }

    #[test]
    fn a_phone_opens_readable_and_a_desk_opens_whole() {
        let world = Size { width: 824.0, height: 724.0 };
        let phone = Camera::first(world, 30.0, Size { width: 390.0, height: 600.0 });
        assert!(phone.scale > 0.7 && phone.to_screen(point(30.0, 0.0)).x > 0.0);
        assert!(phone.to_screen(point(30.0 + 2.0 * CARD_WIDTH + GAP, 0.0)).x < 390.0, "two cards are whole");
        let aside = Camera::first(world, 30.0, Size { width: 844.0, height: 206.0 });
        assert!(aside.scale >= 0.6 && aside.x > 0.0, "a phone on its side too");
        let desk = Size { width: 620.0, height: 700.0 };
        assert_eq!(Camera::first(world, 30.0, desk), Camera::fit(world, desk));
    }

    #[test]
    fn the_world_cannot_be_lost() {
        let (world, stage) = (Size { width: 800.0, height: 700.0 }, Size { width: 390.0, height: 600.0 });
        let camera = Camera::fit(world, stage).pan(1e6, -1e6, world, stage);
        let corner = camera.to_screen(point(0.0, world.height));
        assert!(corner.x < stage.width && corner.y > 0.0);
    }
}
