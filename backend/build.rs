//! Lists the files of the web client, if it has been built, for `src/http/pages/web_client.rs` to hold. Without Node
//! nothing is built, the list is empty, and the server has a page that says so.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let built = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../frontend-assets/web/dist");
    println!("cargo::rerun-if-changed={}", built.display());
    let mut files = Vec::new();
    let built = built.canonicalize().unwrap_or(built);
    if built.join("index.html").exists() {
        collect(&built, &mut files)?;
    }
    files.sort();
    let lines: Vec<String> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&built).unwrap_or(file);
            // The names of a build are ASCII, and Rust writes paths as it writes strings.
            format!(
                "    ({:?}, include_bytes!({file:?})),\n",
                name.to_string_lossy()
            )
        })
        .collect();
    let list = format!("&[\n{}]\n", lines.concat());
    fs::write(
        Path::new(&variable("OUT_DIR")?).join("web_client_files.rs"),
        list,
    )
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            collect(&path, files)?;
        } else if !is_hidden {
            files.push(path);
        }
    }
    Ok(())
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(io::Error::other)
}
