//! `mlp serve`: a real process, asked over TCP.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::http::{Answer, answer, connect, get, post_json, request};
use crate::support::serving::{CLASSES, Project, SIDE, Server, image, png};
use crate::support::{ok, refused};
use mlp::base::EntryKind;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn instances(images: &[Vec<u8>]) -> String {
    json!({ "instances": images }).to_string()
}

fn tensor(images: &[Vec<u8>]) -> String {
    let data: Vec<u8> = images.concat();
    json!({"id": "mine", "inputs": [
        {"name": "input", "shape": [images.len(), 1, SIDE, SIDE], "datatype": "UINT8", "data": data}
    ]})
    .to_string()
}

fn predictions(answer: &Answer) -> Vec<Value> {
    let json = answer.json();
    assert_eq!(answer.status, 200, "{json}");
    json["predictions"].as_array().unwrap_or_else(|| panic!("no predictions: {json}")).clone()
}

/// The label and the probabilities are the same, but for the rounding of sums in batches of another size.
fn assert_same(found: &Value, wanted: &Value) {
    assert_eq!(found["label"], wanted["label"]);
    let numbers = |value: &Value| -> Vec<f64> {
        value["probabilities"].as_array().expect("probabilities").iter().filter_map(Value::as_f64).collect()
    };
    let (found, wanted) = (numbers(found), numbers(wanted));
    assert_eq!((found.len(), wanted.len()), (CLASSES.len(), CLASSES.len()));
    for (a, b) in found.iter().zip(&wanted) {
        assert!((a - b).abs() < 1e-6, "{found:?} {wanted:?}");
    }
}

/// The server still answers, and rightly.
fn assert_serves(server: &Server) {
    let found = predictions(&post_json(server.address, "/predict", &instances(&[image(1, 5)])));
    assert_eq!(found[0]["label"], "middle");
}

#[test]
fn arrays_images_tensors_and_offline_predictions_agree() {
    let project = Project::new(true);
    let server = project.serve("stripes@production");
    assert_eq!(server.ready["models"][0]["model"], "stripes");
    assert_eq!(server.ready["models"][0]["version"], 1);
    assert_eq!(server.ready["models"][0]["stage"], "production");
    assert_eq!(server.ready["models"][0]["digest"], project.tree.to_string());

    let images: Vec<Vec<u8>> = (0..9).map(|index| image(index % 3, 5000 + index)).collect();
    let answered = post_json(server.address, "/predict", &instances(&images));
    assert_eq!(answered.header("x-mlp-digest"), Some(project.tree.to_string().as_str()));
    assert_eq!(
        (answered.header("x-mlp-model"), answered.header("x-mlp-version")),
        (Some("stripes"), Some("1"))
    );
    let json = answered.json();
    assert_eq!(json["model"], "stripes");
    assert_eq!(json["version"], 1);
    assert_eq!(json["digest"], project.tree.to_string());
    assert_eq!(answered.header("x-mlp-prediction"), json["id"].as_str());
    let from_arrays = predictions(&answered);
    for (index, prediction) in from_arrays.iter().enumerate() {
        assert_eq!(prediction["label"], CLASSES[index % 3], "{prediction}");
    }

    let nested: Vec<Vec<Vec<u8>>> = vec![images[0].chunks(SIDE).map(<[u8]>::to_vec).collect()];
    let from_nested =
        predictions(&post_json(server.address, "/predict", &json!({"instances": [nested]}).to_string()));
    assert_eq!(from_nested.len(), 1);
    assert_same(&from_nested[0], &from_arrays[0]);

    let mut files = Vec::new();
    for (index, pixels) in images.iter().enumerate() {
        let bytes = png(pixels);
        let one = request(server.address, "POST", "/predict", &[("Content-Type", "image/png")], &bytes);
        assert_same(&predictions(&one)[0], &from_arrays[index]);
        files.push(project.write(&format!("{index}.png"), &bytes));
    }

    let infer = post_json(server.address, "/v2/models/stripes/infer", &tensor(&images)).json();
    assert_eq!(
        (&infer["model_name"], &infer["model_version"], &infer["id"]),
        (&json!("stripes"), &json!("1"), &json!("mine"))
    );
    assert_eq!(infer["parameters"]["digest"], project.tree.to_string());
    let (labels, probabilities) = (&infer["outputs"][0], &infer["outputs"][1]);
    assert_eq!(labels["data"], json!(from_arrays.iter().map(|p| &p["label"]).collect::<Vec<_>>()));
    assert_eq!(probabilities["shape"], json!([9, 3]));
    let flat: Vec<&Value> =
        from_arrays.iter().flat_map(|p| p["probabilities"].as_array().expect("probabilities")).collect();
    assert_eq!(probabilities["data"], json!(flat));

    let mut arguments = vec!["predict", "stripes@production", "--json"];
    arguments.extend(files.iter().map(|file| file.to_str().expect("is text")));
    let offline: Value = serde_json::from_str(&ok(project.path(), &arguments)).expect("is JSON");
    for (offline, online) in offline["predictions"].as_array().expect("predictions").iter().zip(&from_arrays)
    {
        assert_same(offline, online);
    }
}

