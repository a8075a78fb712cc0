//! TLS to a server whose certificate is verified.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::Reason;

const NO_ROOT: Reason =
    Reason::RootCertificates("expected sslrootcert to be the path of a PEM file of certificates");
const NO_ROOTS: Reason = Reason::RootCertificates(
    "this system trusts no certificate authority: set sslrootcert to the path \
     of a PEM file of certificates",
);
const NO_PROTOCOL: Reason = Reason::Url("the TLS library supports no version of TLS");

/// A connector that trusts the authorities in the file, or those that the system trusts.
///
/// The certificate chain and the host's name are verified for each `sslmode` that requires
/// TLS: encryption without verification does not protect from a man in the middle.
pub(super) fn verified(root: Option<&str>) -> Result<MakeRustlsConnect, Reason> {
    let mut roots = RootCertStore::empty();
    match root {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).map_err(|_| NO_ROOT)?;
            for certificate in certificates {
                let certificate = certificate.map_err(|_| NO_ROOT)?;
                roots.add(certificate).map_err(|_| NO_ROOT)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(root.map_or(NO_ROOTS, |_| NO_ROOT));
    }
    // Named here, since the program may have installed another default provider.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| NO_PROTOCOL)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
