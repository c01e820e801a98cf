//! A node API over this machine's Docker, and containers that look like tasks of its node.

use std::process::Command as Process;
use std::sync::{Arc, Once};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use skep_agent::api::upgrade::{self, Connection};
use skep_agent::api::{ApiError, EXEC_PROTOCOL, Frame, Frames, NodeApi, Place, Socket};
use skep_agent::docker::{DEFAULT_HOST, Docker};
use skep_agent::engine::Owner;
use skep_agent::labels;
use skep_agent::streams::Command;
use skep_api::ident::NodeId;
use skep_store::scratch::Scratch;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::codec::Decoder;

use crate::rig::{Cleanup, output};

const IMAGE: &str = "skep-shell:v1";
static BUILD: Once = Once::new();

pub(crate) struct Bench {
    owner: Owner,
    folder: Scratch,
    pub(crate) server: JoinHandle<Result<(), ApiError>>,
    _cleanup: Cleanup,
}

/// An answer whose body is read piece by piece.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    buffer: BytesMut,
}

impl Bench {
    pub(crate) fn start() -> Self {
        BUILD.call_once(|| {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hack/demo/shell-image");
            output(script, &[]);
        });
        let node = NodeId::from_random(fastrand::u64(..));
        let owner = Owner { cluster: format!("e2e-{node}"), node };
        let folder = Scratch::new("api").unwrap();
        let socket = Socket::bind(folder.path().join("node.sock")).unwrap();
        let api = NodeApi::new(Arc::new(Docker::new(DEFAULT_HOST)), owner.clone());
        let server = tokio::spawn(api.serve(socket));
        let cleanup = Cleanup { cluster: owner.cluster.clone() };
        Self { owner, folder, server, _cleanup: cleanup }
    }

    /// The name of the task in `slot`.
    pub(crate) fn task(&self, slot: u32) -> String {
        format!("web.{slot}.{}", self.owner.node)
    }

    /// Runs a container as the agent would, for the task in `slot`.
    pub(crate) fn run(&self, slot: u32, options: &[&str], script: &str) {
        self.run_for(&self.owner.node.to_string(), slot, options, script);
    }

    /// The same, labelled for the node `node`.
    pub(crate) fn run_for(&self, node: &str, slot: u32, options: &[&str], script: &str) {
        let name = self.task(slot);
        let all = [
            (labels::CLUSTER, self.owner.cluster.clone()),
            (labels::NODE, node.to_owned()),
            (labels::TASK, format!("{node}/default/{name}")),
        ];
        let labels: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args = vec!["run", "-d", "--init", "--name", &name];
        args.extend(labels.iter().flat_map(|label| ["--label", label]));
        args.extend(options);
        args.extend([IMAGE, "sh", "-c", script]);
        output("docker", &args);
    }

    /// Waits until the container of the task in `slot` has ended.
    pub(crate) fn wait(&self, slot: u32) {
        output("docker", &["wait", &self.task(slot)]);
    }

    pub(crate) fn path(&self, slot: u32, place: Place) -> String {
        place.path(&"default".parse().unwrap(), &self.task(slot).parse().unwrap())
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("node.sock")).await.unwrap()
    }

    async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        Answer { response: sender.send_request(request).await.unwrap(), buffer: BytesMut::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Empty::<Bytes>::new()).unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send(Request::put(path).body(Full::new(Bytes::from(body))).unwrap()).await
    }

    /// All lines of a log: those of standard output, those of standard error, and the end.
    pub(crate) async fn logs(&self, slot: u32, query: &str) -> (String, String, Frame) {
        let path = self.path(slot, Place::Logs);
        let mut answer = self.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.response.status(), StatusCode::OK);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match answer.frame().await.unwrap() {
                Frame::Line { is_error: false, bytes, .. } => out.extend_from_slice(&bytes),
                Frame::Line { bytes, .. } => err.extend_from_slice(&bytes),
                Frame::Alive => {}
                end => return (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), end),
            }
        }
    }

    pub(crate) async fn exec(&self, slot: u32, command: &Command) -> Result<Connection, String> {
        let body = serde_json::to_vec(command).unwrap();
        let request = Request::post(self.path(slot, Place::Exec)).body(Full::new(Bytes::from(body))).unwrap();
        upgrade::request(self.connect().await, request, EXEC_PROTOCOL)
            .await
            .map_err(|error| error.to_string())
    }
}

impl Answer {
    /// The next frame; `None` when there are no more, or when the connection broke.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frames.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            let piece = self.response.body_mut().frame().await?.ok()?;
            self.buffer.extend_from_slice(&piece.into_data().unwrap());
        }
    }

    /// The next frame that tells something.
    pub(crate) async fn news(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await {
                Some(Frame::Alive) => {}
                frame => return frame,
            }
        }
    }

    pub(crate) async fn text(self) -> (u16, String) {
        let status = self.response.status().as_u16();
        let body = self.response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) async fn body(self) -> Vec<u8> {
        self.response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What `tar` makes of `input` with these arguments.
pub(crate) fn tar(args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Process::new("tar")
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    assert!(output.status.success());
    output.stdout
}