#[test]
fn the_protocol_tells_what_is_served() {
    let project = Project::new(true);
    let server = project.serve("stripes@1");
    assert_eq!(server.ready["models"][0].get("stage"), None);
    assert_eq!(get(server.address, "/v2").json()["name"], "mlp");
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/stripes/ready",
        "/v2/models/stripes/versions/1/ready",
    ] {
        assert_eq!(get(server.address, path).status, 200, "{path}");
    }
    for path in ["/v2/models/stripes", "/v2/models/stripes/versions/1"] {
        let metadata = get(server.address, path).json();
        assert_eq!(metadata["versions"], json!(["1"]));
        assert_eq!(
            metadata["inputs"],
            json!([{"name": "input", "datatype": "UINT8", "shape": [-1, 1, 8, 8]}])
        );
        assert_eq!(metadata["outputs"][1]["shape"], json!([-1, 3]));
        assert_eq!(metadata["parameters"]["classes"], json!(CLASSES));
        assert_eq!(metadata["parameters"]["digest"], project.tree.to_string());
    }
    let infer = post_json(server.address, "/v2/models/stripes/versions/1/infer", &tensor(&[image(2, 1)]));
    assert_eq!(infer.json()["outputs"][0]["data"], json!(["right"]));
}

#[test]
fn requests_that_cannot_be_answered_say_why() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    let address = server.address;
    let code = |answer: Answer, status: u16| answer.refusal(status).1;
    let predict = |body: &str| post_json(address, "/predict", body);

    for body in ["", "{", "{\"instances\": [[NaN]]}", "{\"instances\": [[1e999]]}", "\u{0}"] {
        assert_eq!(code(predict(body), 400), "bad-json", "{body:?}");
    }
    let deep = format!("{{\"instances\": {}", "[".repeat(20_000));
    assert_eq!(code(predict(&deep), 400), "bad-json");
    for body in ["{}", "{\"instances\": []}", "{\"instances\": [[1,2,3]]}", "{\"instances\": [[0.5]]}"] {
        assert_eq!(code(predict(body), 400), "bad-input", "{body:?}");
    }
    let infer = |body: &str| post_json(address, "/v2/models/stripes/infer", body);
    assert_eq!(code(infer(&instances(&[image(0, 0)])), 400), "bad-input");

    let post =
        |path: &str, kind: &str, body: &[u8]| request(address, "POST", path, &[("Content-Type", kind)], body);
    assert_eq!(code(post("/predict", "text/plain", b"{}"), 415), "unsupported-type");
    assert_eq!(code(post("/v2/models/stripes/infer", "image/png", b"{}"), 415), "unsupported-type");
    assert_eq!(code(post("/predict", "image/png", b"not an image"), 400), "bad-image");

    assert_eq!(code(get(address, "/"), 404), "no-such-route");
    assert_eq!(code(get(address, "/v2/models/other"), 404), "unknown-model");
    assert_eq!(code(get(address, "/v2/models/stripes/versions/2"), 404), "unknown-version");
    assert_eq!(code(get(address, "/predict"), 405), "wrong-method");
    assert_eq!(code(request(address, "DELETE", "/v2", &[], b""), 405), "wrong-method");

    assert_eq!(code(request(address, "GET", "/v2", &[("Host", "evil.example:80")], b""), 403), "wrong-host");
    assert_eq!(request(address, "GET", "/v2", &[("Host", "localhost")], b"").status, 200);
    let headers: Vec<(String, String)> = (0..100).map(|index| (format!("x-{index}"), "y".into())).collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(code(request(address, "GET", "/v2", &headers, b""), 431), "headers-too-large");
    let long = "y".repeat(1 << 20);
    let mut stream = connect(address);
    let _ = stream.write_all(format!("GET /v2 HTTP/1.1\r\nHost: localhost\r\nx: {long}").as_bytes());
    let mut beginning = [0; 12];
    if stream.read_exact(&mut beginning).is_ok() {
        assert_eq!(&beginning, b"HTTP/1.1 431");
    }
    assert_serves(&server);
}

