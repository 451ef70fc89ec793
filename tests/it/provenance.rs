//! `mlp model attest` and `mlp verify`: what other tools ask, checked by other tools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::lifecycle::{FLOOR, Lab, flip_object};
use crate::support::{accepted, ok, refused, run, theirs};

/// A P-256 key in PEM, and its public half in PEM.
fn key(folder: &Path) -> (String, String) {
    let path = folder.join("keys/signing");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", "", "-f"])
        .arg(&path)
        .status();
    assert!(made.expect("ssh-keygen starts").success());
    let public =
        Command::new("ssh-keygen").args(["-e", "-m", "PKCS8", "-f"]).arg(&path).output().expect("starts");
    let pem = folder.join("keys/signing.pem");
    fs::write(&pem, public.stdout).expect("writes");
    (path.display().to_string(), pem.display().to_string())
}

/// A promoted version with weights that are weights, and the files of it in a folder.
fn signed() -> (Lab, PathBuf, String, String) {
    let lab = Lab::new(FLOOR).with_tensors();
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    let (private, public) = key(lab.path());
    let folder = lab.path().join("keys/model");
    fs::create_dir_all(&folder).expect("makes");
    let out = folder.to_str().expect("is text").to_owned();
    ok(lab.path(), &["model", "attest", "digits@1", "--key", &private, "--out", &out]);
    (lab, folder, private, public)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("reads")).expect("is JSON")
}

/// `model_signing verify key FOLDER`.
fn tool(folder: &Path, signature: &Path, public: &str) -> Output {
    let mut command = theirs("signing/bin/model_signing");
    command.args(["verify", "key"]).arg(folder).arg("--signature").arg(signature);
    command.args(["--public_key", public]).env("OTEL_SDK_DISABLED", "true").output().expect("starts")
}

#[test]
fn a_gate_wants_the_signature_of_a_signer_over_just_these_files() {
    let lab = Lab::new("stages:\n  staging: {gates: {ours: {attestation: signed}}}\n").with_tensors();
    lab.version(95);
    let check = |code| {
        let checked = lab.json(&["gate", "check", "digits@1", "--to", "staging"], code);
        let gates = checked["gates"].as_array().expect("is a list").clone();
        gates.into_iter().find(|gate| gate["gate"] == "ours").expect("is there")
    };
    let said = |gate: &Value, words: &str| {
        assert!(gate["observed"].as_str().is_some_and(|text| text.contains(words)), "{words}: {gate}");
    };
    let nobody = check(1);
    assert_eq!(nobody["verdict"], "fail");
    said(&nobody, "has no key that signs models");

    let (private, _) = key(lab.path());
    lab.signers(&[("max", "")]);
    let signers = fs::read_to_string(lab.path().join(".mlp/allowed_signers")).expect("reads");
    let public = fs::read_to_string(lab.path().join("keys/signing.pub")).expect("reads");
    let with_key = |options: &str| {
        lab.commit(
            ".mlp/allowed_signers",
            &format!("{signers}max namespaces=\"model-signing\"{options} {public}"),
        );
    };
    with_key("");
    let open = check(1);
    assert_eq!(
        (&open["verdict"], &open["next"]),
        (&"unknown".into(), &"mlp model attest digits@1 --key signing.pem".into())
    );

    let beside = tempfile::tempdir().expect("makes a folder");
    fs::create_dir(beside.path().join("keys")).expect("makes");
    ok(lab.path(), &["model", "attest", "digits@1", "--key", &key(beside.path()).0]);
    let other = check(1);
    assert_eq!(other["verdict"], "fail");
    said(&other, "by a key of no signer");

    ok(lab.path(), &["model", "attest", "digits@1", "--key", &private]);
    let ours = check(0);
    assert_eq!(ours["evidence"].as_array().map(Vec::len), Some(2), "{ours}");
    said(&ours, "signed by max");
    ok(lab.path(), &["promote", "digits@1", "--to", "staging", "--key", &lab.key("max")]);
    // A key that has expired since signs nothing new, and what was judged stays.
    with_key(",valid-before=\"20200101\"");
    said(&check(1), "has no key that signs models");
    assert!(ok(lab.path(), &["gate", "verify", "digits@1"]).contains("every byte the same"));
    // What was signed are other files than those of the next version.
    with_key("");
    lab.version(96);
    let next = lab.json(&["gate", "explain", "digits@2", "--stage", "staging"], 0);
    let gates = next["gates"].as_array().expect("is a list");
    let ours = gates.iter().find(|gate| gate["gate"] == "ours").expect("is there");
    assert_eq!(ours["now"]["verdict"], "unknown", "{next}");
}

