//! Draws the marks on the canvas above the world: disc Produce, ring Fetch, diamond replica Fetch, square cluster, small
//! disc all else; a reply is the same mark, hollow.
//!
//! Every look is drawn once and stamped from then on: a thousand paths a frame are too many for a machine that draws
//! without a graphics card.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::f64::consts::TAU;

use leptos::prelude::document;
use leptos::wasm_bindgen::JsCast;
use ottla_core::arrange::Arrange;
use ottla_core::view::MessageKind;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::camera::{Camera, Size};
use super::geometry::{Path, Point};
use super::marks::Mark;

/// The tokens' colours as the canvas wants them: resolved for the theme of the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Palette {
    topics: Vec<String>,
    panel: String,
    ink: String,
    quiet: String,
    warn: String,
    control: String,
    on_accent: String,
}

impl Palette {
    /// How many hues topics share.
    pub const TOPICS: usize = 8;

    pub fn read(canvas: &HtmlCanvasElement) -> Palette {
        let resolve = |token: &str| {
            let _ = canvas.style().set_property("color", &format!("var(--{token})"));
            let computed = web_sys::window().and_then(|window| window.get_computed_style(canvas).ok().flatten());
            computed.and_then(|style| style.get_property_value("color").ok()).unwrap_or_else(|| "gray".into())
        };
        Palette {
            topics: (0..Self::TOPICS).map(|i| resolve(&format!("topic-{i}"))).collect(),
            panel: resolve("panel"),
            ink: resolve("ink"),
            quiet: resolve("ink-2"),
            warn: resolve("warn"),
            control: resolve("control"),
            on_accent: resolve("on-accent"),
        }
    }

    fn of(&self, mark: &Mark) -> &str {
        match (mark.error, mark.kind, mark.hue) {
            (true, ..) => &self.warn,
            (_, MessageKind::Cluster | MessageKind::ZooKeeper, _) => &self.control,
            (_, _, Some(hue)) => &self.topics[hue % self.topics.len()],
            _ => &self.quiet,
        }
    }
}

/// A mark that is held or walked over: it has a halo, and its way is drawn.
pub struct Lit<'a> {
    pub at: Point,
    pub way: Option<&'a Path>,
}

pub struct Frame<'a> {
    pub size: Size,
    pub pixel_ratio: f64,
    pub camera: Camera,
    pub marks: &'a [Mark],
    pub lit: Vec<Lit<'a>>,
}

/// What makes one mark look like another.
type Look = (MessageKind, bool, bool, Option<usize>, u32);

fn look(mark: &Mark) -> Look {
    (mark.kind, mark.response, mark.error, mark.hue, mark.count)
}

/// The looks that were drawn so far, for one theme.
pub struct Stamps {
    palette: Palette,
    /// The marks' size in the canvas's pixels; with another one all looks are drawn anew.
    scale: f64,
    drawn: BTreeMap<Look, Stamp>,
}

struct Stamp {
    canvas: HtmlCanvasElement,
    /// From its middle to its edge, in CSS pixels.
    reach: f64,
}

impl Stamps {
    /// Counts make many looks; old ones are forgotten together.
    const MOST: usize = 1_000;

    pub fn new(palette: Palette) -> Stamps {
        Stamps { palette, scale: 0.0, drawn: BTreeMap::new() }
    }

    fn prepare(&mut self, scale: f64) {
        if self.scale != scale || self.drawn.len() > Self::MOST {
            self.drawn.clear();
            self.scale = scale;
        }
    }

    fn of(&mut self, mark: &Mark, size: f64) -> Option<&Stamp> {
        let palette = &self.palette;
        match self.drawn.entry(look(mark)) {
            Entry::Occupied(stamp) => Some(stamp.into_mut()),
            Entry::Vacant(place) => Some(place.insert(Stamp::draw(palette, mark, size, self.scale / size)?)),
        }
    }
}

impl Stamp {
    fn draw(palette: &Palette, mark: &Mark, size: f64, pixel_ratio: f64) -> Option<Stamp> {
        // A small disc has its number beside it.
        let reach = (radius(mark) * 1.25 + 2.0 + if beside(mark) { 14.0 } else { 0.0 }) * size;
        let side = (2.0 * reach * pixel_ratio).ceil();
        let canvas = document().create_element("canvas").ok()?.dyn_into::<HtmlCanvasElement>().ok()?;
        canvas.set_width(side as u32);
        canvas.set_height(side as u32);
        let context = canvas.get_context("2d").ok()??.dyn_into::<CanvasRenderingContext2d>().ok()?;
        // The mark stands in the middle, in units of its own size.
        let unit = size * pixel_ratio;
        context.set_transform(unit, 0.0, 0.0, unit, side / 2.0, side / 2.0).ok()?;
        draw_mark(&context, palette, mark);
        Some(Stamp { canvas, reach: side / pixel_ratio / 2.0 })
    }
}

