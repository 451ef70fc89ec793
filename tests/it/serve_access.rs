//! Who may ask a server: TLS, tokens, an address for operators; and how a service manager runs it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::http::{get, post_json, request};
use crate::support::project::wait_for;
use crate::support::serving::{Project, Server, image};
use crate::support::{accepted, mlp, ok, refused, theirs};

fn body() -> String {
    json!({"instances": [image(1, 5)]}).to_string()
}

#[test]
fn counts_tell_of_every_request() {
    let project = Project::new(true);
    let server = project.serve("stripes@production");
    for _ in 0..3 {
        assert_eq!(post_json(server.address, "/predict", &body()).status, 200);
    }
    post_json(server.address, "/predict", "{").refusal(400);
    get(server.address, "/no/such/route").refusal(404);
    for path in ["/live", "/ready", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(get(server.address, path).status, 200, "{path}");
    }
    let answer = get(server.address, "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let labels = "model=\"stripes\",version=\"1\",role=\"live\"";
    let info = format!(
        "mlp_model_info{{model=\"stripes\",version=\"1\",digest=\"{}\",stage=\"production\",role=\"live\"}}",
        project.tree
    );
    for (line, value) in [
        ("mlp_requests_total{route=\"/predict\",code=\"200\"}", 3.0),
        ("mlp_requests_total{route=\"/predict\",code=\"400\"}", 1.0),
        ("mlp_requests_total{route=\"\",code=\"404\"}", 1.0),
        (&format!("mlp_instances_total{{{labels}}}"), 3.0),
        (&format!("mlp_prediction_seconds_count{{{labels}}}"), 3.0),
        (&format!("mlp_prediction_seconds_bucket{{{labels},le=\"+Inf\"}}"), 3.0),
        ("mlp_batch_instances_sum", 3.0),
        ("mlp_waiting_requests", 0.0),
        (&info, 1.0),
    ] {
        assert_eq!(server.metric(line), Some(value), "{line}");
    }
}

#[test]
fn operators_can_have_an_address_of_their_own() {
    let project = Project::new(true);
    let server = project.serve_with(&["stripes@production", "--metrics", "127.0.0.1:0"]);
    let url = server.ready["metrics"].as_str().expect("is told");
    let operators = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let operators = operators.parse().expect("is an address");
    for path in ["/metrics", "/live", "/ready"] {
        assert_eq!(get(operators, path).status, 200, "{path}");
        assert_eq!(get(server.address, path).refusal(404).1, "no-such-route", "{path}");
    }
    assert_eq!(post_json(operators, "/predict", &body()).refusal(404).1, "no-such-route");
    assert_eq!(
        request(operators, "GET", "/metrics", &[("Host", "evil.example")], b"").refusal(403).1,
        "wrong-host"
    );
    assert_eq!(post_json(server.address, "/predict", &body()).status, 200);
    let wrong = refused(project.path(), &["serve", "stripes", "--port", "0", "--metrics", "nowhere"], 2);
    assert!(wrong.contains("serve::address"), "{wrong}");
}

#[test]
fn a_server_with_a_token_answers_whoever_shows_it() {
    let project = Project::new(true);
    let mut command = mlp(project.path());
    command.env("SERVE_TOKEN", "hunter2");
    command.args(["serve", "stripes@production", "--port", "0", "--json", "--token", "SERVE_TOKEN"]);
    let server = Server::start(&mut command);
    let asked = |token: Option<&str>, path: &str| {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(token.map(|token| ("Authorization", token)));
        let method = if path == "/predict" { "POST" } else { "GET" };
        request(server.address, method, path, &headers, body().as_bytes())
    };
    for path in ["/predict", "/metrics", "/v2/models/stripes", "/v2", "/nowhere"] {
        for token in [None, Some("Bearer hunter"), Some("Bearer hunter22"), Some("Basic hunter2"), Some("")] {
            let answer = asked(token, path);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            let (message, code) = answer.refusal(401);
            assert_eq!(code, "unauthorized");
            assert!(!message.contains("hunter"), "{message}");
        }
    }
    for path in ["/live", "/ready", "/v2/health/ready"] {
        assert_eq!(asked(None, path).status, 200, "health is no secret: {path}");
    }
    for path in ["/predict", "/metrics", "/v2/models/stripes"] {
        assert_eq!(asked(Some("Bearer hunter2"), path).status, 200, "{path}");
    }
    let missing =
        refused(project.path(), &["serve", "stripes", "--port", "0", "--token", "NO_SUCH_TOKEN"], 2);
    assert!(missing.contains("NO_SUCH_TOKEN"), "{missing}");
}

/// A self-signed certificate for `localhost` and its key, made by openssl.
fn certify(folder: &Path) {
    let wishes = "[req]\nprompt=no\ndistinguished_name=name\nx509_extensions=more\n[name]\nCN=localhost\n\
                  [more]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
    std::fs::write(folder.join("wishes"), wishes).expect("writes");
    let status = Command::new("openssl")
        .current_dir(folder)
        .args([
            "req",
            "-x509",
            "-config",
            "wishes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-keyout", "new.key", "-out", "new.crt"])
        .stderr(std::process::Stdio::null())
        .status()
        .expect("openssl starts");
    assert!(status.success());
    for (new, name) in [("new.key", "tls.key"), ("new.crt", "tls.crt")] {
        std::fs::copy(folder.join(new), folder.join(name)).expect("replaces");
    }
}

/// The answer to a prediction over TLS that trusts the certificate in `folder` alone.
fn over_tls(folder: &Path, server: &Server) -> Option<Value> {
    let pem = std::fs::read(folder.join("tls.crt")).expect("reads");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let trusted = reqwest::Certificate::from_pem(&pem).expect("is a certificate");
        let client = reqwest::Client::builder().tls_certs_only([trusted]).build().expect("a client");
        let url = format!("https://localhost:{}/predict", server.address.port());
        let sent = client.post(url).header("content-type", "application/json").body(body());
        let text = sent.send().await.ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    })
}

