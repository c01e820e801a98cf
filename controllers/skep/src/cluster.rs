//! Which cluster is meant, and the way to it: this machine's, unless the command line or the environment names another.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use skep_runtime::clock::Env;
use skep_store::{Config, Store, Tls};

use crate::failure::Failure;
use crate::up::pki::Pki;
use crate::up::state::StateDir;

/// The environment variables that name a cluster; children of the supervisor do not inherit them.
pub(crate) const VARIABLES: [&str; 5] =
    ["SKEP_STATE_DIR", "SKEP_ETCD", "SKEP_ETCD_CA", "SKEP_ETCD_CERT", "SKEP_ETCD_KEY"];
/// The state directory of root.
pub(crate) const ROOT_STATE_DIR: &str = "/var/lib/skep";

/// Which cluster is meant.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which cluster")]
pub(crate) struct ClusterArgs {
    /// Where Skep keeps its state [default: /var/lib/skep for root, else `$XDG_STATE_HOME/skep`]
    #[arg(long, global = true, value_name = "DIR", env = "SKEP_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,
    /// An etcd that somebody else runs [default: the one in the state directory]
    #[arg(
        long,
        global = true,
        value_name = "URL,…",
        value_delimiter = ',',
        env = "SKEP_ETCD",
        hide_env_values = true
    )]
    etcd: Vec<String>,
    /// The authority that signed that etcd's certificate
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SKEP_ETCD_CA",
        hide_env_values = true,
        hide_short_help = true
    )]
    etcd_ca: Option<PathBuf>,
    /// The certificate to show to that etcd
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SKEP_ETCD_CERT",
        hide_env_values = true,
        hide_short_help = true
    )]
    etcd_cert: Option<PathBuf>,
    /// That certificate's key
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SKEP_ETCD_KEY",
        hide_env_values = true,
        hide_short_help = true
    )]
    etcd_key: Option<PathBuf>,
}

/// The way to an etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// URLs of its members.
    pub(crate) endpoints: Vec<String>,
    /// Certificates, if it asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsFiles>,
}

/// Certificates, as files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TlsFiles {
    /// The authority's certificate.
    pub(crate) ca: PathBuf,
    /// The client's certificate.
    pub(crate) cert: PathBuf,
    /// The client's key.
    pub(crate) key: PathBuf,
}

impl ClusterArgs {
    /// The state directory that is meant.
    pub(crate) fn state(&self) -> StateDir {
        let dir = self.state_dir.clone().unwrap_or_else(default_state_dir);
        StateDir::new(std::path::absolute(&dir).unwrap_or(dir))
    }

    /// The etcd that was named; `None` if none was.
    ///
    /// # Errors
    /// [`Failure::Argument`] if its certificates were named in part.
    pub(crate) fn foreign(&self) -> Result<Option<Access>, Failure> {
        let endpoints: Vec<String> = self.etcd.iter().filter(|url| !url.is_empty()).cloned().collect();
        let Some(first) = endpoints.first() else { return Ok(None) };
        let tls = match (&self.etcd_ca, &self.etcd_cert, &self.etcd_key) {
            (Some(ca), Some(cert), Some(key)) => {
                Some(TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() })
            }
            (None, None, None) if first.starts_with("https:") => Some(self.own_files()),
            (None, None, None) => None,
            _ => {
                return Err(Failure::Argument {
                    argument: first.clone(),
                    rule: "name --etcd-ca, --etcd-cert and --etcd-key together".to_owned(),
                });
            }
        };
        Ok(Some(Access { endpoints, tls }))
    }

    /// The certificates in the state directory: on a machine that belongs to the cluster, they open it.
    fn own_files(&self) -> TlsFiles {
        let pki = Pki::at(&self.state().pki());
        TlsFiles { ca: pki.ca, cert: pki.client, key: pki.client_key }
    }

    /// The way to the cluster that is meant.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        if let Some(access) = self.foreign()? {
            return Ok(access);
        }
        let state = self.state();
        let cluster = state.cluster()?;
        cluster.map(|file| file.access).ok_or_else(|| Failure::NoCluster { dir: state.path().to_owned() })
    }

    /// Connects to the cluster that is meant.
    pub(crate) async fn connect(&self, env: &Env) -> Result<Store, Failure> {
        Ok(Store::connect(self.access()?.config(env)?).await?)
    }
}

impl Access {
    /// What the store needs to know.
    pub(crate) fn config(&self, env: &Env) -> Result<Config, Failure> {
        let mut config = Config::new(self.endpoints.clone(), env.seed);
        config.tls = self.tls.as_ref().map(TlsFiles::read).transpose()?;
        Ok(config)
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Tls, Failure> {
        let read = |path: &Path| fs::read(path).map_err(Failure::file(path));
        Ok(Tls { ca: read(&self.ca)?, cert: read(&self.cert)?, key: read(&self.key)? })
    }
}

fn default_state_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from(ROOT_STATE_DIR);
    }
    let state = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/state");
    state.unwrap_or_else(home).join("skep")
}