/// Draws one frame; what was there before is gone.
pub fn draw(canvas: &HtmlCanvasElement, stamps: &mut Stamps, frame: &Frame) {
    let context = canvas.get_context("2d").ok().flatten();
    let Some(context) = context.and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok()) else { return };
    let (width, height) = (frame.size.width * frame.pixel_ratio, frame.size.height * frame.pixel_ratio);
    if (canvas.width(), canvas.height()) != (width as u32, height as u32) {
        canvas.set_width(width as u32);
        canvas.set_height(height as u32);
    }
    let _ = context.set_transform(frame.pixel_ratio, 0.0, 0.0, frame.pixel_ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, frame.size.width, frame.size.height);
    for lit in &frame.lit {
        draw_lit(&context, &stamps.palette, frame.camera, lit);
    }
    let size = frame.camera.scale.clamp(0.8, 1.3);
    stamps.prepare(size * frame.pixel_ratio);
    let seen =
        |at: Point| at.x > -20.0 && at.y > -20.0 && at.x < frame.size.width + 20.0 && at.y < frame.size.height + 20.0;
    let mut placed: Vec<(&Mark, Point)> =
        frame.marks.iter().map(|mark| (mark, frame.camera.to_screen(mark.at))).filter(|(_, at)| seen(*at)).collect();
    placed.arrange_by_key(|(mark, _)| look(mark));
    for (mark, at) in placed {
        let Some(Stamp { canvas, reach }) = stamps.of(mark, size) else { continue };
        let _ = context.draw_image_with_html_canvas_element_and_dw_and_dh(
            canvas,
            at.x - reach,
            at.y - reach,
            2.0 * reach,
            2.0 * reach,
        );
    }
}

fn radius(mark: &Mark) -> f64 {
    if mark.count > 1 { 5.4 + f64::from(mark.count).log2() * 0.9 } else { 5.2 }
}

fn beside(mark: &Mark) -> bool {
    mark.count > 1 && mark.kind == MessageKind::Other
}

fn draw_lit(context: &CanvasRenderingContext2d, palette: &Palette, camera: Camera, lit: &Lit) {
    context.set_stroke_style_str(&palette.topics[0]);
    if let Some(way) = lit.way {
        context.set_line_width(1.8);
        context.begin_path();
        let start = camera.to_screen(way.start());
        context.move_to(start.x, start.y);
        for [a, b, end] in way.curves().iter().map(|curve| curve.map(|point| camera.to_screen(point))) {
            context.bezier_curve_to(a.x, a.y, b.x, b.y, end.x, end.y);
        }
        context.stroke();
    }
    let at = camera.to_screen(lit.at);
    context.set_line_width(2.0);
    context.begin_path();
    let _ = context.arc(at.x, at.y, 12.0, 0.0, TAU);
    context.set_fill_style_str(&palette.panel);
    context.fill();
    context.stroke();
}

/// One mark at the origin, in CSS pixels of a world that is shown at its own size.
fn draw_mark(context: &CanvasRenderingContext2d, palette: &Palette, mark: &Mark) {
    let colour = palette.of(mark);
    // A ring's request has its middle filled, its reply is two thin lines.
    let ring = mark.kind == MessageKind::Fetch;
    let hollow = mark.response || ring;
    let r = radius(mark);
    context.set_stroke_style_str(colour);
    context.set_fill_style_str(if hollow { &palette.panel } else { colour });
    context.set_line_width(2.0);
    context.begin_path();
    outline(context, mark.kind, r);
    context.fill();
    context.stroke();
    if ring && mark.count == 1 && !mark.error {
        context.set_fill_style_str(colour);
        context.set_line_width(1.0);
        context.begin_path();
        circle(context, r * 0.4);
        if mark.response { context.stroke() } else { context.fill() }
    }
    if mark.count > 1 {
        draw_count(context, palette, mark);
    } else if mark.error {
        draw_cross(context, palette, hollow);
    }
}

fn outline(context: &CanvasRenderingContext2d, kind: MessageKind, r: f64) {
    match kind {
        MessageKind::Produce | MessageKind::Fetch => circle(context, r),
        MessageKind::ReplicaFetch => {
            let r = r * 1.25;
            context.move_to(0.0, -r);
            context.line_to(r, 0.0);
            context.line_to(0.0, r);
            context.line_to(-r, 0.0);
            context.close_path();
        }
        MessageKind::Cluster => context.rect(-r * 0.85, -r * 0.85, r * 1.7, r * 1.7),
        MessageKind::ZooKeeper => {
            let r = r * 1.15;
            context.move_to(0.0, -r);
            context.line_to(r, r * 0.8);
            context.line_to(-r, r * 0.8);
            context.close_path();
        }
        MessageKind::Other => circle(context, r * 0.62),
    }
}

fn circle(context: &CanvasRenderingContext2d, r: f64) {
    context.move_to(r, 0.0);
    let _ = context.arc(0.0, 0.0, r, 0.0, TAU);
}

fn draw_count(context: &CanvasRenderingContext2d, palette: &Palette, mark: &Mark) {
    let hollow = mark.response || mark.kind == MessageKind::Fetch;
    context.set_text_align("center");
    context.set_text_baseline("middle");
    context.set_font("600 8.5px system-ui, sans-serif");
    context.set_fill_style_str(if hollow || beside(mark) { &palette.ink } else { &palette.on_accent });
    let x = if beside(mark) { radius(mark) * 1.5 } else { 0.0 };
    let _ = context.fill_text(&mark.count.to_string(), x, 0.5);
}

fn draw_cross(context: &CanvasRenderingContext2d, palette: &Palette, hollow: bool) {
    context.set_stroke_style_str(if hollow { &palette.warn } else { &palette.panel });
    context.set_line_width(1.6);
    context.begin_path();
    let arm = 2.4;
    for sign in [-1.0, 1.0] {
        context.move_to(-arm, -arm * sign);
        context.line_to(arm, arm * sign);
    }
    context.stroke();
}
