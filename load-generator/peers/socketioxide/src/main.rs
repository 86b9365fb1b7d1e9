//! socketioxide as a layer of axum, the way its documentation shows it. The number of worker threads comes from
//! `TOKIO_WORKER_THREADS`, as for every server of the comparison.

use axum::serve::ListenerExt as _;
use socketioxide::{
    SocketIo, TransportType,
    extract::{AckSender, Data, SocketRef},
};

async fn on_join(socket: SocketRef, Data(room): Data<String>, ack: AckSender) {
    socket.join(room);
    if let Err(error) = ack.send(&()) {
        eprintln!("{error}");
    }
}

async fn on_publish(io: SocketIo, Data((room, payload)): Data<(String, String)>) {
    if let Err(error) = io.to(room).emit("event", &payload).await {
        eprintln!("{error}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = SocketIo::builder()
        .transports([TransportType::Websocket])
        .build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("join", on_join);
        socket.on("publish", on_publish);
    });
    let port: u16 = std::env::var("PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    // Small frames must not wait for the acknowledgement of those before them.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("{error}");
        }
    });
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}
