//! Connections that are cut in the middle of what is said.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{Fixture, Note, Notes, PROMPT, eventually};

/// Passes bytes on, and cuts its first connections after some of them.
async fn cut_connections(listener: TcpListener, broker: String, cuts: Arc<AtomicUsize>) {
    let mut limit = 6_000;
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(&broker).await.unwrap();
        limit += 2_500;
        let at_most = if limit < 40_000 { limit } else { usize::MAX };
        let cuts = cuts.clone();
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let answers = tokio::io::copy(&mut from_server, &mut to_client);
            let mut buffer = [0; 1_000];
            let requests = async {
                let mut passed = 0;
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    passed += read;
                    if passed > at_most {
                        cuts.fetch_add(1, Relaxed);
                        return;
                    }
                    if to_server.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                _ = answers => {}
                () = requests => {}
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_when_connections_are_cut() {
    let url = stack::address("RABBITMQ_URL");
    let (credentials, broker) = url.rsplit_once('@').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("{credentials}@{}", listener.local_addr().unwrap());
    let cuts = Arc::new(AtomicUsize::new(0));
    tokio::spawn(cut_connections(listener, broker.to_owned(), cuts.clone()));
    let mut fixture = Fixture::on_broker(&url).await;
    fixture.go_through(&through);
    let notes = Notes::default();
    let running = fixture.run(notes.handler(PROMPT, |_| Ok(())));
    for number in 0..300 {
        let note = Note::new(&format!("note-{number}"));
        fixture.queue.enqueue(&note).await.unwrap();
    }
    eventually("all are run", async || notes.jobs() == 300).await;
    fixture.drained().await;
    assert!(cuts.load(Relaxed) > 3);
    running.stop().await;
}
