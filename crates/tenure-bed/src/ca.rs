//! A certificate authority that nobody trusts but the test that made it.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::folder::Folder;

/// An authority made for one test. Its files go with it.
#[derive(Debug)]
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
    path: PathBuf,
    folder: Folder,
}

/// The files of a certificate and of its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Ca {
    /// A new authority, unlike any other.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes keys and files")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = format!("authority {:08x} of a test", fastrand::u32(..));
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, new_key());
        let issuer = issuer.expect("cannot make an authority");
        let folder = Folder::new();
        let path = folder.path().join("ca.pem");
        let pem = issuer.pem();
        fs::write(&path, &pem).expect("cannot write a certificate");
        Self {
            issuer,
            pem,
            path,
            folder,
        }
    }

    /// The file with its certificate, for clients to trust.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate of a client by the name of `name`.
    #[must_use]
    pub fn client(&self, name: &str) -> Pair {
        let (certificate, key) = self.issue(&[name]);
        let serial = fastrand::u64(..);
        let write = |kind: &str, text: String| {
            let path = self.folder.path().join(format!("{serial:016x}-{kind}.pem"));
            fs::write(&path, text).expect("cannot write a certificate");
            path
        };
        Pair {
            certificate: write("certificate", certificate),
            key: write("key", key),
        }
    }

    /// A certificate for names and addresses, and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let names = names.iter().map(|name| (*name).to_owned());
        let params = CertificateParams::new(names.collect::<Vec<_>>());
        let mut params = params.expect("not a name of a host");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("cannot sign a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("cannot make a key")
}
