//! The few things that the page asks of the browser itself.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Milliseconds on a clock that never goes back.
pub fn now_millis() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

/// The address's fragment, with its `#`; empty where there is none.
pub fn fragment() -> String {
    window().location().hash().unwrap_or_default()
}

/// What stands after `key=` in the address; empty where only the key does.
pub fn query(key: &str) -> Option<String> {
    let search = window().location().search().unwrap_or_default();
    let pairs = search.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value.to_owned())
}

/// Puts a fragment into the address without a new entry in the history; gives the whole link.
pub fn set_fragment(fragment: &str) -> String {
    let location = window().location();
    if let Ok(history) = window().history() {
        // An empty address would change nothing: the path and the query are the one without a fragment.
        let place = location.pathname().unwrap_or_default() + &location.search().unwrap_or_default();
        // Refused for pages opened from a file; the link itself is right all the same.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&format!("{place}{fragment}")));
    }
    let whole = location.href().unwrap_or_default();
    let page = whole.split('#').next().unwrap_or_default();
    format!("{page}{fragment}")
}

/// Into the clipboard, if the browser lets it.
pub fn copy(text: String, then: impl FnOnce(String, bool) + 'static) {
    // Absent outside secure contexts, so it is asked for by name.
    let clipboard = js_sys::Reflect::get(&window().navigator(), &"clipboard".into()).ok();
    let promise = clipboard
        .filter(|clipboard| clipboard.is_object())
        .map(|clipboard| clipboard.unchecked_into::<web_sys::Clipboard>().write_text(&text));
    spawn_local(async move {
        let copied = match promise {
            Some(promise) => JsFuture::from(promise).await.is_ok(),
            None => false,
        };
        then(text, copied);
    });
}

/// A request to the page's own origin: its text, or why not, in words.
pub async fn fetch(method: &str, path: &str, body: Option<&str>) -> Result<String, String> {
    let options = web_sys::RequestInit::new();
    options.set_method(method);
    if let Some(body) = body {
        options.set_body(&body.into());
    }
    let answer = JsFuture::from(window().fetch_with_str_and_init(path, &options)).await;
    let answer: web_sys::Response = answer.map_err(|_| "the server does not answer".to_string())?.unchecked_into();
    let text = match answer.text() {
        Ok(promise) => JsFuture::from(promise).await.ok().and_then(|text| text.as_string()).unwrap_or_default(),
        Err(_) => String::new(),
    };
    match answer.ok() {
        true => Ok(text),
        false if text.trim().is_empty() => Err(format!("the server answered {}", answer.status())),
        false => Err(text),
    }
}

pub fn encode_uri(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

/// Whether the page came from `ottla serve`, which says so in a header of everything that it hands out. A static host has
/// the page too, so asking it costs no error.
pub async fn served_by_ottla() -> bool {
    let options = web_sys::RequestInit::new();
    options.set_method("HEAD");
    let answer = JsFuture::from(window().fetch_with_str_and_init("./", &options)).await;
    answer
        .is_ok_and(|answer| answer.unchecked_into::<web_sys::Response>().headers().has("ottla-server").unwrap_or(false))
}

pub fn is_phone() -> bool {
    let narrow = "(max-width: 760px), (max-height: 480px)";
    window().match_media(narrow).ok().flatten().is_some_and(|query| query.matches())
}

/// Whether whoever looks wants little motion.
pub fn is_calm() -> bool {
    window().match_media("(prefers-reduced-motion: reduce)").ok().flatten().is_some_and(|query| query.matches())
}

/// Light or dark, as it is now: what was chosen, else what the system says.
pub fn is_dark() -> bool {
    let chosen = document().document_element().and_then(|root| root.get_attribute("data-theme"));
    match chosen.as_deref() {
        Some(theme) => theme == "dark",
        None => {
            window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|query| query.matches())
        }
    }
}

/// The only thing that the page remembers from one visit to the next.
pub fn set_dark(dark: bool) {
    let theme = if dark { "dark" } else { "light" };
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("data-theme", theme);
    }
    // Refused where storage is switched off; then it holds for this visit.
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item("theme", theme);
    }
}

/// Takes the outlines away that stood until now.
pub fn remove_skeleton() {
    if let Some(skeleton) = document().get_element_by_id("skeleton") {
        skeleton.remove();
    }
}

/// A panic is a bug of ours: say so where it can be read, and keep what was shared.
pub fn show_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        web_sys::console::error_1(&text.as_str().into());
        if let Some(panel) = document().get_element_by_id("bug") {
            let _ = panel.remove_attribute("hidden");
            if let Ok(Some(code)) = panel.query_selector("code") {
                code.set_text_content(Some(&text));
            }
        }
    }));
}

/// `window.ottla`: the page's state as JSON, for tests and for curious people.
pub fn expose(name: &str, call: impl Fn(String) -> String + 'static) {
    let key = JsValue::from_str("ottla");
    let mut object = js_sys::Reflect::get(&window(), &key).unwrap_or(JsValue::UNDEFINED);
    if !object.is_object() {
        object = js_sys::Object::new().into();
        let _ = js_sys::Reflect::set(&window(), &key, &object);
    }
    let function = Closure::<dyn Fn(JsValue) -> String>::new(move |argument: JsValue| {
        call(argument.as_string().unwrap_or_default())
    });
    let _ = js_sys::Reflect::set(&object, &name.into(), function.as_ref());
    // It lives as long as the page.
    function.forget();
}
