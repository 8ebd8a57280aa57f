//! A certificate authority for one run on one machine. Nothing else should ever trust it.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use ward_policy::certificate::CertificateSource;
use ward_policy::phi::Secret;

use crate::console::Failure;

/// A fresh authority.
pub struct DevelopmentCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificate and key in PEM.
pub struct Identity {
    /// The chain, leaf first.
    pub chain: String,
    /// The leaf's private key.
    pub key: Secret<String>,
    /// Where they come from.
    pub source: CertificateSource,
}

impl DevelopmentCa {
    /// Makes the authority's key and certificate.
    ///
    /// # Errors
    /// [`Failure::Checked`] when the machine cannot make keys.
    pub fn new() -> Result<Self, Failure> {
        let mut parameters = CertificateParams::new(Vec::new()).map_err(failure)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.distinguished_name.push(DnType::CommonName, "Ward development CA");
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failure)?;
        let issuer = CertifiedIssuer::self_signed(parameters, key).map_err(failure)?;
        Ok(Self { issuer })
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `names`, with its key.
    ///
    /// # Errors
    /// [`Failure::Checked`] when a name cannot stand in a certificate.
    pub fn issue(&self, names: &[&str]) -> Result<Identity, Failure> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).map_err(failure)?;
        parameters.distinguished_name.push(DnType::CommonName, "Ward development server");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failure)?;
        let leaf = parameters.signed_by(&key, &self.issuer).map_err(failure)?;
        let chain = format!("{}{}", leaf.pem(), self.issuer.pem());
        let key = Secret::new(key.serialize_pem());
        Ok(Identity { chain, key, source: CertificateSource::DevelopmentCa })
    }
}

impl std::fmt::Debug for DevelopmentCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DevelopmentCa(…)")
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: rcgen::Error) -> Failure {
    Failure::Checked(format!("the development CA: {error}"))
}
