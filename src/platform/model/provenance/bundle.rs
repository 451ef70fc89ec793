//! Signatures as OpenSSF Model Signing has them (<https://github.com/sigstore/model-transparency>): a sigstore bundle v0.3 in JSON, in it a
//! DSSE envelope (<https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md>), in it an in-toto statement that names every file with
//! its SHA-256. The subject's digest is SHA-256 over the raw digests in the order of the files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::files::ModelFile;
use crate::base::hex;
use crate::infrastructure::keys::{EcKey, EcPublicKey, KeyError};

/// The type of the statement.
pub const SIGNATURE: &str = "https://model_signing/signature/v1.0";
pub(super) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const MEDIA: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The statement that a signature over `files` makes; `name` is what the model is called.
pub fn signature_statement(name: &str, files: &[ModelFile]) -> Value {
    let resource =
        |file: &ModelFile| json!({"name": file.path, "algorithm": "sha256", "digest": file.sha256});
    json!({
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root(files.iter().map(|file| file.sha256.as_str()))}}],
        "predicateType": SIGNATURE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": []},
            "resources": files.iter().map(resource).collect::<Vec<_>>(),
        },
    })
}

/// SHA-256 over raw digests that are given in hexadecimal.
fn root<'a>(digests: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for digest in digests {
        hasher.update(unhex(digest).unwrap_or_default());
    }
    hex(hasher.finalize().as_slice())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The bundle of a statement, signed with `key`.
pub fn sign(statement: &Value, key: &EcKey) -> Result<Value, KeyError> {
    // A JSON value: writing it cannot fail.
    let payload = serde_json::to_vec_pretty(statement).unwrap_or_default();
    let signature = key.sign(&encoded(&payload))?;
    Ok(json!({
        "mediaType": MEDIA,
        "verificationMaterial": {"publicKey": {"hint": key.public().hint()}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": STANDARD.encode(signature), "keyid": ""}],
        },
    }))
}

/// What is signed: DSSE's pre-authentication encoding.
fn encoded(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

/// A bundle as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Hint,
}

#[derive(Deserialize)]
struct Hint {
    hint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    digest: Sha,
}

#[derive(Deserialize)]
struct Sha {
    sha256: String,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Which key a bundle says it was signed with: [`EcPublicKey::hint`].
pub fn hint(bundle: &Value) -> Option<&str> {
    bundle.pointer("/verificationMaterial/publicKey/hint")?.as_str()
}

/// Checks that `bundle` is a signature by `key` over just `files`; else what is wrong.
pub fn verify(bundle: &Value, key: &EcPublicKey, files: &[ModelFile]) -> Result<(), String> {
    let bundle =
        Bundle::deserialize(bundle).map_err(|error| format!("it is no bundle with a key: {error}"))?;
    if bundle.media_type != MEDIA {
        return Err(format!("its media type is `{}`", bundle.media_type.escape_debug()));
    }
    if bundle.verification_material.public_key.hint != key.hint() {
        return Err("it was made with another key".to_owned());
    }
    let envelope = bundle.dsse_envelope;
    if envelope.payload_type != PAYLOAD {
        return Err(format!("its payload is of type `{}`", envelope.payload_type.escape_debug()));
    }
    let decode =
        |text: &str| STANDARD.decode(text).map_err(|_| "it holds something else than base64".to_owned());
    let payload = decode(&envelope.payload)?;
    let [signature] = &envelope.signatures[..] else {
        return Err(format!("it has {} signatures", envelope.signatures.len()));
    };
    if !key.verifies(&encoded(&payload), &decode(&signature.sig)?) {
        return Err("the signature does not hold".to_owned());
    }
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| format!("it states nothing about files: {error}"))?;
    if (statement.kind.as_str(), statement.predicate_type.as_str()) != (STATEMENT, SIGNATURE) {
        return Err(format!("it states something else: `{}`", statement.predicate_type.escape_debug()));
    }
    let Serialization { method, hash_type } = &statement.predicate.serialization;
    if (method.as_str(), hash_type.as_str()) != ("files", "sha256") {
        return Err(format!(
            "it is over {} by {}, not over files by sha256",
            method.escape_debug(),
            hash_type.escape_debug()
        ));
    }
    let resources = statement.predicate.resources;
    let [subject] = &statement.subject[..] else {
        return Err(format!("it is about {} subjects", statement.subject.len()));
    };
    if root(resources.iter().map(|resource| resource.digest.as_str())) != subject.digest.sha256 {
        return Err("the digest of its subject is not that of its files".to_owned());
    }
    for file in files {
        match resources.iter().find(|resource| resource.name == file.path) {
            None => return Err(format!("`{}` is not signed", file.path.escape_debug())),
            Some(resource) if resource.algorithm != "sha256" || resource.digest != file.sha256 => {
                return Err(format!("`{}` is not the file that was signed", file.path.escape_debug()));
            }
            Some(_) => {}
        }
    }
    match resources.iter().find(|resource| files.iter().all(|file| file.path != resource.name)) {
        Some(resource) => Err(format!("`{}` was signed and is missing", resource.name.escape_debug())),
        None if resources.len() != files.len() => Err("it names a file twice".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    /// A fresh key.
    fn key() -> EcKey {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", "", "-f"])
            .arg(&path)
            .status();
        assert!(made.expect("ssh-keygen starts").success());
        EcKey::from_pem(&std::fs::read_to_string(path).expect("reads"), "key").expect("is one")
    }

    fn file(path: &str, bytes: &[u8]) -> ModelFile {
        let sha256 = hex(Sha256::digest(bytes).as_slice());
        ModelFile { path: path.to_owned(), size: bytes.len() as u64, id: Digest::of(bytes), sha256 }
    }

    #[test]
    fn the_subject_is_the_one_that_the_public_tool_computes() {
        // model_signing 1.1.1 on a folder with these two files.
        let files = [file("model.safetensors", b"hi\n"), file("sub/a", b"x\n")];
        let statement = signature_statement("m", &files);
        assert_eq!(
            statement["subject"][0]["digest"]["sha256"],
            "c411a4924ea846393ef2ee46d132d47e2e035de0bdca3a6323539af295cc958f"
        );
    }

    #[test]
    fn a_bundle_holds_for_its_files_and_key_alone_and_no_bit_may_be_another() {
        let files = [file("model.json", b"{}"), file("model.safetensors", b"weights")];
        let key = key();
        let bundle = sign(&signature_statement("digits@7", &files), &key).expect("signs");
        assert_eq!(verify(&bundle, &key.public(), &files), Ok(()));
        assert_eq!(hint(&bundle), Some(key.public().hint().as_str()));
        let said = |files: &[ModelFile]| verify(&bundle, &key.public(), files).expect_err("is refused");
        assert!(said(&files[..1]).contains("`model.safetensors` was signed and is missing"));
        assert!(
            said(&[files[0].clone(), file("model.safetensors", b"weightz")])
                .contains("not the file that was signed")
        );
        assert!(said(&[&files[..], &[file("more", b"")]].concat()).contains("`more` is not signed"));
        assert!(
            verify(&bundle, &self::key().public(), &files).expect_err("another key").contains("another key")
        );
        for place in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
            let text = bundle.pointer(place).and_then(Value::as_str).expect("is text");
            let bytes = STANDARD.decode(text).expect("is base64");
            for bit in (0..bytes.len() * 8).step_by(11) {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                let mut bundle = bundle.clone();
                *bundle.pointer_mut(place).expect("is there") = STANDARD.encode(other).into();
                assert!(verify(&bundle, &key.public(), &files).is_err(), "{place}, bit {bit}");
            }
        }
    }
}
