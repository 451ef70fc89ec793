//! `--emit`: how a service manager runs the same server.

use std::path::Path;

use serde_json::{Value, json};

use super::{Args, split};
use crate::base::Failure;
use crate::platform::project::{Project, ProjectError};
use crate::platform::serve::ServeError;

/// Who runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Manager {
    /// A unit of systemd.
    Systemd,
    /// A Deployment and a Service of Kubernetes.
    Kubernetes,
}

/// Where an image holds a clone of the project.
const PROJECT: &str = "/project";
/// Where certificates are mounted.
const TLS: &str = "/run/mlp/tls";
/// Where counts and health are asked for in a pod, unless `--metrics` has another port.
const METRICS: u16 = 9090;

/// The port of counts and health, if it is another; refuses those with which the server would not start, or nobody could find it.
fn ports(args: &Args, usual: Option<u16>) -> Result<Option<u16>, ServeError> {
    let address = args.metrics.as_deref().map(split).transpose()?;
    let metrics = address.map(|(_, port)| port).or(usual);
    let everywhere = |host: &str| ["0.0.0.0", "::"].contains(&host.trim_matches(['[', ']']));
    // In a pod both listen everywhere.
    let meet =
        address.is_none_or(|(host, _)| host == args.host || everywhere(host) || everywhere(&args.host));
    let wrong = |message: String| Err(ServeError::Asked(message));
    if args.port == 0 || metrics == Some(0) {
        let option = if args.port == 0 { "--port" } else { "--metrics" };
        return wrong(format!(
            "`{option}` has the port 0: nobody would know which one it is when it is started anew"
        ));
    }
    if metrics == Some(args.port) && (meet || usual.is_some()) {
        return wrong(format!(
            "counts and predictions are both asked for at port {}: name another one with `--metrics`",
            args.port
        ));
    }
    Ok(metrics)
}

/// The arguments of the server, from `serve` on.
fn arguments(args: &Args, host: &str, metrics: Option<&str>, tls: Option<(String, String)>) -> Vec<String> {
    let mut all = vec!["serve".to_owned()];
    all.extend(args.reference.iter().cloned());
    let mut option = |name: &str, value: &str| all.extend([format!("--{name}"), value.to_owned()]);
    option("host", host);
    option("port", &args.port.to_string());
    if let Some(metrics) = metrics {
        option("metrics", metrics);
    }
    args.shadow.iter().for_each(|reference| option("shadow", reference));
    args.canary.iter().for_each(|written| option("canary", written));
    if let Some((certificate, key)) = tls {
        option("tls-cert", &certificate);
        option("tls-key", &key);
    }
    if let Some(token) = &args.token {
        option("token", token);
    }
    all
}

/// A unit for systemd, hardened: the server may read what it must and write its project's state alone.
pub(super) fn systemd(args: &Args, project: &Project) -> Result<String, Failure> {
    let tls = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let tls = tls.map(|(cert, key)| [cert, key].map(|path| absolute(path).display().to_string()));
    let tls = tls.map(|[certificate, key]| (certificate, key));
    ports(args, None)?;
    let program =
        std::env::current_exe().map_err(|source| ProjectError::Folder { path: "mlp".into(), source })?;
    let program = literal(&program)?;
    let mut words = vec!["-C".to_owned(), project.root.display().to_string()];
    words.extend(arguments(args, &args.host, args.metrics.as_deref(), tls));
    let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let command = format!("{program} {words}");
    let state = literal(&project.repo.state_dir())?;
    let secret = match &args.token {
        Some(name) => {
            format!("# A file of root's alone with the line {name}=…\nEnvironmentFile=/etc/mlp/serve.env\n")
        }
        None => String::new(),
    };
    let user = match std::env::var("USER").ok().filter(|user| user != "root" && is_plain(user)) {
        Some(user) => format!("User={user}\n"),
        None => "# The owner of the project, not root:\n#User=\n".to_owned(),
    };
    Ok(format!(
        "# {models} by mlp. Put it into /etc/systemd/system/mlp-serve.service, then: systemctl enable --now mlp-serve\n\
         [Unit]\n\
         Description={models} by mlp\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={command}\n\
         {user}{secret}\
         Restart=on-failure\n\
         RestartSec=2\n\
         TimeoutStopSec=20\n\
         LimitNOFILE=65536\n\
         UMask=0077\n\
         ReadWritePaths={state}\n\
         ProtectSystem=strict\n\
         ProtectHome=read-only\n\
         PrivateTmp=yes\n\
         PrivateDevices=yes\n\
         NoNewPrivileges=yes\n\
         CapabilityBoundingSet=\n\
         ProtectKernelTunables=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectControlGroups=yes\n\
         ProtectClock=yes\n\
         ProtectHostname=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        models = args.reference.join(", "),
    ))
}