#[test]
fn the_public_tool_verifies_what_mlp_signs_and_mlp_what_the_public_tool_signs() {
    let (lab, statements, private, public) = signed();
    // The files of the version, as anybody gets them.
    let folder = lab.path().join("keys/files");
    let tree = lab.json(&["model", "show", "digits@1"], 0)["tree"].as_str().expect("is text").to_owned();
    let store = lab.store();
    fs::create_dir(&folder).expect("makes");
    for node in store.tree(&tree.parse().expect("is a digest")).expect("reads").nodes {
        let name = String::from_utf8(node.name).expect("is text");
        fs::write(folder.join(name), store.read(&node.id).expect("reads")).expect("writes");
    }
    let signature = statements.join("model.sig");
    let output = tool(&folder, &signature, &public);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // As `mlp model pull` gives them, with what it says of them beside.
    let pulled = lab.path().join("keys/pulled");
    let place = pulled.to_str().expect("is text");
    ok(lab.path(), &["model", "pull", "digits@staging", place]);
    let signature_text = signature.to_str().expect("is text");
    ok(lab.path(), &["verify", place, "--signature", signature_text, "--public-key", &public]);
    // Another byte, a file more: both tools say no.
    let weights = folder.join("model.safetensors");
    let good = fs::read(&weights).expect("reads");
    fs::write(&weights, [&good[..], b"x"].concat()).expect("writes");
    assert!(!tool(&folder, &signature, &public).status.success());
    let shown = folder.to_str().expect("is text");
    let (signature, public) = (signature.to_str().expect("is text"), public.as_str());
    let verify = ["verify", shown, "--signature", signature, "--public-key", public];
    assert!(stdout(&lab, &verify, 1).contains("`model.safetensors` is not the file that was signed"));
    fs::write(&weights, good).expect("writes");

    // The other way round.
    let their_signature = folder.join("model.sig");
    let made = theirs("signing/bin/model_signing")
        .args(["sign", "key", shown, "--private_key", &private, "--signature"])
        .arg(&their_signature)
        .output()
        .expect("starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = stdout(&lab, &["verify", shown, "--public-key", public, "--json"], 0);
    let told: Value = serde_json::from_str(&text).expect("is JSON");
    let check = |name: &str| {
        let checks = told["checks"].as_array().expect("is a list");
        checks.iter().find(|check| check["check"] == name).expect("is there").clone()
    };
    assert_eq!(check("signature")["verdict"], "pass", "{text}");
    assert_eq!((&check("origin")["verdict"], &told["verified"]), (&"pass".into(), &true.into()), "{text}");
}

fn stdout(lab: &Lab, args: &[&str], code: i32) -> String {
    String::from_utf8_lossy(&run(lab.path(), args, code).stdout).into_owned()
}

#[test]
fn statements_say_where_a_version_comes_from_and_what_judged_it() {
    let (lab, folder, _, _) = signed();
    let commit = lab.git(&["rev-parse", "HEAD"]);
    let provenance = json(&folder.join("provenance.intoto.json"));
    assert_eq!(provenance["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(provenance["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(provenance["subject"][0]["name"], "model.safetensors");
    let build = &provenance["predicate"]["buildDefinition"];
    assert_eq!(build["resolvedDependencies"][0]["digest"]["gitCommit"], commit);
    assert_eq!(build["resolvedDependencies"][1]["name"], "mnist");
    assert_eq!(build["externalParameters"]["seed"], 0);

    let verdicts = json(&folder.join("verdicts-staging.intoto.json"));
    assert_eq!(verdicts["predicate"]["result"], "PASSED");
    let passed = verdicts["predicate"]["passedTests"].as_array().expect("is a list");
    assert!(passed.contains(&"staging/floor".into()), "{passed:?}");
    assert_eq!(verdicts["subject"], provenance["subject"]);

    let bill = json(&folder.join("bom.cdx.json"));
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let component = &bill["metadata"]["component"];
    assert_eq!((&component["type"], &component["version"]), (&"machine-learning-model".into(), &"1".into()));
    let metrics = &component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"];
    assert_eq!((&metrics[0]["type"], &metrics[0]["value"]), (&"accuracy".into(), &"0.95".into()));

    let schema = "import sys; from cyclonedx.schema import SchemaVersion; from cyclonedx.validation.json import JsonStrictValidator; \
                  sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()) or '') or None)";
    accepted(theirs("formats/bin/python").args(["-c", schema]), &folder.join("bom.cdx.json"));

    // The same bytes, made again.
    let again = lab.path().join("keys/again");
    ok(lab.path(), &["model", "attest", "digits@staging", "--out", again.to_str().expect("is text")]);
    for name in ["provenance.intoto.json", "verdicts-staging.intoto.json", "bom.cdx.json", "model.sig"] {
        assert_eq!(
            fs::read(folder.join(name)).expect("reads"),
            fs::read(again.join(name)).expect("reads"),
            "{name}"
        );
    }
}

#[test]
fn no_private_key_is_kept_and_bad_keys_are_refused() {
    let (lab, _, private, _) = signed();
    let text = fs::read_to_string(&private).expect("reads");
    let secret = text.lines().nth(1).expect("has lines");
    for entry in walk(&lab.path().join(".git/mlp")) {
        let bytes = fs::read(&entry).expect("reads");
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", entry.display());
    }
    fs::set_permissions(&private, fs::Permissions::from_mode(0o644)).expect("sets");
    assert!(refused(lab.path(), &["model", "attest", "digits", "--key", &private], 2).contains("chmod 600"));
    let said = refused(lab.path(), &["model", "attest", "digits", "--sign"], 2);
    assert!(said.contains("MODEL_SIGNING_KEY"), "{said}");
    let ed = lab.key("max");
    assert!(refused(lab.path(), &["model", "attest", "digits", "--key", &ed], 2).contains("openssl ecparam"));
    refused(lab.path(), &["model", "attest", "digits"], 2);
    // By reference it works.
    let signed = crate::support::mlp(lab.path())
        .args(["model", "attest", "digits", "--sign", "--json"])
        .env("MODEL_SIGNING_KEY", &text)
        .output()
        .expect("starts");
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_signature_by_a_stranger_does_not_undo_one_that_holds() {
    let (lab, _, private, _) = signed();
    let strange = lab.path().join("strange");
    fs::create_dir_all(strange.join("keys")).expect("makes");
    let (other, _) = key(&strange);
    // The signers' file knows the stranger alone, then the other one.
    let trust = |private: &str| {
        let line = fs::read_to_string(format!("{private}.pub")).expect("reads");
        fs::create_dir_all(lab.path().join(".mlp")).expect("makes");
        lab.commit(".mlp/allowed_signers", &format!("release {line}"));
    };
    trust(&other);
    assert!(stdout(&lab, &["verify", "digits@1"], 1).contains("not trusted here"));
    ok(lab.path(), &["model", "attest", "digits@1", "--key", &other]);
    for known in [&private, &other] {
        trust(known);
        let said = stdout(&lab, &["verify", "digits@1"], 0);
        assert!(said.contains("by release") && said.contains("not trusted here"), "{said}");
    }
}

#[test]
fn what_is_no_folder_and_no_version_is_said_so() {
    let lab = Lab::new(FLOOR);
    let said = refused(lab.path(), &["verify", "../nope"], 2);
    assert!(said.contains("model::no-folder") && said.contains("it does not exist"), "{said}");
    assert!(refused(lab.path(), &["verify", "mlp.yaml"], 2).contains("it is a file"));
}

#[test]
fn folders_with_links_pickles_or_headers_that_lie_are_refused_by_name() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    let folder = lab.path().join("keys/folder");
    fs::create_dir(&folder).expect("makes");
    let shown = folder.to_str().expect("is text");
    let weights = folder.join("model.safetensors");
    fs::write(&weights, b"\x80\x04\x95pickled").expect("writes");
    assert!(stdout(&lab, &["verify", shown], 1).contains("it is a pickle, which runs code"));
    let header = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}"#;
    fs::write(&weights, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat())
        .expect("writes");
    assert!(stdout(&lab, &["verify", shown], 1).contains("its header does not describe its bytes"));
    std::os::unix::fs::symlink("/etc/passwd", folder.join("card.md")).expect("links");
    assert!(
        stdout(&lab, &["verify", shown], 1)
            .contains("`card.md` does not belong to a model: it is a symbolic link")
    );
    // Nothing is known of it either.
    fs::remove_file(folder.join("card.md")).expect("removes");
    assert!(stdout(&lab, &["verify", shown], 1).contains("no registered version here has just these files"));
}

#[test]
fn a_flipped_bit_in_a_models_file_or_its_signature_is_named() {
    let (lab, folder, _, public) = signed();
    let text = stdout(&lab, &["verify", "digits@staging", "--public-key", &public], 0);
    assert!(text.contains("by ") && text.contains("made these files"), "{text}");
    let signature = folder.join("model.sig");
    let mut value = json(&signature);
    let sig = value.pointer_mut("/dsseEnvelope/signatures/0/sig").expect("is there");
    let old = sig.as_str().expect("is text").to_owned();
    *sig = format!("{}{}{}", &old[..20], if &old[20..21] == "A" { "B" } else { "A" }, &old[21..]).into();
    fs::write(&signature, value.to_string()).expect("writes");
    let files = lab.path().join("keys/one");
    fs::create_dir(&files).expect("makes");
    let tree = lab.json(&["model", "show", "digits@1"], 0)["tree"].as_str().expect("is text").to_owned();
    let node = lab.store().tree(&tree.parse().expect("is a digest")).expect("reads").nodes.remove(0);
    fs::write(files.join("model.safetensors"), lab.store().read(&node.id).expect("reads")).expect("writes");
    let verify = |signature: &Path| {
        let (files, signature) = (files.to_str().expect("is text"), signature.to_str().expect("is text"));
        stdout(&lab, &["verify", files, "--signature", signature, "--public-key", &public], 1)
    };
    assert!(verify(&signature).contains("the signature does not hold"));
    // A key that nobody trusts.
    let (files, signature) = (files.to_str().expect("is text"), signature.to_str().expect("is text"));
    let said = stdout(&lab, &["verify", files, "--signature", signature], 0);
    assert!(said.contains("there is no key to check it with"), "{said}");
    let elsewhere = tempfile::tempdir().expect("makes a folder");
    fs::create_dir(elsewhere.path().join("keys")).expect("makes");
    let (_, other) = key(elsewhere.path());
    assert!(
        stdout(&lab, &["verify", files, "--signature", signature, "--public-key", &other], 1)
            .contains("not trusted here")
    );

    // Any bit of the stored files.
    let mut hit = 0;
    for pack in walk(&lab.path().join(".git/mlp/store/packs")) {
        let good = fs::read(&pack).expect("reads");
        flip_object(&pack);
        let output = crate::support::mlp(lab.path()).args(["verify", "digits@1"]).output().expect("starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        // A pack that holds other things leaves the model as it is.
        if output.status.code() != Some(0) {
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains("digits@1 is not verified"), "{told}");
            hit += 1;
        }
        fs::remove_file(&pack).ok();
        fs::write(&pack, good).expect("restores");
    }
    assert!(hit > 0, "no pack held the model");
}

#[test]
fn a_folder_that_nobody_answers_for_is_not_verified() {
    let folder = tempfile::tempdir().expect("makes a folder");
    fs::write(folder.path().join("weights.bin"), "weights").expect("writes");
    fs::write(folder.path().join("model.sig"), "{}").expect("writes");
    let said = String::from_utf8_lossy(&run(folder.path(), &["verify", "."], 1).stdout).into_owned();
    assert!(said.contains("there is no key to check it with") && said.contains("is not verified"), "{said}");

    // With signers, a registered version is verified when one of them promoted it.
    let lab = Lab::new(FLOOR).with_tensors();
    lab.signers(&[("max", "")]);
    lab.version(95);
    let said = stdout(&lab, &["verify", "digits@1"], 1);
    assert!(said.contains("registered; nobody signed for it"), "{said}");
    ok(lab.path(), &["promote", "digits", "--to", "staging", "--key", &lab.key("max")]);
    stdout(&lab, &["verify", "digits@1"], 0);
}
