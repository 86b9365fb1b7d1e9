//! Writes `openapi.json` and `asyncapi.json` to the directory that is named, for generators of clients.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: documents DIRECTORY")?;
    for (name, document) in [
        ("openapi.json", protocol::openapi()),
        ("asyncapi.json", protocol::asyncapi()),
    ] {
        fs::write(
            directory.join(name),
            serde_json::to_string_pretty(&document)?,
        )?;
    }
    Ok(())
}