#[test]
fn a_certificate_is_used_and_read_again_when_it_changes() {
    let project = Project::new(true);
    let folder = tempfile::tempdir().expect("makes a folder");
    certify(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("tls.crt"), path("tls.key"));
    let server = project.serve_with(&["stripes@production", "--tls-cert", &cert, "--tls-key", &key]);
    assert!(server.ready["url"].as_str().is_some_and(|url| url.starts_with("https://")));
    let answer = over_tls(folder.path(), &server).expect("is answered");
    assert_eq!(answer["predictions"][0]["label"], "middle");
    // Who does not talk TLS gets no answer, and keeps nobody else from one.
    let mut plain = crate::support::http::connect(server.address);
    std::io::Write::write_all(&mut plain, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sends");
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");

    let old = std::fs::read(folder.path().join("tls.crt")).expect("reads");
    // A key that does not go with the certificate changes nothing.
    let good = std::fs::read(folder.path().join("tls.key")).expect("reads");
    std::fs::write(folder.path().join("tls.key"), "nonsense").expect("writes");
    assert!(over_tls(folder.path(), &server).is_some());
    std::fs::write(folder.path().join("tls.key"), good).expect("writes");
    certify(folder.path());
    assert_ne!(std::fs::read(folder.path().join("tls.crt")).expect("reads"), old);
    wait_for("the new certificate", || over_tls(folder.path(), &server));
}

#[cfg(unix)]
#[test]
fn a_key_that_everybody_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new(true);
    let folder = tempfile::tempdir().expect("makes a folder");
    certify(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("tls.crt"), path("tls.key"));
    let serve = |cert: &str, key: &str| {
        refused(project.path(), &["serve", "stripes", "--port", "0", "--tls-cert", cert, "--tls-key", key], 3)
    };
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("sets the mode");
    let open = serve(&cert, &key);
    assert!(open.contains("serve::certificate") && open.contains("chmod 600"), "{open}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("sets the mode");
    let exchanged = serve(&key, &key);
    assert!(exchanged.contains("no certificate"), "{exchanged}");
    let alone = refused(project.path(), &["serve", "stripes", "--tls-cert", &cert], 2);
    assert!(alone.contains("--tls-key"), "{alone}");
}

const WISHES: [&str; 10] = [
    "serve",
    "stripes@production",
    "--tls-cert",
    "tls.crt",
    "--tls-key",
    "tls.key",
    "--token",
    "SERVE_TOKEN",
    "--canary",
    "stripes@2=5%",
];

#[test]
fn the_unit_for_systemd_is_one_that_systemd_takes() {
    let project = Project::new(true);
    let text = ok(project.path(), &[&WISHES[..], &["--emit", "systemd"]].concat());
    assert!(text.contains("stripes@2=5%%") && text.contains("NoNewPrivileges=yes"), "{text}");
    assert!(text.contains("EnvironmentFile=/etc/mlp/serve.env"), "{text}");
    let folder = tempfile::tempdir().expect("makes a folder");
    let unit = folder.path().join("mlp-serve.service");
    std::fs::write(&unit, &text).expect("writes");
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !said.contains("mlp-serve"), "{said}\n{text}");
        }
        Err(error) => panic!("systemd-analyze is needed to check the unit: {error}"),
    }
}

