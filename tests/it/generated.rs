//! Files that are generated from the program: schemas, completions, reference pages. `MLP_BLESS=1 cargo test` rewrites them.

use std::fmt::Write as _;
use std::path::Path;

use mlp::platform::project::schema::{self, Kind};
use serde_json::Value;

use crate::support;

/// Fails if the file does not hold the text; writes it if `MLP_BLESS` is set.
fn fresh(path: &str, text: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("MLP_BLESS").is_some() {
        std::fs::create_dir_all(full.parent().expect("has a folder")).expect("makes a folder");
        std::fs::write(&full, text).expect("writes a generated file");
    }
    let there = std::fs::read_to_string(&full).unwrap_or_default();
    if there != text {
        let line = there.lines().zip(text.lines()).position(|(a, b)| a != b).unwrap_or(0) + 1;
        panic!(
            "{path} is old, from line {line} on: `MLP_BLESS=1 cargo test --test it generated` rewrites it"
        );
    }
}

#[test]
fn the_schemas_are_fresh() {
    for kind in Kind::ALL {
        fresh(&format!("schemas/{}.schema.json", kind.as_str()), &schema::text(kind));
    }
}

#[test]
fn the_completion_scripts_are_fresh() {
    let folder = tempfile::tempdir().expect("makes a folder");
    for (shell, file) in
        [("bash", "mlp.bash"), ("zsh", "_mlp"), ("fish", "mlp.fish"), ("powershell", "mlp.ps1")]
    {
        fresh(&format!("completions/{file}"), &support::ok(folder.path(), &["completions", shell]));
    }
}

#[test]
fn the_error_index_is_fresh() {
    let mut all: Vec<_> = mlp::application::explanations().collect();
    all.sort_by_key(|explain| explain.code);
    let mut page = "# Errors\n\nGenerated from the program; `mlp explain CODE` prints one.\n".to_owned();
    let mut module = "";
    for explain in all {
        let (own, _) = explain.code.split_once("::").expect("a code has a module");
        if own != module {
            module = own;
            write!(page, "\n## {module}\n").expect("writes");
        }
        let text = mlp::application::ui::wrap(explain.text, 110);
        write!(page, "\n### `{}`\n\n{text}", explain.code).expect("writes");
    }
    fresh("docs/reference/errors.md", &page);
}

#[test]
fn the_reference_of_the_command_line_is_fresh() {
    let mut page =
        "# Command line\n\nGenerated from the program; `mlp help COMMAND` prints one.\n".to_owned();
    // The whole tree knows the options of every command only once it is built.
    let mut command = mlp::application::command().term_width(100);
    command.build();
    describe(&mut page, "mlp", &mut command, 2);
    fresh("docs/reference/cli.md", &page);
}

fn describe(page: &mut String, name: &str, command: &mut clap::Command, level: usize) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    write!(page, "\n{} `{name}`\n\n```text\n{help}```\n", "#".repeat(level.min(4))).expect("writes");
    for inner in command.get_subcommands_mut() {
        if !inner.is_hide_set() && inner.get_name() != "help" {
            let name = format!("{name} {}", inner.get_name());
            describe(page, &name, inner, level + 1);
        }
    }
}

#[test]
fn the_reference_of_the_project_file_is_fresh() {
    let schema: Value = serde_json::from_str(&schema::text(Kind::Manifest)).expect("is JSON");
    let mut page = "# mlp.yaml\n\nGenerated from the types. A key without a default and not marked optional must be \
                    there.\nEditors complete and check the file with `.mlp/mlp.schema.json`, which `mlp init` writes and \
                    `mlp schema` prints.\n"
        .to_owned();
    table(&mut page, "The file", &schema);
    for (name, definition) in schema["$defs"].as_object().expect("has definitions") {
        table(&mut page, name, definition);
    }
    fresh("docs/reference/mlp-yaml.md", &page);
}

/// A definition as a heading with a table of its keys, or of its values.
fn table(page: &mut String, name: &str, definition: &Value) {
    let about = definition["description"].as_str().unwrap_or_default();
    write!(page, "\n## {name}\n\n{about}\n").expect("writes");
    if let Some(properties) = definition["properties"].as_object() {
        let required: Vec<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
        for (key, property) in properties {
            let default = match (&property["default"], required.contains(&key.as_str())) {
                (_, true) => "must be there".to_owned(),
                (Value::Null, false) => "optional".to_owned(),
                (default, false) => format!("`{default}`"),
            };
            let about = property["description"].as_str().unwrap_or_default();
            writeln!(page, "| `{key}` | {} | {default} | {} |", type_of(property), cell(about))
                .expect("writes");
        }
    }
    let choices = definition["oneOf"].as_array().or(definition["anyOf"].as_array());
    if let Some(choices) = choices {
        page.push_str("\n| one of | type | meaning |\n|---|---|---|\n");
        for choice in choices {
            let about = cell(choice["description"].as_str().unwrap_or_default());
            if let Some(value) = choice["const"].as_str() {
                writeln!(page, "| `{value}` | | {about} |").expect("writes");
            }
            for value in choice["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                writeln!(page, "| `{value}` | | {about} |").expect("writes");
            }
            for (key, inner) in choice["properties"].as_object().into_iter().flatten() {
                writeln!(page, "| `{key}:` | {} | {about} |", type_of(inner)).expect("writes");
            }
        }
    }
    for value in definition["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        writeln!(page, "- `{value}`").expect("writes");
    }
}

fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// The type in a few words, with links to definitions of this page.
fn type_of(property: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = property["anyOf"].as_array() {
        let types: Vec<String> =
            choices.iter().filter(|choice| choice["type"] != "null").map(type_of).collect();
        return types.join(" or ");
    }
    let name = |kind: &str| match kind {
        "array" => match &property["items"] {
            Value::Null => "list".to_owned(),
            items => format!("list of {}", type_of(items)),
        },
        "object" => match &property["additionalProperties"] {
            Value::Object(_) => format!("mapping to {}", type_of(&property["additionalProperties"])),
            _ => "mapping".to_owned(),
        },
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match &property["type"] {
        Value::String(kind) => name(kind),
        Value::Array(kinds) => {
            let kinds: Vec<String> =
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").map(name).collect();
            kinds.join(" or ")
        }
        _ => "anything".to_owned(),
    }
}
