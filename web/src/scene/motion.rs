//! The stage's size, its theme, and the hand that pans and zooms: pointer, two fingers, wheel, keys.

use std::sync::Arc;

use leptos::ev::{KeyboardEvent, PointerEvent, WheelEvent};
use leptos::prelude::*;
use leptos::wasm_bindgen::prelude::Closure;
use leptos::wasm_bindgen::{JsCast, JsValue};
use web_sys::{MediaQueryList, MutationObserver, MutationObserverInit, ResizeObserver};

use super::camera::{Camera, Size};
use super::geometry::{Point, point};
use super::layout::Layout;

#[derive(Clone, Copy)]
pub struct Motion {
    /// Of the stage, in CSS pixels.
    pub size: RwSignal<Size>,
    /// What the legend and the tools take of its height.
    foot: RwSignal<f64>,
    /// Counts the times that the theme may have changed.
    pub theme: RwSignal<u32>,
    pub dragging: RwSignal<bool>,
    /// Where the hand has put the camera; `None` follows the world.
    moved: RwSignal<Option<Camera>>,
    current: StoredValue<(Camera, Size)>,
    /// Where the brokers begin.
    left: StoredValue<f64>,
    fingers: StoredValue<Vec<Finger>>,
    calm: StoredValue<Option<MediaQueryList>, LocalStorage>,
}

/// What lies between the stage's lower edge and the legend.
const FOOT_MARGIN: f64 = 12.0;
const LEAST_FOOT: f64 = 44.0;

/// What of the stage is not under its foot.
fn shown(size: Size, foot: f64) -> Size {
    Size { height: (size.height - foot).max(1.0), ..size }
}

#[derive(Clone, Copy, PartialEq)]
struct Finger {
    id: i32,
    start: Point,
    at: Point,
}

impl Motion {
    /// A finger that moves less than this has not dragged but pressed.
    const STILL: f64 = 5.0;

    pub fn new(stage: NodeRef<leptos::html::Div>) -> Motion {
        let media = |query: &str| window().match_media(query).ok().flatten();
        let motion = Motion {
            size: RwSignal::new(Size { width: 0.0, height: 0.0 }),
            foot: RwSignal::new(LEAST_FOOT),
            theme: RwSignal::new(0),
            dragging: RwSignal::new(false),
            moved: RwSignal::new(None),
            current: StoredValue::new((Camera { scale: 1.0, x: 0.0, y: 0.0 }, Size::default())),
            left: StoredValue::new(0.0),
            fingers: StoredValue::new(Vec::new()),
            calm: StoredValue::new_local(media("(prefers-reduced-motion: reduce)")),
        };
        motion.watch_theme(media("(prefers-color-scheme: dark)"));
        Effect::new(move |_| {
            if let Some(stage) = stage.get() {
                motion.watch_size(stage);
            }
        });
        motion
    }

    fn watch_size(self, stage: web_sys::HtmlDivElement) {
        let measured = stage.clone();
        let foot = stage.query_selector(".stage-foot").ok().flatten();
        let beneath = foot.clone();
        let measure = Closure::<dyn FnMut()>::new(move || {
            let (width, height) = (f64::from(measured.client_width()), f64::from(measured.client_height()));
            let _ = self.size.try_set(Size { width, height });
            let foot = beneath.as_ref().map_or(0.0, |foot| f64::from(foot.client_height()) + FOOT_MARGIN);
            let _ = self.foot.try_set(foot.clamp(LEAST_FOOT, (height / 4.0).max(LEAST_FOOT)));
        });
        if let Ok(observer) = ResizeObserver::new(measure.as_ref().unchecked_ref()) {
            observer.observe(&stage);
            // It grows with what there is to explain.
            foot.iter().for_each(|foot| observer.observe(foot));
            let kept = StoredValue::new_local((observer, measure));
            on_cleanup(move || kept.with_value(|(observer, _)| observer.disconnect()));
        }
    }

    fn watch_theme(self, dark: Option<MediaQueryList>) {
        let changed = Closure::<dyn FnMut()>::new(move || {
            let _ = self.theme.try_update(|times| *times += 1);
        });
        if let Some(dark) = &dark {
            dark.set_onchange(Some(changed.as_ref().unchecked_ref()));
        }
        let root = document().document_element();
        let observer = MutationObserver::new(changed.as_ref().unchecked_ref()).ok();
        if let (Some(root), Some(observer)) = (&root, &observer) {
            let init = MutationObserverInit::new();
            init.set_attributes(true);
            init.set_attribute_filter(&js_sys::Array::of1(&JsValue::from_str("data-theme")));
            let _ = observer.observe_with_options(root, &init);
        }
        let kept = StoredValue::new_local((changed, observer, dark));
        on_cleanup(move || {
            kept.with_value(|(_, observer, dark)| {
                observer.iter().for_each(MutationObserver::disconnect);
                dark.iter().for_each(|dark| dark.set_onchange(None));
            });
        });
    }

