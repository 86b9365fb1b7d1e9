//! socketioxide with the application of the comparison; `mirror` has the same one.

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef, TryData},
};
use tokio::net::TcpListener;

use super::{
    mirror::{ANSWER, MAX_PAYLOAD, NAMESPACES},
    running::Running,
};

/// Starts the reference.
pub async fn start() -> Running {
    Running::start(serve).await
}

async fn serve(listener: TcpListener) {
    let (service, io) = SocketIo::builder()
        .max_payload(MAX_PAYLOAD as u64)
        .ws_max_message_size(MAX_PAYLOAD)
        .ws_max_frame_size(MAX_PAYLOAD)
        .ack_timeout(ANSWER)
        .build_svc();
    for namespace in NAMESPACES {
        io.ns(namespace, connected);
    }
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service.clone();
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades(),
        );
    }
}

async fn connected(socket: SocketRef, TryData(auth): TryData<Value>) {
    if socket.ns() != "/fence" {
        emit(&socket, "auth", &auth.unwrap_or_default());
    }
    socket.on("echo", async |socket: SocketRef, Data::<Value>(payload)| {
        emit(&socket, "echo", &payload);
    });
    socket.on("ack", async |Data::<Value>(payload), ack: AckSender| {
        // Fails for an event without an ack, as ours does nothing then.
        drop(ack.send(&payload));
    });
    socket.on(
        "bytes",
        async |socket: SocketRef, Data::<Bytes>(payload)| {
            emit(&socket, "bytes", &payload);
        },
    );
    socket.on(
        "bytes-ack",
        async |Data::<Bytes>(payload), ack: AckSender| {
            drop(ack.send(&payload));
        },
    );
    socket.on("ask", async |socket: SocketRef, Data::<Value>(payload)| {
        if let Ok(reply) = socket.emit_with_ack::<_, Value>("question", &payload)
            && let Ok(answer) = reply.await
        {
            emit(&socket, "answer", &answer);
        }
    });
    socket.on("disconnect-me", async |socket: SocketRef| {
        drop(socket.disconnect());
    });
}

fn emit(socket: &SocketRef, name: &str, payload: &(impl serde::Serialize + ?Sized)) {
    // A closed socket takes nothing, which the comparison sees.
    drop(socket.emit(name, payload));
}
