//! The page: one cluster, drawn; the time that it runs in, at hand.
//!
//! `store.rs` what the page holds | `run.rs` the frame loop: time goes on there, outside the reactive graph |
//! `live.rs` a server, watched | `scene/` the drawing in the middle | `panel/` the story on the left, what one holds on
//! the right | `control/` header, time, gallery, keys | `app.rs` how they lie on the page | `browser.rs` the browser
//!
//! 1. The run is advanced once per animation frame and told to the page by one signal write (`Session::view`).
//! 2. What is drawn comes from a `View`, whether a simulated cluster or a server made it.
//! 3. A hand acts by what a scenario can say, so that everything done can be read, replayed and shared.

mod app;
mod browser;
mod control;
mod live;
mod panel;
mod run;
mod scene;
mod store;

fn main() {
    browser::show_panics();
    browser::remove_skeleton();
    match browser::query("stress") {
        Some(load) => leptos::mount::mount_to_body(|| leptos::view! { <scene::Stress load/> }),
        None => leptos::mount::mount_to_body(app::App),
    }
}
