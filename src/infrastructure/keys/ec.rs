//! Keys on the curve NIST P-256, for what other tools verify: envelopes signed with ECDSA and SHA-256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::KeyError;
use crate::base::hex;

/// DER of a SubjectPublicKeyInfo (RFC 5480) up to the point: `id-ecPublicKey` on `prime256v1`, and a bit string of 65 bytes.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of an uncompressed point: a 4, x, y.
const POINT: usize = 65;

/// A private key. It is nowhere but in memory.
pub struct EcKey(EcdsaKeyPair);

impl EcKey {
    /// The key in the PEM text that `name` stands for in messages: SEC 1 (`EC PRIVATE KEY`) or PKCS#8 (`PRIVATE KEY`), without a passphrase.
    pub fn from_pem(text: &str, name: &str) -> Result<Self, KeyError> {
        let wrong = |why: &str| KeyError::NoModelKey(format!("{name}: {why}"));
        if text.trim().is_empty() {
            return Err(wrong(
                "it is empty; `openssl ecparam -name prime256v1 -genkey -noout -out signing.pem` makes a key",
            ));
        }
        if text.contains("OPENSSH PRIVATE KEY") {
            return Err(wrong(
                "it is in OpenSSH's own format; make a key for models: `openssl ecparam -name prime256v1 -genkey -noout -out signing.pem`",
            ));
        }
        if text.contains("ENCRYPTED") {
            return Err(wrong("it has a passphrase; name a command that prints it without one"));
        }
        let der = block(text, "EC PRIVATE KEY").or_else(|| block(text, "PRIVATE KEY"));
        let der = der.ok_or_else(|| wrong("it is no private key in PEM"))?;
        EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
            .map(Self)
            .map_err(|_| wrong("it is no key on the curve P-256 (`openssl ecparam -name prime256v1 -genkey -noout` makes one)"))
    }

    /// The signature over `bytes`: DER of ECDSA's two numbers.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signed = self.0.sign(&SystemRandom::new(), bytes);
        signed.map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::CannotSign {
            key: "P-256".to_owned(),
            why: "the library refused".to_owned(),
        })
    }

    /// The public half.
    pub fn public(&self) -> EcPublicKey {
        let mut point = [0; POINT];
        point.copy_from_slice(self.0.public_key().as_ref());
        EcPublicKey(point)
    }
}

/// A public key: an uncompressed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcPublicKey([u8; POINT]);

impl EcPublicKey {
    /// The key in PEM text (`PUBLIC KEY`), or in a line `ecdsa-sha2-nistp256 AAAA…` of SSH.
    pub fn from_text(text: &str, name: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::NoModelKey(format!("{name}: it is no public key on the curve P-256"));
        if text.trim().is_empty() {
            let how = "`openssl ec -in signing.pem -pubout -out signing.pub.pem` writes one";
            return Err(KeyError::NoModelKey(format!("{name}: it is empty; {how}")));
        }
        if let Some(der) = block(text, "PUBLIC KEY") {
            let point = der.strip_prefix(&SPKI[..]).ok_or_else(wrong)?;
            return Self::from_point(point).ok_or_else(wrong);
        }
        Self::from_ssh(text).ok_or_else(wrong)
    }

    fn from_point(point: &[u8]) -> Option<Self> {
        let point: [u8; POINT] = point.try_into().ok()?;
        (point[0] == 4).then_some(Self(point))
    }

    /// The key in the first field pair `ecdsa-sha2-nistp256 AAAA…` of a line: of a public key file, or of `allowed_signers`.
    pub(super) fn from_ssh(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().skip_while(|field| *field != "ecdsa-sha2-nistp256");
        let blob = STANDARD.decode(fields.nth(1)?).ok()?;
        // Type and curve, each with its length, then the point with its length (RFC 5656, section 3.1).
        let (head, point) = blob.split_at_checked(blob.len().checked_sub(POINT)?)?;
        let expected = b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x08nistp256\0\0\0\x41";
        (head == expected).then(|| Self::from_point(point)).flatten()
    }

    /// The key as PEM text, as others write it: lines of 64 letters.
    pub fn pem(&self) -> String {
        let text = STANDARD.encode([&SPKI[..], &self.0].concat());
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem + "-----END PUBLIC KEY-----\n"
    }

    /// What stands for the key in a bundle: SHA-256 of its PEM text in hexadecimal.
    pub fn hint(&self) -> String {
        hex(&Sha256::digest(self.pem()))
    }

    /// Whether `signature` over `bytes` is by this key.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0[..]).verify(bytes, signature).is_ok()
    }
}

/// The bytes of the first block `label` of PEM text (RFC 7468).
fn block(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn generated(format: &str) -> (String, String) {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ecdsa", "-b", "256", "-m", format, "-N", "", "-f"])
            .arg(&path)
            .status();
        assert!(made.expect("ssh-keygen starts").success());
        let read = |path| std::fs::read_to_string(path).expect("reads");
        (read(path.clone()), read(path.with_extension("pub")))
    }

    #[test]
    fn what_a_key_signs_its_public_half_verifies_in_all_its_forms() {
        for format in ["PEM", "PKCS8"] {
            let (private, public) = generated(format);
            let key = EcKey::from_pem(&private, "key").expect("reads");
            let signature = key.sign(b"bytes").expect("signs");
            for public in [public, key.public().pem()] {
                let public = EcPublicKey::from_text(&public, "key").expect("reads");
                assert_eq!((public, public.hint()), (key.public(), key.public().hint()));
                assert!(public.verifies(b"bytes", &signature));
                assert!(!public.verifies(b"bytez", &signature));
                for bit in 0..signature.len() * 8 {
                    let mut other = signature.clone();
                    other[bit / 8] ^= 1 << (bit % 8);
                    assert!(!public.verifies(b"bytes", &other), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn other_keys_and_texts_are_refused_with_a_reason() {
        let (openssh, _) = generated("RFC4716");
        let said = |text: &str| EcKey::from_pem(text, "key.pem").err().expect("is refused").to_string();
        assert!(said(&openssh).contains("`openssl ecparam "));
        assert!(said("hello").contains("no private key in PEM"));
        assert!(said("\n").contains("it is empty"));
        assert!(said("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains("P-256"));
        for text in ["", "ssh-ed25519 AAAA", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256 AAAA"] {
            assert!(EcPublicKey::from_text(text, "key.pub").is_err(), "{text}");
        }
    }
}
