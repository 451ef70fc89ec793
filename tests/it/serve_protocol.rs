//! The Open Inference Protocol: binary tensors, several models in one process.

use serde_json::{Value, json};

use crate::support::http::{Answer, get, post_json, request};
use crate::support::serving::{CLASSES, Project, SIDE, image};

const LENGTH: &str = "Inference-Header-Content-Length";

/// A request with `images` as bytes behind its JSON.
fn binary(images: &[Vec<u8>], outputs: &Value) -> (String, Vec<u8>) {
    let values = images.concat();
    let tensor = json!({"name": "input", "shape": [images.len(), 1, SIDE, SIDE], "datatype": "UINT8",
        "parameters": {"binary_data_size": values.len()}});
    let json = json!({"id": "mine", "inputs": [tensor], "outputs": outputs}).to_string();
    let length = json.len().to_string();
    (length, [json.into_bytes(), values].concat())
}

fn values(answer: &Answer) -> (Value, Vec<u8>) {
    let length: usize = answer.header(LENGTH).expect("has a length").parse().expect("is a number");
    let (json, values) = answer.body.split_at(length);
    (serde_json::from_slice(json).expect("is JSON"), values.to_vec())
}

#[test]
fn binary_tensors_say_the_same_as_json() {
    let project = Project::new(true);
    let server = project.serve("stripes@production");
    let extensions = get(server.address, "/v2").json()["extensions"].clone();
    assert_eq!(extensions, json!(["binary_tensor_data"]));
    let images = [image(0, 1), image(2, 2)];
    let path = "/v2/models/stripes/infer";
    let tensor =
        json!({"name": "input", "shape": [2, SIDE * SIDE], "datatype": "UINT8", "data": images.concat()});
    let wanted = post_json(server.address, path, &json!({"inputs": [tensor]}).to_string()).json();

    // Values in both directions.
    let all = json!([
        {"name": "probabilities", "parameters": {"binary_data": true}},
        {"name": "label", "parameters": {"binary_data": true}},
    ]);
    let (length, body) = binary(&images, &all);
    let headers = [(LENGTH, length.as_str()), ("Content-Type", "application/octet-stream")];
    let answer = request(server.address, "POST", path, &headers, &body);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let (json, bytes) = values(&answer);
    assert_eq!(json["id"], "mine");
    assert_eq!(json["outputs"][0]["name"], "label");
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 4 + 4 + 4 + 5);
    assert!(json["outputs"][0].get("data").is_none());
    let (labels, numbers) = bytes.split_at(17);
    assert_eq!(labels, b"\x04\0\0\0left\x05\0\0\0right");
    let numbers: Vec<f32> =
        numbers.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let wanted: Vec<f32> = serde_json::from_value(wanted["outputs"][1]["data"].clone()).expect("are numbers");
    assert_eq!(numbers, wanted);

    // Values only on the way in, as clients of the protocol do it that name no type.
    let (length, body) = binary(&images, &json!([{"name": "label"}]));
    let answer = request(server.address, "POST", path, &[(LENGTH, &length)], &body).json();
    assert_eq!(
        answer["outputs"],
        json!([{"name": "label", "shape": [2], "datatype": "BYTES", "data": ["left", "right"]}])
    );

    // What does not fit is refused.
    let (length, body) = binary(&images, &json!([]));
    for (length, body) in [
        (length.clone(), body[..body.len() - 1].to_vec()),
        (length.clone(), [body.clone(), vec![0]].concat()),
        ("x".to_owned(), body.clone()),
        ("18446744073709551616".to_owned(), body.clone()),
        ((body.len() + 1).to_string(), body.clone()),
        ("1".to_owned(), body.clone()),
    ] {
        let headers = [(LENGTH, length.as_str()), ("Content-Type", "application/octet-stream")];
        let (_, code) = request(server.address, "POST", path, &headers, &body).refusal(400);
        assert!(code == "bad-input" || code == "bad-json", "{code}");
    }
}

#[test]
fn several_models_answer_under_their_names() {
    let project = Project::new(true);
    let trees = project.add_model("dashes");
    let server = project.serve_with(&["stripes@production", "dashes@1"]);
    let models = &server.ready["models"];
    assert_eq!((&models[0]["model"], &models[1]["model"]), (&json!("stripes"), &json!("dashes")));
    let body = json!({"instances": [image(1, 5)]}).to_string();
    for (name, tree) in [("stripes", project.tree), ("dashes", trees)] {
        let answer = post_json(server.address, &format!("/predict/{name}"), &body);
        assert_eq!(answer.header("x-mlp-model"), Some(name));
        assert_eq!(answer.header("x-mlp-digest"), Some(tree.to_string().as_str()));
        assert_eq!(answer.json()["predictions"][0]["label"], CLASSES[1]);
        assert_eq!(get(server.address, &format!("/v2/models/{name}")).json()["name"], name);
        assert_eq!(get(server.address, &format!("/v2/models/{name}/ready")).status, 200);
    }
    let (message, code) = post_json(server.address, "/predict", &body).refusal(404);
    assert_eq!(code, "which-model");
    assert!(message.contains("/predict/MODEL"), "{message}");
    let (message, code) = post_json(server.address, "/predict/dots", &body).refusal(404);
    assert_eq!(code, "unknown-model");
    assert!(message.contains("`stripes`, `dashes`"), "{message}");
}

#[test]
fn requests_that_wait_together_get_their_own_answers() {
    let project = Project::new(true);
    // Every request waits for others: batches are sure to form.
    project.settings("batch: {max: 8, wait_ms: 20}");
    let server = project.serve("stripes@production");
    let threads: Vec<_> = (0..12)
        .map(|client| {
            let address = server.address;
            std::thread::spawn(move || {
                for round in 0..5 {
                    let class = (client + round) % 3;
                    // Every fourth one is refused, whoever waits beside it.
                    let wrong = client % 4 == 0;
                    let body = match wrong {
                        true => json!({"instances": [[1, 2, 3]]}).to_string(),
                        false => json!({"instances": [image(class, client * 10 + round)]}).to_string(),
                    };
                    let answer = post_json(address, "/predict", &body);
                    match wrong {
                        true => drop(answer.refusal(400)),
                        false => assert_eq!(answer.json()["predictions"][0]["label"], CLASSES[class]),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("every answer is right"));
    let sum = server.metric("mlp_batch_instances_sum").expect("is told");
    let count = server.metric("mlp_batch_instances_count").expect("is told");
    assert_eq!(sum, 45.0);
    assert!(count < sum, "{count} batches of {sum} instances");
}
