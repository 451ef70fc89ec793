//! SSH signatures by plain keys, checked without a process: a ledger may hold thousands.
//!
//! Only Ed25519 and NIST P-256, only signers' lines that leave no doubt, and only to say yes. Whatever else there is (hardware keys,
//! RSA, certificates, patterns, options, every no) is for `ssh-keygen`, whose word counts.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Whether `signature` over `bytes` in `namespace` is by a key that `signers` plainly gives to `principal` at the time `at`
/// (`YYYYMMDDHHMMSS`). None: somebody else has to say.
pub(super) fn holds(
    signers: &str,
    principal: &str,
    namespace: &str,
    bytes: &[u8],
    signature: &str,
    at: &str,
) -> Option<()> {
    let signature = Signature::read(signature)?;
    if signature.namespace != namespace.as_bytes() || namespace.is_empty() {
        return None;
    }
    is_signer(signers, principal, namespace, &signature.key, at)?;
    signature.verify(bytes)
}

/// Goes through the lines as `ssh-keygen` does, up to the one that decides; any that could mean something else ends it.
fn is_signer(signers: &str, principal: &str, namespace: &str, key: &[u8], at: &str) -> Option<()> {
    if signers.contains('\r') {
        return None;
    }
    for line in signers.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut fields = line.split([' ', '\t']).filter(|field| !field.is_empty());
        let principals = fields.next()?;
        if principals.contains(['*', '?', '!', '"', '\\']) {
            return None;
        }
        let mut field = fields.next()?;
        let mut is_open = true;
        if !is_type(field) {
            is_open = options(field, namespace, at)?;
            field = fields.next()?;
        }
        if !is_type(field) {
            return None;
        }
        let known = STANDARD.decode(fields.next()?).ok()?;
        // The type is written twice, and a key file may lie.
        if Parts(&known).string()? != field.as_bytes() {
            return None;
        }
        if is_open && known == key && principals.split(',').any(|known| known == principal) {
            return Some(());
        }
    }
    None
}

fn is_type(field: &str) -> bool {
    ["ssh-ed25519", "ecdsa-sha2-nistp256"].contains(&field)
}

/// Whether these options let the key sign in `namespace` at `at`; none if one of them says something else.
pub(super) fn options(field: &str, namespace: &str, at: &str) -> Option<bool> {
    let mut is_open = true;
    let mut seen = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        rest = match after.strip_prefix(',') {
            Some("") => return None,
            Some(more) => more,
            None if after.is_empty() => "",
            None => return None,
        };
        if value.is_empty() || value.contains('\\') || seen.contains(&name) {
            return None;
        }
        seen.push(name);
        is_open &= match name {
            "namespaces" if !value.contains(['*', '?', '!']) => {
                value.split(',').any(|known| known == namespace)
            }
            "valid-after" => time(value)?.as_str() < at,
            "valid-before" => at < time(value)?.as_str(),
            _ => return None,
        };
    }
    Some(is_open)
}

/// `YYYYMMDD[HHMM[SS]][Z]` with all its digits. Times are UTC. Days that not every month has are for the program to judge.
fn time(text: &str) -> Option<String> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    let whole = [8, 12, 14].contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = whole.then(|| format!("{digits:0<14}"))?;
    let within = |at: std::ops::Range<usize>, low, high| (low..=high).contains(&&digits[at]);
    let is_time = within(4..6, "01", "12")
        && within(6..8, "01", "28")
        && within(8..10, "00", "23")
        && within(10..12, "00", "59")
        && within(12..14, "00", "59");
    is_time.then_some(digits)
}

/// Length-prefixed strings (RFC 4251, section 5), one after the other.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }

    /// Nothing may follow.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A signature in the format of PROTOCOL.sshsig.
struct Signature {
    key: Vec<u8>,
    namespace: Vec<u8>,
    hash: Vec<u8>,
    signed: Vec<u8>,
}

impl Signature {
    fn read(armoured: &str) -> Option<Self> {
        let text = armoured.strip_prefix("-----BEGIN SSH SIGNATURE-----\n")?.trim_end_matches('\n');
        let text = text.strip_suffix("-----END SSH SIGNATURE-----")?;
        let blob = STANDARD.decode(text.replace('\n', "")).ok()?;
        let mut parts = Parts(&blob);
        if parts.take(6)? != b"SSHSIG" || parts.number()? != 1 {
            return None;
        }
        let (key, namespace) = (parts.string()?.to_vec(), parts.string()?.to_vec());
        let reserved = parts.string()?;
        let (hash, signed) = (parts.string()?.to_vec(), parts.string()?.to_vec());
        parts.end()?;
        reserved.is_empty().then_some(Self { key, namespace, hash, signed })
    }

