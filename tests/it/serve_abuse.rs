//! A server among bad clients: right answers, or a clear refusal, and no more memory than it needs.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::json;

use crate::support::http::{answer, connect, post_json, request};
use crate::support::serving::{CLASSES, Project, Server, image};

fn body() -> String {
    json!({"instances": [image(1, 5)]}).to_string()
}

fn assert_serves(server: &Server) {
    let answer = post_json(server.address, "/predict", &body());
    assert_eq!(answer.json()["predictions"][0]["label"], CLASSES[1]);
}

/// Most memory that the server has had, in KiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("reads");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("is told");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("is a number")
}

#[test]
fn a_thousand_idle_clients_keep_nobody_from_an_answer() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    let before = peak(&server);
    // Some say nothing, some begin a request, some have had an answer and stay.
    let mut clients: Vec<TcpStream> = Vec::new();
    for index in 0..1000 {
        let mut client = connect(server.address);
        match index % 3 {
            0 => {}
            1 => client.write_all(b"POST /predict HTTP/1.1\r\nHost: loc").expect("sends"),
            _ => {
                client.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sends");
                let mut beginning = [0; 12];
                client.read_exact(&mut beginning).expect("is answered");
                assert_eq!(&beginning, b"HTTP/1.1 200");
            }
        }
        clients.push(client);
    }
    for _ in 0..20 {
        assert_serves(&server);
    }
    let grown = peak(&server) - before;
    assert!(grown < 64 << 10, "{grown} KiB for a thousand idle clients");
}

#[test]
fn a_client_that_says_nothing_more_still_gets_its_answer() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    let mut stream = connect(server.address);
    let head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let text = format!("{head}Content-Length: {}\r\n\r\n{}", body().len(), body());
    stream.write_all(text.as_bytes()).expect("sends");
    stream.shutdown(Shutdown::Write).expect("closes one half");
    assert_eq!(answer(&mut stream).json()["predictions"][0]["label"], CLASSES[1]);
    // One that closes in the middle of its body gets nothing, and harms nobody.
    let mut stream = connect(server.address);
    let text = format!("{head}Content-Length: {}\r\n\r\n{}", body().len(), &body()[..20]);
    stream.write_all(text.as_bytes()).expect("sends");
    stream.shutdown(Shutdown::Write).expect("closes one half");
    let _ = stream.read_to_end(&mut Vec::new());
    assert_serves(&server);
}

#[test]
fn paths_that_try_to_get_elsewhere_get_nowhere() {
    let project = Project::new(true);
    let server = project.serve("stripes");
    let long = format!("/v2/models/{}", "a".repeat(10_000));
    for path in [
        "/../../../etc/passwd",
        "/v2/models/../../mlp.yaml",
        "/v2/models/..%2f..%2fmlp.yaml",
        "/v2/models/stripes%00",
        "/v2/models/%ff%fe",
        "/v2/models/stripes/versions/-1",
        "/v2/models/stripes/versions/1e0",
        "/v2/models/stripes/versions/99999999999999999999",
        "//predict",
        "/predict/",
        "/predict/%2e%2e",
        "/PREDICT",
        "/v2/models//infer",
        &long,
    ] {
        for method in ["GET", "POST"] {
            let answer =
                request(server.address, method, path, &[("Content-Type", "application/json")], b"{}");
            assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(!text.contains("root:") && !text.contains("project:"), "{method} {path}: {text}");
        }
    }
    assert_serves(&server);
}

#[test]
fn many_large_bodies_at_once_are_held_within_bounds() {
    let project = Project::new(true);
    project.write(
        "mlp.yaml",
        std::fs::read_to_string(project.path().join("mlp.yaml"))
            .expect("reads")
            .replace("max_body: 65536", "max_body: 8388608")
            .as_bytes(),
    );
    let server = project.serve("stripes");
    let before = peak(&server);
    let head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n";
    let part = vec![b' '; 7_000_000];
    // 224 MB in all, of which an eighth is missing at each end: none of them can be answered.
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (mut client, part) = (connect(server.address), part.clone());
            std::thread::spawn(move || {
                // The server may have refused it by then.
                let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&part));
                client
            })
        })
        .collect();
    let clients: Vec<_> = clients.into_iter().map(|client| client.join().expect("sends")).collect();
    let grown = peak(&server) - before;
    assert!(grown < 192 << 10, "{grown} KiB for 32 bodies of 7 MB, of which 64 MiB may be held");
    drop(clients);
    assert_serves(&server);
}
