//! A registry of this machine, with the demo image: Docker takes plain HTTP from 127.0.0.0/8.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use skep_store::scratch::Scratch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rig::{IMAGE, output};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What registries answer when they do not have what was asked for.
const UNKNOWN: &[u8] = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;

/// A registry that has one image, under every name and tag; it is pulled as `app:1`.
pub(crate) struct Registry {
    /// Where it listens.
    pub(crate) address: String,
    /// The image's digest.
    pub(crate) digest: String,
    _directory: Scratch,
    server: JoinHandle<()>,
}

/// What it answers with, by digest.
type Blobs = BTreeMap<String, (&'static str, Vec<u8>)>;

impl Registry {
    pub(crate) async fn start() -> Self {
        let directory = Scratch::new("registry").unwrap();
        let (digest, blobs) = read_image(directory.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (manifest, blobs) = (digest.clone(), Arc::new(blobs));
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, manifest.clone(), Arc::clone(&blobs)));
            }
        });
        Self { address, digest, _directory: directory, server }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
        let names = [format!("{}/app:1", self.address), format!("{}/app@{}", self.address, self.digest)];
        // The second name may have gone with the first.
        let _ = Command::new("docker").arg("rmi").args(names).output();
    }
}

/// The image as a registry holds it: its manifest's digest, and everything by digest.
fn read_image(directory: &Path) -> (String, Blobs) {
    let at = |name: &str| directory.join(name).display().to_string();
    output("docker", &["save", "--output", &at("image.tar"), IMAGE]);
    output("tar", &["--extract", "--file", &at("image.tar"), "--directory", &at("")]);
    let saved = fs::read(directory.join("manifest.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_slice(&saved).unwrap();
    let named = |pointer: &str| at(saved.pointer(pointer).unwrap().as_str().unwrap());
    let (config, layer) = (named("/0/Config"), named("/0/Layers/0"));
    let mut blobs = Blobs::new();
    let mut add = |kind: &'static str, path: &str| {
        let digest = format!("sha256:{}", output("sha256sum", &[path]).split_whitespace().next().unwrap());
        let bytes = fs::read(path).unwrap();
        let entry = format!(r#"{{"mediaType":"{kind}","size":{},"digest":"{digest}"}}"#, bytes.len());
        blobs.insert(digest.clone(), (kind, bytes));
        (digest, entry)
    };
    let (config, layer) = (add(CONFIG, &config).1, add(LAYER, &layer).1);
    let manifest =
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]}}"#);
    fs::write(directory.join("own.json"), manifest).unwrap();
    let (digest, _) = add(MANIFEST, &at("own.json"));
    (digest, blobs)
}

/// Answers one request.
async fn serve(mut stream: TcpStream, manifest: String, blobs: Arc<Blobs>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reference = path.rsplit('/').next().unwrap_or_default();
    let digest = if path.contains("/manifests/") && !reference.contains(':') { &manifest } else { reference };
    let (status, kind, body) = match blobs.get(digest) {
        _ if path == "/v2/" => ("200 OK", "application/json", b"{}".as_slice()),
        Some((kind, bytes)) => ("200 OK", *kind, bytes.as_slice()),
        None => ("404 Not Found", "application/json", UNKNOWN),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {digest}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { &[] } else { body };
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _ = stream.shutdown().await;
}
