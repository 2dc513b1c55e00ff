//! Ed25519 keys as PEM files (PKCS#8, SPKI): made with safe permissions, never printed.
//!
//! A private key file is readable by its owner alone and is never overwritten. With a passphrase it is encrypted (PBES2:
//! scrypt and AES-256). A key that others can read is refused rather than used.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use undertone_core::Sha256Digest;
use undertone_store::write_atomic;
use zeroize::Zeroizing;

use crate::files::read_bounded;

/// The longest key file.
pub(super) const MAX_KEY_BYTES: u64 = 64 << 10;

/// A key could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the key `{}`", path.display())]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: KeyErrorKind,
}

/// Why a key could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyErrorKind {
    /// The operating system refused, or has no randomness.
    #[error("the operating system refused")]
    Io(#[source] io::Error),
    /// There is a file of that name; keys are never overwritten.
    #[error("there is a file of that name already; keys are not overwritten")]
    Exists,
    /// Others may read or change the file.
    #[error("its permissions are {mode:o}: others may read it. `chmod 600` it, or make a new key")]
    Open {
        /// The permissions.
        mode: u32,
    },
    /// The file holds no key of this kind.
    #[error("it is no PEM file with this kind of key: {what}")]
    NotAKey {
        /// Which half was expected.
        what: &'static str,
    },
    /// The file is encrypted and no passphrase was given.
    #[error("it is encrypted: a passphrase is needed")]
    NeedsPassphrase,
    /// The passphrase does not open the file.
    #[error("the passphrase does not open it")]
    WrongPassphrase,
}

/// A private key. Shows nothing of itself, and is wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", &self.public().id()[..12])
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl SigningKey {
    /// Makes a key of the operating system's randomness.
    ///
    /// # Errors
    /// If there is none.
    pub fn generate() -> Result<Self, KeyErrorKind> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|error| KeyErrorKind::Io(io::Error::other(error)))?;
        Ok(SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Returns the public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Writes the key to a new file that only its owner can read, encrypted if there is a passphrase.
    ///
    /// # Errors
    /// [`Exists`](KeyErrorKind::Exists) if there is a file; [`Io`](KeyErrorKind::Io).
    pub fn write(&self, path: &Path, passphrase: Option<&str>) -> Result<(), KeyError> {
        let fail = |kind| KeyError {
            path: path.to_owned(),
            kind,
        };
        // Without the public half: some readers know only the first version of the format.
        let pair = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = match passphrase {
            None => pair.to_pkcs8_pem(LineEnding::LF),
            Some(passphrase) => pair.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
        };
        let pem = pem.expect("32 bytes have a PEM form");
        let written = new_private_file(path).and_then(|mut file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| {
            fail(match error.kind() {
                io::ErrorKind::AlreadyExists => KeyErrorKind::Exists,
                _ => KeyErrorKind::Io(error),
            })
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyErrorKind`] says what to do about it.
    pub fn read(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyError> {
        Self::read_kind(path, passphrase).map_err(|kind| KeyError {
            path: path.to_owned(),
            kind,
        })
    }

    fn read_kind(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyErrorKind> {
        check_permissions(path)?;
        let bytes = Zeroizing::new(read_bounded(path, MAX_KEY_BYTES).map_err(KeyErrorKind::Io)?);
        let what = "ed25519 private key (PKCS#8)";
        let text = std::str::from_utf8(&bytes).map_err(|_| KeyErrorKind::NotAKey { what })?;
        let is_encrypted = text.contains("BEGIN ENCRYPTED PRIVATE KEY");
        let key = match (is_encrypted, passphrase) {
            (false, _) => ed25519_dalek::SigningKey::from_pkcs8_pem(text)
                .map_err(|_| KeyErrorKind::NotAKey { what })?,
            (true, None) => return Err(KeyErrorKind::NeedsPassphrase),
            (true, Some(passphrase)) => {
                ed25519_dalek::SigningKey::from_pkcs8_encrypted_pem(text, passphrase)
                    .map_err(|_| KeyErrorKind::WrongPassphrase)?
            }
        };
        Ok(SigningKey(key))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl PublicKey {
    /// Returns the name envelopes call it by: the SHA-256 of its DER form, in hexadecimal digits.
    pub fn id(&self) -> String {
        let der = self.0.to_public_key_der().expect("a key has a DER form");
        Sha256Digest::of(der.as_bytes()).hex()
    }

    /// Returns its PEM form (SPKI).
    pub fn pem(&self) -> String {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .expect("a key has a PEM form")
    }

    /// Writes its PEM form, replacing what was there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), undertone_store::StoreError> {
        write_atomic(path, self.pem().as_bytes())
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// [`NotAKey`](KeyErrorKind::NotAKey), above all if it is the private half or of another algorithm.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let read = || {
            let what = "ed25519 public key";
            let bytes = read_bounded(path, MAX_KEY_BYTES).map_err(KeyErrorKind::Io)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| KeyErrorKind::NotAKey { what })?;
            VerifyingKey::from_public_key_pem(text).map_err(|_| KeyErrorKind::NotAKey { what })
        };
        read().map(PublicKey).map_err(|kind| KeyError {
            path: path.to_owned(),
            kind,
        })
    }

    pub(crate) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

#[cfg(unix)]
pub(super) fn new_private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Windows gives a new file its folder's permissions, which in a profile are the owner's.
#[cfg(not(unix))]
pub(super) fn new_private_file(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
pub(super) fn check_permissions(path: &Path) -> Result<(), KeyErrorKind> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .map_err(KeyErrorKind::Io)?
        .permissions()
        .mode()
        & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(KeyErrorKind::Open { mode }),
    }
}

#[cfg(not(unix))]
pub(super) fn check_permissions(_: &Path) -> Result<(), KeyErrorKind> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_round_trips_with_and_without_a_passphrase_and_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate().expect("randomness");
        for (name, passphrase) in [("plain.pem", None), ("locked.pem", Some("open sesame"))] {
            let path = folder.path().join(name);
            key.write(&path, passphrase).expect("a new file");
            let read = SigningKey::read(&path, passphrase).expect("our own file");
            assert_eq!(read.public(), key.public());
            let again = key.write(&path, passphrase).expect_err("it is there");
            assert!(matches!(again.kind, KeyErrorKind::Exists));
        }
        let locked = folder.path().join("locked.pem");
        let kind = |passphrase| {
            SigningKey::read(&locked, passphrase)
                .expect_err("locked")
                .kind
        };
        assert!(matches!(kind(None), KeyErrorKind::NeedsPassphrase));
        assert!(matches!(kind(Some("guess")), KeyErrorKind::WrongPassphrase));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_made_for_its_owner_alone_and_one_that_others_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let key = SigningKey::generate().expect("randomness");
        key.write(&path, None).expect("a new file");
        let mode = std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open).expect("our own file");
        let error = SigningKey::read(&path, None).expect_err("others may read it");
        assert!(matches!(error.kind, KeyErrorKind::Open { mode: 0o644 }));
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = SigningKey(ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
        let shown = format!("{key:?}");
        assert_eq!(shown.len(), "SigningKey()".len() + 12);
        assert!(!shown.contains("7, 7") && !shown.contains("0707"));
    }

    #[test]
    fn public_keys_round_trip_and_other_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pub");
        let key = SigningKey::generate().expect("randomness").public();
        key.write(&path).expect("a new file");
        assert_eq!(PublicKey::read(&path).expect("our own file"), key);
        std::fs::write(
            &path,
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        )
        .expect("writable");
        assert!(PublicKey::read(&path).is_err());
    }
}
