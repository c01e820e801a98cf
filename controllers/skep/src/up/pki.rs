//! The certificates of this machine's etcd: an authority, etcd's own, and one for Skep's processes. Whoever cannot
//! read the state directory has none of them, and etcd answers nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::up::UpError;
use crate::up::state::write_private;

/// The name in etcd's certificate: the only one that counts as a member of its cluster.
pub(crate) const MEMBER: &str = "skep-etcd";
/// The name in the certificate of Skep's own processes.
const CLIENT: &str = "skep";

/// Where the certificates lie.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    /// The authority's certificate.
    pub(crate) ca: PathBuf,
    /// etcd's certificate.
    pub(crate) server: PathBuf,
    /// etcd's key.
    pub(crate) server_key: PathBuf,
    /// The client's certificate.
    pub(crate) client: PathBuf,
    /// The client's key.
    pub(crate) client_key: PathBuf,
}

impl Pki {
    /// The certificates in `dir`.
    pub(crate) fn at(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            server: dir.join("server.pem"),
            server_key: dir.join("server-key.pem"),
            client: dir.join("client.pem"),
            client_key: dir.join("client-key.pem"),
        }
    }

    /// Makes the certificates in `dir`, unless they are there.
    pub(crate) fn ensure(dir: &Path) -> Result<Self, UpError> {
        let pki = Self::at(dir);
        if fs::exists(&pki.ca).map_err(UpError::file(&pki.ca))? {
            return Ok(pki);
        }
        let authority = Authority::new()?;
        write_private(&dir.join("ca-key.pem"), authority.issuer.key().serialize_pem().as_bytes())?;
        let (server, key) = authority.issue(MEMBER, &SERVER_USES)?;
        write_private(&pki.server, server.as_bytes())?;
        write_private(&pki.server_key, key.as_bytes())?;
        let (client, key) = authority.issue(CLIENT, &[ExtendedKeyUsagePurpose::ClientAuth])?;
        write_private(&pki.client, client.as_bytes())?;
        write_private(&pki.client_key, key.as_bytes())?;
        // The last one: with it, all of them are there.
        write_private(&pki.ca, authority.certificate.as_bytes())?;
        Ok(pki)
    }
}

/// Between members, etcd uses its certificate for both ends.
const SERVER_USES: [ExtendedKeyUsagePurpose; 2] =
    [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Result<Self, UpError> {
        let mut params = params("skep authority", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A certificate and its key.
    fn issue(&self, name: &str, uses: &[ExtendedKeyUsagePurpose]) -> Result<(String, String), UpError> {
        let mut params = params(name, vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = uses.to_vec();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// Valid for as long as the state directory may live: nothing renews them, and they never leave it. They begin long
/// ago, because the clock of a machine that has just been switched on may be wrong.
fn params(name: &str, addresses: Vec<String>) -> Result<CertificateParams, UpError> {
    let mut params = CertificateParams::new(addresses)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::testing::Scratch;

    #[test]
    fn certificates_are_made_once_and_all_of_them_or_again() {
        let scratch = Scratch::new("pki");
        let pki = Pki::ensure(scratch.path()).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let (ca, server) = (read(&pki.ca), read(&pki.server));
        Pki::ensure(scratch.path()).unwrap();
        assert_eq!((read(&pki.ca), read(&pki.server)), (ca.clone(), server.clone()));
        // As if the process had been killed before the last file.
        fs::remove_file(&pki.ca).unwrap();
        Pki::ensure(scratch.path()).unwrap();
        assert_ne!(read(&pki.ca), ca);
        assert_ne!(read(&pki.server), server, "it would not be signed by the new authority");
    }
}
