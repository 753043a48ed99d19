//! Draws the marks on the canvas above the world: disc Produce, ring Fetch, diamond replica Fetch, square cluster, small
//! disc all else; a reply is the same mark, hollow.

use std::f64::consts::TAU;

use leptos::wasm_bindgen::JsCast;
use ottla_core::sim::view::MessageKind;
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
    pub palette: &'a Palette,
    pub marks: &'a [Mark],
    pub lit: Vec<Lit<'a>>,
}

/// Draws one frame; what was there before is gone.
pub fn draw(canvas: &HtmlCanvasElement, frame: &Frame) {
    let context = canvas.get_context("2d").ok().flatten();
    let Some(context) = context.and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok()) else { return };
    let (width, height) = (frame.size.width * frame.pixel_ratio, frame.size.height * frame.pixel_ratio);
    if (canvas.width(), canvas.height()) != (width as u32, height as u32) {
        canvas.set_width(width as u32);
        canvas.set_height(height as u32);
    }
    let _ = context.set_transform(frame.pixel_ratio, 0.0, 0.0, frame.pixel_ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, frame.size.width, frame.size.height);
    context.set_text_align("center");
    context.set_text_baseline("middle");
    for lit in &frame.lit {
        draw_lit(&context, frame, lit);
    }
    let seen =
        |at: Point| at.x > -20.0 && at.y > -20.0 && at.x < frame.size.width + 20.0 && at.y < frame.size.height + 20.0;
    let mut placed: Vec<(&Mark, Point)> =
        frame.marks.iter().map(|mark| (mark, frame.camera.to_screen(mark.at))).filter(|(_, at)| seen(*at)).collect();
    placed.sort_by_key(|(mark, _)| style(mark));
    for group in placed.chunk_by(|(a, _), (b, _)| style(a) == style(b)) {
        draw_group(&context, frame, group, placed.len() <= APART);
    }
    context.set_font(&format!("600 {:.0}px system-ui, sans-serif", 8.5 * size(frame)));
    for (mark, at) in &placed {
        if mark.count > 1 {
            draw_count(&context, frame, mark, *at);
        } else if mark.error {
            draw_cross(&context, frame, mark, *at);
        }
    }
}

/// More marks than this are drawn a path for each look, not one by one: where they overlap, they cross.
const APART: usize = 100;

/// Marks of one style look the same but for their place and size.
fn style(mark: &Mark) -> (MessageKind, bool, bool, Option<usize>) {
    (mark.kind, mark.response, mark.error, mark.hue)
}

fn size(frame: &Frame) -> f64 {
    frame.camera.scale.clamp(0.8, 1.3)
}

fn radius(frame: &Frame, mark: &Mark) -> f64 {
    size(frame) * if mark.count > 1 { 5.4 + f64::from(mark.count).log2() * 0.9 } else { 5.2 }
}

fn draw_lit(context: &CanvasRenderingContext2d, frame: &Frame, lit: &Lit) {
    context.set_stroke_style_str(&frame.palette.topics[0]);
    if let Some(way) = lit.way {
        context.set_line_width(1.8);
        context.begin_path();
        for at in way.points().map(|point| frame.camera.to_screen(point)) {
            context.line_to(at.x, at.y);
        }
        context.stroke();
    }
    let at = frame.camera.to_screen(lit.at);
    context.set_line_width(2.0);
    context.begin_path();
    let _ = context.arc(at.x, at.y, 12.0, 0.0, TAU);
    context.set_fill_style_str(&frame.palette.panel);
    context.fill();
    context.stroke();
}

fn draw_group(context: &CanvasRenderingContext2d, frame: &Frame, group: &[(&Mark, Point)], apart: bool) {
    let Some((first, _)) = group.first() else { return };
    let colour = frame.palette.of(first);
    // A ring's request has its middle filled, its reply is two thin lines.
    let ring = first.kind == MessageKind::Fetch;
    let paint = |apart: bool, trace: &dyn Fn(&Mark, Point), fill: Option<&str>, line: f64| {
        context.set_stroke_style_str(colour);
        context.set_fill_style_str(fill.unwrap_or(colour));
        context.set_line_width(line);
        let finish = || {
            if fill.is_some() {
                context.fill();
            }
            if line > 0.0 {
                context.stroke();
            }
        };
        context.begin_path();
        for (mark, at) in group {
            trace(mark, *at);
            if apart {
                finish();
                context.begin_path();
            }
        }
        if !apart {
            finish();
        }
    };
    let hollow = first.response || ring;
    let fill = if hollow { frame.palette.panel.as_str() } else { colour };
    paint(apart, &|mark, at| outline(context, mark.kind, at, radius(frame, mark)), Some(fill), 2.0);
    if ring {
        let middle = |mark: &Mark, at: Point| {
            if mark.count == 1 && !mark.error {
                circle(context, at.x, at.y, radius(frame, mark) * 0.4);
            }
        };
        let (fill, line) = if first.response { (None, 1.0) } else { (Some(colour), 0.0) };
        paint(false, &middle, fill, line);
    }
}

fn outline(context: &CanvasRenderingContext2d, kind: MessageKind, at: Point, r: f64) {
    let Point { x, y } = at;
    match kind {
        MessageKind::Produce | MessageKind::Fetch => circle(context, x, y, r),
        MessageKind::ReplicaFetch => {
            let r = r * 1.25;
            context.move_to(x, y - r);
            context.line_to(x + r, y);
            context.line_to(x, y + r);
            context.line_to(x - r, y);
            context.close_path();
        }
        MessageKind::Cluster => context.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7),
        MessageKind::ZooKeeper => {
            let r = r * 1.15;
            context.move_to(x, y - r);
            context.line_to(x + r, y + r * 0.8);
            context.line_to(x - r, y + r * 0.8);
            context.close_path();
        }
        MessageKind::Other => circle(context, x, y, r * 0.62),
    }
}

fn circle(context: &CanvasRenderingContext2d, x: f64, y: f64, r: f64) {
    context.move_to(x + r, y);
    let _ = context.arc(x, y, r, 0.0, TAU);
}

fn draw_count(context: &CanvasRenderingContext2d, frame: &Frame, mark: &Mark, at: Point) {
    let hollow = mark.response || mark.kind == MessageKind::Fetch;
    // A small disc is too small for a number: it stands beside.
    let beside = mark.kind == MessageKind::Other;
    context.set_fill_style_str(if hollow || beside { &frame.palette.ink } else { &frame.palette.on_accent });
    let x = if beside { at.x + radius(frame, mark) * 1.5 } else { at.x };
    let _ = context.fill_text(&mark.count.to_string(), x, at.y + 0.5);
}

fn draw_cross(context: &CanvasRenderingContext2d, frame: &Frame, mark: &Mark, at: Point) {
    let colour =
        if mark.response || mark.kind == MessageKind::Fetch { &frame.palette.warn } else { &frame.palette.panel };
    context.set_stroke_style_str(colour);
    context.set_line_width(1.6);
    context.begin_path();
    let arm = 2.4;
    for sign in [-1.0, 1.0] {
        context.move_to(at.x - arm, at.y - arm * sign);
        context.line_to(at.x + arm, at.y + arm * sign);
    }
    context.stroke();
}