#[test]
fn a_unit_of_a_path_with_spaces_and_dollars_is_one_that_systemd_takes() {
    let project = Project::new(true);
    let folder = tempfile::tempdir().expect("makes a folder");
    let odd = folder.path().join("a $HOME b");
    std::fs::create_dir(&odd).expect("makes");
    let moved = odd.join("50% project");
    let done = Command::new("mv").arg(project.path()).arg(&moved).status();
    assert!(done.expect("mv starts").success());
    std::fs::create_dir(project.path()).expect("makes");
    let program = odd.join("mlp");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mlp"), &program).expect("links");
    let text = ok(&moved, &["serve", "stripes@production", "--emit", "systemd"]);
    let root = moved.display().to_string().replace('%', "%%");
    assert!(text.contains(&format!("\"{}\"", root.replace('$', "$$"))), "{text}");
    assert!(text.contains(&format!("ReadWritePaths=\"{root}/.git/mlp\"\n")), "{text}");
    // The program, too, as it is.
    let begin = text.lines().find(|line| line.starts_with("ExecStart=")).expect("is there");
    let (_, words) = begin.split_once(' ').expect("has words");
    let text = text.replace(begin, &format!("ExecStart=\"{}\" {words}", program.display()));
    let unit = folder.path().join("mlp-serve.service");
    std::fs::write(&unit, &text).expect("writes");
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("mlp-serve"), "{said}\n{text}");
}

#[test]
fn what_could_not_start_is_not_printed() {
    let project = Project::new(true);
    let wrong = |arguments: &[&str]| {
        refused(project.path(), &[&["serve", "stripes@production", "--emit"], arguments].concat(), 2)
    };
    assert!(wrong(&["kubernetes"]).contains("the first of `stores:`"));
    for manager in ["systemd", "kubernetes"] {
        assert!(wrong(&[manager, "--port", "0"]).contains("`--port` has the port 0"));
        assert!(wrong(&[manager, "--metrics", ":0"]).contains("`--metrics` has the port 0"));
        assert!(
            wrong(&[manager, "--port", "9000", "--metrics", ":9000"]).contains("both asked for at port 9000")
        );
    }
    let two =
        ["serve", "stripes@production", "--emit", "systemd", "--host", "10.0.0.1", "--metrics", ":8080"];
    assert!(
        ok(project.path(), &two).contains("--port 8080 --metrics :8080"),
        "two addresses have a port each"
    );
    assert!(wrong(&["kubernetes", "--port", "9090"]).contains("both asked for at port 9090"));
}

/// Adds a store that can be reached from elsewhere.
fn with_store(project: &Project) {
    let path = project.path().join("mlp.yaml");
    let text = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(path, text + "stores: {far: {url: 's3://bucket/x'}}\n").expect("writes");
}

#[test]
fn the_manifest_for_kubernetes_is_yaml_of_a_deployment_and_a_service() {
    let project = Project::new(true);
    with_store(&project);
    let text =
        ok(project.path(), &[&WISHES[..], &["--emit", "kubernetes", "--image", "registry/mlp:1"]].concat());
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("serve.yaml");
    std::fs::write(&file, &text).expect("writes");
    accepted(theirs("formats/bin/kubernetes-validate").arg("--strict"), &file);
    let documents: Vec<Value> =
        text.split("---\n").map(|one| serde_yaml::from_str(one).expect("is YAML")).collect();
    let [deployment, service] = &documents[..] else { panic!("{} documents", documents.len()) };
    assert_eq!((&deployment["kind"], &service["kind"]), (&json!("Deployment"), &json!("Service")));
    let pod = &deployment["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/name"], "mlp-stripes");
    assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["image"], "registry/mlp:1");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/ready");
    assert_eq!(container["env"][0]["valueFrom"]["secretKeyRef"]["key"], "SERVE_TOKEN");
    let args: Vec<&str> =
        container["args"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for pair in [["--canary", "stripes@2=5%"], ["--host", "0.0.0.0"], ["--tls-key", "/run/mlp/tls/tls.key"]] {
        assert!(args.windows(2).any(|found| found == pair), "{pair:?} in {args:?}");
    }
    // What is printed is understood again.
    let volumes: Vec<&str> = pod["spec"]["volumes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|v| v["name"].as_str())
        .collect();
    let mounts: Vec<&str> = container["volumeMounts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|v| v["name"].as_str())
        .collect();
    assert_eq!(volumes, mounts);
}
