//! The least that an axum server can do: each route gives an answer that was read from a file at the start, the fields of its
//! head included. `ANSWERS` is a directory; its file `me` is the answer of `/me`. Listens on 127.0.0.1 at the port in `PORT`.

use std::{env, error::Error, fs};

use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderMap, HeaderName,
        header::{CONTENT_LENGTH, DATE},
    },
    routing::get,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = env::var("PORT")?.parse()?;
    let mut router = Router::new();
    for entry in fs::read_dir(env::var("ANSWERS")?)? {
        let entry = entry?;
        let (head, body) = parse(&fs::read_to_string(entry.path())?)?;
        let path = format!("/{}", entry.file_name().to_string_lossy());
        router = router.route(&path, get(move || async move { (head, body) }));
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}

/// The fields that an application gives, and the body.
fn parse(answer: &str) -> Result<(HeaderMap, Bytes), Box<dyn Error>> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').ok_or("a field without a value")?;
        let name: HeaderName = name.parse()?;
        if name != CONTENT_LENGTH && name != DATE {
            headers.insert(name, value.trim().parse()?);
        }
    }
    Ok((headers, Bytes::from(body.to_owned())))
}
