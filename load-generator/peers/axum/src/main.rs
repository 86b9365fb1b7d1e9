//! The least that an axum server can do: each route answers a body that was read from a file at the start. `BODIES` is a
//! directory; its file `me` is the body of `/me`. Listens on 127.0.0.1 at the port in `PORT`.

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::get};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT")?.parse()?;
    let mut router = Router::new();
    for entry in std::fs::read_dir(std::env::var("BODIES")?)? {
        let entry = entry?;
        let body = Bytes::from(std::fs::read(entry.path())?);
        let path = format!("/{}", entry.file_name().to_string_lossy());
        router = router.route(
            &path,
            get(move || async move { ([(CONTENT_TYPE, "application/json")], body) }),
        );
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}
