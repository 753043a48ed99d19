//! `GET /api/live`: a WebSocket that sends a view as JSON whenever something changed.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;

use crate::serve::Server;

pub async fn upgrade(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| send(socket, server))
}

async fn send(mut socket: WebSocket, server: Arc<Server>) {
    let mut views = server.views.subscribe();
    // The one that is there already was made for others, who may be long gone. The next is made for this one.
    views.mark_unchanged();
    let _watching = server.live.watch();
    loop {
        tokio::select! {
            changed = views.changed() => {
                let view = views.borrow_and_update().clone();
                if changed.is_err() || socket.send(Message::Text(view)).await.is_err() {
                    return;
                }
            }
            // Pages say nothing here; but they go.
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