/// A path in a list of a unit, or of its program: there variables do not count, and what a quote or backslash comes to is not said.
fn literal(path: &Path) -> Result<String, ServeError> {
    let text =
        path.to_str().filter(|text| !text.contains(['"', '\'', '\\']) && !text.contains(char::is_control));
    let text = text.ok_or_else(|| {
        let path = path.display().to_string();
        ServeError::Asked(format!("no unit can hold the path `{}`: move it", path.escape_debug()))
    })?;
    let text = text.replace('%', "%%");
    Ok(if text.contains(' ') { format!("\"{text}\"") } else { text })
}

/// A word of a command line in a unit, after its program: specifiers and variables are taken literally.
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if word.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\";\\".contains(&byte)) {
        return word;
    }
    format!("\"{}\"", word.replace('\n', "\\n").replace('\t', "\\t"))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A Deployment and a Service for Kubernetes. The image holds mlp and a clone of the project in `/project`; what the server
/// fetches and writes lies in memory-backed or empty volumes.
pub(super) fn kubernetes(args: &Args, project: &Project) -> Result<String, Failure> {
    let metrics = ports(args, Some(METRICS))?.unwrap_or(METRICS);
    let here = |url: &str| ["fs", "file", "memory"].contains(&url.split("://").next().unwrap_or_default());
    if project.manifest.stores.values().next().is_none_or(|first| here(&first.url)) {
        let message = "a pod gets models from the first of `stores:`, and mlp.yaml has none that can be reached from elsewhere";
        return Err(ServeError::Asked(message.to_owned()).into());
    }
    let secured = args.tls_cert.is_some();
    let tls = secured.then(|| (format!("{TLS}/tls.crt"), format!("{TLS}/tls.key")));
    let mut words = vec!["-C".to_owned(), PROJECT.to_owned()];
    words.extend(arguments(args, "0.0.0.0", Some(&format!("0.0.0.0:{metrics}")), tls));
    let name = format!("mlp-{}", project.manifest.project.name).to_ascii_lowercase().replace(['_', '.'], "-");
    let name: String = name.chars().take(63).collect();
    let name = name.trim_end_matches('-');
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "mlp"});
    let probe = |path: &str, period: u32, failures: u32| json!({"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": period, "failureThreshold": failures});
    let mut mounts = vec![
        json!({"name": "state", "mountPath": format!("{PROJECT}/.git/mlp")}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
    ];
    let mut volumes = vec![
        json!({"name": "state", "emptyDir": {}}),
        json!({"name": "tmp", "emptyDir": {"medium": "Memory"}}),
    ];
    if secured {
        mounts.push(json!({"name": "tls", "mountPath": TLS, "readOnly": true}));
        volumes.push(
            json!({"name": "tls", "secret": {"secretName": format!("{name}-tls"), "defaultMode": 0o440}}),
        );
    }
    let env: Vec<Value> = args
        .token
        .iter()
        .map(|token| json!({"name": token, "valueFrom": {"secretKeyRef": {"name": name, "key": token}}}))
        .collect();
    let container = json!({
        "name": "mlp",
        "image": args.image,
        "command": ["mlp"],
        "args": words,
        "env": env,
        "ports": [
            {"name": "predict", "containerPort": args.port},
            {"name": "metrics", "containerPort": metrics},
        ],
        "startupProbe": probe("/ready", 1, 120),
        "readinessProbe": probe("/ready", 2, 1),
        "livenessProbe": probe("/live", 10, 3),
        "resources": {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": metrics.to_string()},
                },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 20,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "fsGroup": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": volumes,
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "predict", "port": if secured { 443 } else { 80 }, "targetPort": "predict"}],
        },
    });
    // Plain JSON values: writing them cannot fail.
    let text = |value: &Value| serde_yaml::to_string(value).unwrap_or_default();
    let secret = match (&args.token, secured) {
        (None, false) => String::new(),
        (token, _) => {
            let token = token.as_ref().map(|key| format!("# Secret `{name}` with the key `{key}`.\n"));
            let tls = secured.then(|| format!("# Secret `{name}-tls` of type kubernetes.io/tls.\n"));
            format!("# It needs:\n{}{}", token.unwrap_or_default(), tls.unwrap_or_default())
        }
    };
    Ok(format!(
        "# The image holds mlp and, in {PROJECT}, a clone of the project that user 10001 may read; models come from the\n\
         # project's store, whose credentials its variables give.\n{secret}{}---\n{}",
        text(&deployment),
        text(&service)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_unit_are_taken_literally() {
        assert_eq!(quoted("digits@production"), "digits@production");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("50%$x"), "50%%$$x");
        assert_eq!(quoted("say \"x\""), "\"say \\\"x\\\"\"");
        assert_eq!(quoted("a\nExecStart=evil"), "\"a\\nExecStart=evil\"");
    }

    #[test]
    fn paths_of_a_unit_are_written_literally_or_refused() {
        let of = |text: &str| literal(Path::new(text));
        assert_eq!(of("/srv/a").expect("is fine"), "/srv/a");
        assert_eq!(of("/srv/a $b/50%").expect("is fine"), "\"/srv/a $b/50%%\"");
        for wrong in ["/a\"b", "/a\\b", "/a'b", "/a\nUser=root"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