    pub fn reduced(&self) -> bool {
        self.calm.with_value(|calm| calm.as_ref().is_some_and(MediaQueryList::matches))
    }

    /// The camera of the moment.
    pub fn view_port(self, world: Memo<Arc<Layout>>) -> Memo<Camera> {
        Memo::new(move |_| {
            let (world, left) = world.with(|world| (world.size, world.left()));
            let camera =
                self.moved.get().unwrap_or_else(|| Camera::first(world, left, shown(self.size.get(), self.foot.get())));
            self.current.set_value((camera, world));
            self.left.set_value(left);
            camera
        })
    }

    pub fn fit(&self) {
        let (_, world) = self.current.get_value();
        let size = shown(self.size.get_untracked(), self.foot.get_untracked());
        // What follows the world by itself goes on to follow it.
        let all = Camera::fit(world, size);
        self.moved.set((all != Camera::first(world, self.left.get_value(), size)).then_some(all));
    }

    pub fn zoom(&self, factor: f64) {
        let Size { width, height } = self.size.get_untracked();
        self.zoom_at(factor, point(width / 2.0, height / 2.0));
    }

    fn zoom_at(&self, factor: f64, at: Point) {
        let (camera, _) = self.current.get_value();
        self.put(camera.zoom(factor, at));
    }

    fn pan(&self, dx: f64, dy: f64) {
        let (camera, world) = self.current.get_value();
        self.put(camera.pan(dx, dy, world, self.size.get_untracked()));
    }

    fn put(&self, camera: Camera) {
        // Several events may come before the memo is asked again.
        self.current.update_value(|current| current.0 = camera);
        self.moved.set(Some(camera));
    }

    pub fn wheel(&self, event: &WheelEvent, at: Point) {
        event.prevent_default();
        // Lines and pages are larger than pixels.
        let unit = [1.0, 16.0, 400.0][event.delta_mode().min(2) as usize];
        let speed = if event.ctrl_key() { 0.01 } else { 0.0015 };
        self.zoom_at((-event.delta_y() * unit * speed).clamp(-0.5, 0.5).exp(), at);
    }

    pub fn press(&self, event: &PointerEvent, at: Point) {
        if event.button() == 0 {
            let id = event.pointer_id();
            self.fingers.update_value(|fingers| {
                fingers.retain(|finger| finger.id != id);
                fingers.push(Finger { id, start: at, at });
            });
        }
    }

    /// Whether the hand drags: one finger pans, two zoom.
    pub fn drag(&self, event: &PointerEvent, at: Point) -> bool {
        let id = event.pointer_id();
        let before = self.fingers.get_value();
        let Some(finger) = before.iter().find(|finger| finger.id == id).copied() else { return false };
        if event.buttons() == 0 {
            self.release(event);
            return false;
        }
        if !self.dragging.get_untracked() {
            if finger.start.distance(at) < Self::STILL && before.len() < 2 {
                return false;
            }
            self.dragging.set(true);
            // The click that ends a drag then goes to the stage, not to what lies under the hand.
            let stage = event.current_target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
            let _ = stage.map(|stage| stage.set_pointer_capture(id));
        }
        self.fingers.update_value(|fingers| {
            fingers.iter_mut().filter(|finger| finger.id == id).for_each(|finger| finger.at = at);
        });
        match before.iter().find(|other| other.id != id) {
            Some(other) => {
                let factor = other.at.distance(at) / other.at.distance(finger.at).max(1.0);
                self.zoom_at(factor, point((other.at.x + at.x) / 2.0, (other.at.y + at.y) / 2.0));
                self.pan((at.x - finger.at.x) / 2.0, (at.y - finger.at.y) / 2.0);
            }
            None => self.pan(at.x - finger.at.x, at.y - finger.at.y),
        }
        true
    }

    pub fn release(&self, event: &PointerEvent) {
        let id = event.pointer_id();
        self.fingers.update_value(|fingers| fingers.retain(|finger| finger.id != id));
        if self.fingers.with_value(Vec::is_empty) && self.dragging.get_untracked() {
            // After the click that follows this very event.
            let dragging = self.dragging;
            set_timeout(move || dragging.set(false), std::time::Duration::ZERO);
        }
    }

    pub fn key(&self, event: &KeyboardEvent) {
        if event.ctrl_key() || event.meta_key() || event.alt_key() || event.target() != event.current_target() {
            return;
        }
        let step = 60.0;
        match event.key().as_str() {
            "ArrowLeft" => self.pan(step, 0.0),
            "ArrowRight" => self.pan(-step, 0.0),
            "ArrowUp" => self.pan(0.0, step),
            "ArrowDown" => self.pan(0.0, -step),
            "+" | "=" => self.zoom(1.25),
            "-" => self.zoom(1.0 / 1.25),
            "0" => self.fit(),
            _ => return,
        }
        event.prevent_default();
    }
}
