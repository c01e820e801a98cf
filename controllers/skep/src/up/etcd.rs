//! Our own etcd: the system's binary, on the loopback interface, for holders of a certificate only.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::cluster::{Access, TlsFiles};
use crate::up::UpError;
use crate::up::child::Program;
use crate::up::pki::{MEMBER, Pki};
use crate::up::state::{Ports, StateDir};

/// Its name among the processes of the supervisor.
pub(crate) const ETCD: &str = "etcd";
/// How much etcd may store, in bytes.
pub(crate) const QUOTA_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// How far back etcd keeps history.
pub(crate) const HISTORY: &str = "72h";

/// Two free ports: those of the last time, if they still are.
pub(crate) fn ports(last: Option<Ports>) -> Result<Ports, UpError> {
    let kept = last.filter(|ports| listen(ports.client).and(listen(ports.peer)).is_ok());
    match kept {
        Some(ports) => Ok(ports),
        None => draw().map_err(UpError::Ports),
    }
}

/// The kernel chooses; both are held until both are known, so that they differ.
fn draw() -> io::Result<Ports> {
    let (client, peer) = (listen(0)?, listen(0)?);
    Ok(Ports { client: client.local_addr()?.port(), peer: peer.local_addr()?.port() })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// How Skep's processes reach it.
pub(crate) fn access(ports: Ports, pki: &Pki) -> Access {
    Access {
        endpoints: vec![format!("https://127.0.0.1:{}", ports.client)],
        tls: Some(TlsFiles { ca: pki.ca.clone(), cert: pki.client.clone(), key: pki.client_key.clone() }),
    }
}

/// Where the system's etcd is.
pub(crate) fn find() -> Result<PathBuf, UpError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(ETCD)).find(|file| file.is_file());
    found.ok_or(UpError::NoEtcd)
}

/// The command that starts it.
pub(crate) fn program(binary: PathBuf, state: &StateDir, ports: Ports, pki: &Pki) -> Program {
    let client = format!("https://127.0.0.1:{}", ports.client);
    let peer = format!("https://127.0.0.1:{}", ports.peer);
    let text = |value: &str| OsString::from(value);
    let flags: [(&str, OsString); 25] = [
        ("name", text(MEMBER)),
        ("data-dir", state.etcd().into()),
        ("listen-client-urls", text(&client)),
        ("advertise-client-urls", text(&client)),
        ("listen-peer-urls", text(&peer)),
        ("initial-advertise-peer-urls", text(&peer)),
        ("initial-cluster", text(&format!("{MEMBER}={peer}"))),
        ("client-cert-auth", text("true")),
        ("trusted-ca-file", pki.ca.clone().into()),
        ("cert-file", pki.server.clone().into()),
        ("key-file", pki.server_key.clone().into()),
        ("peer-client-cert-auth", text("true")),
        ("peer-trusted-ca-file", pki.ca.clone().into()),
        ("peer-cert-file", pki.server.clone().into()),
        ("peer-key-file", pki.server_key.clone().into()),
        ("peer-cert-allowed-cn", text(MEMBER)),
        ("auto-compaction-mode", text("periodic")),
        ("auto-compaction-retention", text(HISTORY)),
        ("quota-backend-bytes", text(&QUOTA_BYTES.to_string())),
        ("enable-grpc-gateway", text("false")),
        // Its only member need not wait for others to be heard: it is back in half a second instead of two.
        ("heartbeat-interval", text("50")),
        ("election-timeout", text("250")),
        ("logger", text("zap")),
        ("log-outputs", text("stderr")),
        ("log-level", text("warn")),
    ];
    let args = flags.into_iter().map(|(flag, value)| {
        let mut arg = OsString::from(format!("--{flag}="));
        arg.push(value);
        arg
    });
    // etcd reads every flag from ETCD_… as well: what stands in somebody's shell is not meant for this one.
    Program { environment: Some(BTreeMap::new()), ..Program::new(ETCD, binary, args.collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_while_they_are_free_and_drawn_anew_when_they_are_not() {
        let first = ports(None).unwrap();
        assert_ne!(first.client, first.peer);
        assert_eq!(ports(Some(first)).unwrap(), first);
        let taken = listen(first.client).unwrap();
        assert_ne!(ports(Some(first)).unwrap(), first);
        drop(taken);
    }
}
