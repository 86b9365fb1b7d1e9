//! Whose certificates are trusted where the program is a client that speaks TLS.

use std::{fmt::Display, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Trusts the system's authorities, and beside them those of a PEM file.
///
/// # Errors
/// What is wrong with the file, which is named.
pub fn trust_system_and(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    add_system(&mut roots);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    config(roots)
}

/// Trusts the authorities of a PEM file, of which there has to be one, or the system's without a file.
///
/// # Errors
/// What is wrong with the file, which is named.
pub fn trust_file_or_system(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => add_system(&mut roots),
        Some(path) => {
            add_file(&mut roots, path)?;
            if roots.is_empty() {
                return Err(format!("{}: no certificate in it", path.display()));
            }
        }
    }
    config(roots)
}

fn add_system(roots: &mut RootCertStore) {
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let named = |error: &dyn Display| format!("{}: {error}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| named(&error))? {
        let certificate = certificate.map_err(|error| named(&error))?;
        roots.add(certificate).map_err(|error| named(&error))?;
    }
    Ok(())
}

fn config(roots: RootCertStore) -> Result<ClientConfig, String> {
    // Named, not the process's default: nothing else in the process then decides which one this is.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