#[test]
fn a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    let body = vec![b' '; 1 << 20];
    let answered = request(server.address, "POST", "/predict", &[JSON], &body);
    let (message, code) = answered.refusal(413);
    assert_eq!((message.as_str(), code.as_str()), ("the body is larger than 65536 bytes", "too-large"));

    let mut stream = connect(server.address);
    stream
        .write_all(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )
        .expect("sends the head");
    // Without an end: the server must stop reading by itself.
    let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
    for _ in 0..64 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    assert_eq!(answer(&mut stream).refusal(413).1, "too-large");
    assert_serves(&server);
}

#[test]
fn an_image_that_unpacks_to_gigabytes_is_refused() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    // A PNG header that promises 60,000 by 60,000 pixels, and hardly any data.
    let mut bomb = png(&image(0, 0));
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let kind = [("Content-Type", "image/png")];
    assert_eq!(request(server.address, "POST", "/predict", &kind, &bomb).refusal(400).1, "bad-image");
    assert_serves(&server);
}

#[test]
fn half_requests_do_not_keep_others_from_being_served() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    let half = |head: &str| -> TcpStream {
        let mut stream = connect(server.address);
        stream.write_all(head.as_bytes()).expect("sends half a request");
        stream
    };
    let mut heads: Vec<TcpStream> = (0..64).map(|_| half("POST /predict HTTP/1.1\r\nHost: loc")).collect();
    let _bodies: Vec<TcpStream> = (0..64)
        .map(|_| {
            half(
                "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                  Content-Length: 1000\r\n\r\n{\"instances\": [",
            )
        })
        .collect();
    for _ in 0..8 {
        assert_serves(&server);
    }
    // The server itself ends the half heads: the reads come to an end.
    for head in &mut heads {
        let _ = head.read_to_end(&mut Vec::new()).expect("the server closes the connection");
    }
}

