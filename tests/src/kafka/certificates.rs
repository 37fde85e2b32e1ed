//! A certificate authority that lives as long as a test, and what it signs.
//!
//! In: a folder. Out: PEM files: two authorities (the second signs nothing that anybody here uses), the broker's certificate with its
//! key, and a client's. Invariant: valid for a day, for this machine's loopback alone.

use std::path::{Path, PathBuf};

use crate::duck::python;

/// The Python package comes with the S3 server's. `server.pem` holds key and certificate, as Java's PEM key stores want them.
const MAKE: &str = "
import datetime, ipaddress, pathlib, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

folder, now = pathlib.Path(sys.argv[1]), datetime.datetime.now(datetime.timezone.utc)
def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
def key_text(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
def certificate(subject, key, issuer, issuer_key, is_authority, names):
    day = datetime.timedelta(days=1)
    made = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True))
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
def new_key():
    return ec.generate_private_key(ec.SECP256R1())

for authority in ('ca', 'other-ca'):
    own = new_key()
    (folder / (authority + '.pem')).write_bytes(certificate(authority, own, authority, own, True, []))
    if authority == 'ca':
        here = [x509.DNSName('localhost'), x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]
        for subject, names in (('broker', here), ('facestream', [])):
            key = new_key()
            signed = certificate(subject, key, 'ca', own, False, names)
            (folder / (subject + '.pem')).write_bytes(key_text(key) + signed)
            (folder / (subject + '-key.pem')).write_bytes(key_text(key))
            (folder / (subject + '-certificate.pem')).write_bytes(signed)
";

/// The files.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`, which is there.
    pub(crate) fn make(folder: &Path) -> Certificates {
        let _ = python(MAKE, &[&folder.display().to_string()], "", folder);
        Certificates { folder: folder.to_owned() }
    }

    /// The authority that signed all others.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// One that signed none of them.
    pub(crate) fn other_authority(&self) -> PathBuf {
        self.folder.join("other-ca.pem")
    }

    /// The broker's key and certificate.
    pub(crate) fn broker(&self) -> PathBuf {
        self.folder.join("broker.pem")
    }

    /// The certificate of a client called `facestream`, and its key.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("facestream-certificate.pem"), self.folder.join("facestream-key.pem"))
    }
}