    fn verify(&self, bytes: &[u8]) -> Option<()> {
        let hash = match &self.hash[..] {
            b"sha256" => &SHA256,
            b"sha512" => &SHA512,
            _ => return None,
        };
        let mut message = b"SSHSIG".to_vec();
        for part in [&self.namespace[..], b"", &self.hash, digest(hash, bytes).as_ref()] {
            message.extend(u32::try_from(part.len()).ok()?.to_be_bytes());
            message.extend(part);
        }
        let (mut key, mut signed) = (Parts(&self.key), Parts(&self.signed));
        let kind = key.string()?;
        if signed.string()? != kind {
            return None;
        }
        let value = signed.string()?;
        signed.end()?;
        match kind {
            b"ssh-ed25519" => {
                let point = key.string()?;
                key.end()?;
                UnparsedPublicKey::new(&ED25519, point).verify(&message, value).ok()
            }
            b"ecdsa-sha2-nistp256" => {
                let (curve, point) = (key.string()?, key.string()?);
                key.end()?;
                let mut numbers = Parts(value);
                let pair = [number(numbers.string()?)?, number(numbers.string()?)?].concat();
                numbers.end()?;
                if curve != b"nistp256" {
                    return None;
                }
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&message, &pair).ok()
            }
            _ => None,
        }
    }
}

/// An `mpint` (RFC 4251) of up to 32 bytes, at its full length.
fn number(bytes: &[u8]) -> Option<[u8; 32]> {
    let bytes = match bytes {
        [0, rest @ ..] => rest,
        [first, ..] if first & 0x80 != 0 => return None,
        bytes => bytes,
    };
    let mut number = [0; 32];
    number[32usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    Some(number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::infrastructure::keys::{NAMESPACE_LEDGER, sign};

    const AT: &str = "20260503120000";

    /// A fresh key of this type: its file and its public line.
    fn key(folder: &Path, kind: &str) -> (std::path::PathBuf, String) {
        let path = folder.join(kind);
        let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&path).status();
        assert!(made.expect("ssh-keygen starts").success());
        let public = std::fs::read_to_string(path.with_extension("pub")).expect("reads");
        (path, public.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_plain_keys_signed_holds_for_just_that_and_nothing_with_another_bit() {
        let folder = tempfile::tempdir().expect("makes a folder");
        for kind in ["ed25519", "ecdsa"] {
            let (path, public) = key(folder.path(), kind);
            let signers = format!("# people\nmax,ada {public}\n");
            let signature = sign(b"bytes", NAMESPACE_LEDGER, &path).expect("signs");
            let holds = |signers: &str, who, namespace, bytes: &[u8], signature: &str| {
                holds(signers, who, namespace, bytes, signature, AT).is_some()
            };
            assert!(holds(&signers, "max", NAMESPACE_LEDGER, b"bytes", &signature), "{kind}");
            assert!(holds(&signers, "ada", NAMESPACE_LEDGER, b"bytes", &signature), "{kind}");
            assert!(!holds(&signers, "sam", NAMESPACE_LEDGER, b"bytes", &signature));
            assert!(!holds(&signers, "max", "mlp-approval", b"bytes", &signature));
            assert!(!holds(&signers, "max", NAMESPACE_LEDGER, b"bytez", &signature));
            let blob: String = signature.lines().filter(|line| !line.starts_with('-')).collect();
            let blob = STANDARD.decode(blob).expect("is base64");
            for bit in 0..blob.len() * 8 {
                let mut other = blob.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                let text = STANDARD.encode(other);
                let text = format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n");
                assert!(!holds(&signers, "max", NAMESPACE_LEDGER, b"bytes", &text), "{kind}, bit {bit}");
            }
        }
    }

    #[test]
    fn lines_that_could_mean_something_else_are_left_to_the_program() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (path, public) = key(folder.path(), "ed25519");
        let signature = sign(b"bytes", NAMESPACE_LEDGER, &path).expect("signs");
        let holds =
            |signers: &str| holds(signers, "max", NAMESPACE_LEDGER, b"bytes", &signature, AT).is_some();
        for options in [
            "",
            "valid-after=\"20260101\"",
            "valid-before=\"20260601Z\",valid-after=\"202601010000\"",
            "namespaces=\"mlp-approval,mlp-ledger\"",
        ] {
            assert!(holds(&format!("max {options} {public}\n")), "{options}");
        }
        for line in [
            format!("* {public}"),
            format!("\"max\" {public}"),
            format!("max cert-authority {public}"),
            format!("max valid-after=\"20260601\" {public}"),
            format!("max valid-before=\"20260503120000\" {public}"),
            format!("max valid-before=\"2026\" {public}"),
            format!("max valid-before=\"20261301\" {public}"),
            format!("max valid-before=\"20260600\" {public}"),
            format!("max valid-before=\"20260631\" {public}"),
            format!("max valid-before=\"202606012400\" {public}"),
            format!("max valid-before=\"202606012360\" {public}"),
            format!("max valid-before=\"20260601235960Z\" {public}"),
            format!("max namespaces=\"mlp-approval\" {public}"),
            format!("max namespaces=\"*\" {public}"),
            format!("max verify-required,valid-after=\"20260101\" {public}"),
            format!("what is this\nmax {public}"),
            format!("max ecdsa-sha2-nistp256 {}", public.split(' ').nth(1).expect("a key")),
            String::new(),
        ] {
            assert!(!holds(&line), "{line}");
        }
    }
}