#[test]
fn sixty_four_connections_at_once_get_right_answers() {
    let project = Project::new(true);
    let server = project.serve("stripes@production");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = format!("http://{}/predict", server.address);
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let tasks: Vec<_> = (0..64)
            .map(|index| {
                let (client, url) = (client.clone(), url.clone());
                tokio::spawn(async move {
                    for round in 0..10 {
                        let body = instances(&[image(index % 3, index * 10 + round)]);
                        let sent = client.post(&url).header("content-type", "application/json").body(body);
                        let answered = sent.send().await.expect("is answered");
                        assert_eq!(answered.status(), 200);
                        let text = answered.text().await.expect("has a body");
                        let json: Value = serde_json::from_str(&text).expect("is JSON");
                        assert_eq!(json["predictions"][0]["label"], CLASSES[index % 3]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no request failed");
        }
    });
}

#[test]
fn a_server_told_to_stop_finishes_what_is_under_way() {
    let project = Project::new(true);
    for signal in ["TERM", "INT"] {
        let mut server = project.serve("stripes@production");
        let body = instances(&[image(0, 7)]);
        let mut stream = connect(server.address);
        let head = format!(
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sends the head");
        stream.write_all(&body.as_bytes()[..20]).expect("sends the beginning of the body");
        // Another request on another connection: once it is answered, the first one has surely been accepted.
        assert_serves(&server);
        server.signal(signal);
        // The listener goes first; until then connections may still be made.
        while TcpStream::connect(server.address).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        stream.write_all(&body.as_bytes()[20..]).expect("sends the rest");
        assert_eq!(predictions(&answer(&mut stream))[0]["label"], "left");
        let status = server.child.wait().expect("ends");
        assert_eq!(status.code(), Some(0), "after {signal}");
    }
}

#[test]
fn what_is_not_live_is_not_served() {
    let project = Project::new(false);
    let nothing = refused(project.path(), &["serve", "stripes@production", "--port", "0"], 2);
    assert!(nothing.contains("model::nothing-live") && nothing.contains("mlp status"), "{nothing}");
    let unknown = refused(project.path(), &["serve", "stripe", "--port", "0"], 2);
    assert!(unknown.contains("did you mean `stripes`?"), "{unknown}");
    let version = refused(project.path(), &["serve", "stripes@2", "--port", "0"], 2);
    assert!(version.contains("model::no-version"), "{version}");
}

#[test]
fn a_flipped_byte_in_the_store_is_found_before_listening() {
    let flipped = |share: usize| -> Project {
        let project = Project::new(true);
        let mut packs = Vec::new();
        files(&project.store().join("packs"), &mut packs);
        let pack = packs
            .iter()
            .max_by_key(|path| path.metadata().map(|metadata| metadata.len()).unwrap_or(0))
            .expect("the store has a pack");
        let mut bytes = std::fs::read(pack).expect("reads the pack");
        let position = bytes.len() * share / 16;
        bytes[position] ^= 1;
        overwrite(pack, &bytes);
        project
    };
    let mut found = 0;
    for share in 0..16 {
        let project = flipped(share);
        let output = crate::support::mlp(project.path())
            .args(["predict", "stripes@production", "-"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // A byte of the pack's own frame may not matter to this model; a model with other bytes never loads.
        assert!(output.status.success() || text.contains("damaged"), "{share}/16: {text}");
        found += usize::from(!output.status.success());
    }
    assert!(found >= 10, "only {found} of 16 were found");
    let error = refused(flipped(8).path(), &["serve", "stripes@production", "--port", "0"], 1);
    assert!(error.contains("serve::damaged") && error.contains("stripes@1"), "{error}");
}

#[test]
fn a_changed_ledger_entry_is_found_before_listening() {
    let project = Project::new(true);
    let mut entries = Vec::new();
    files(&project.store().join("ledger"), &mut entries);
    entries.sort();
    let first = entries.first().expect("the ledger has entries");
    let text = std::fs::read_to_string(first).expect("reads the entry");
    overwrite(first, text.replacen("ada@", "bob@", 1).as_bytes());
    let error = refused(project.path(), &["serve", "stripes@production", "--port", "0"], 1);
    assert!(error.contains("ledger"), "{error}");
}

#[test]
fn a_tree_that_is_not_a_model_is_not_served() {
    let project = Project::new(true);
    let extra = project.put(&[("model.json", b"{}".to_vec()), ("model.pkl", b"x".to_vec())]);
    project.append(EntryKind::Register, 2, extra, None);
    let error = refused(project.path(), &["serve", "stripes@2", "--port", "0"], 1);
    assert!(error.contains("`model.pkl` does not belong"), "{error}");
    let nonsense = project.put(&[("model.json", b"{}".to_vec()), ("model.safetensors", b"x".to_vec())]);
    project.append(EntryKind::Register, 3, nonsense, None);
    let error = refused(project.path(), &["serve", "stripes@3", "--port", "0"], 1);
    assert!(error.contains("train::model"), "{error}");
    let absent = mlp::base::Digest::of(b"never stored");
    project.append(EntryKind::Register, 4, absent, None);
    let error = refused(project.path(), &["serve", "stripes@4", "--port", "0"], 3);
    assert!(error.contains("serve::missing"), "{error}");
}

#[test]
fn an_address_in_use_is_named() {
    let project = Project::new(true);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("has an address").port().to_string();
    let error = refused(project.path(), &["serve", "stripes@production", "--port", &port], 3);
    assert!(error.contains("serve::bind") && error.contains(&port), "{error}");
}

fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("lists a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Replaces the content of a file that may be read-only.
fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    std::fs::remove_file(path).expect("removes the file");
    std::fs::write(path, bytes).expect("writes the file");
}
