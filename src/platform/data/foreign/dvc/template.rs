//! `${…}` in `dvc.yaml` (<https://dvc.org/doc/user-guide/project-structure/dvcyaml-files#templating>).

use serde_json::{Map, Value};

/// `text` with every `${path.to[0].value}` replaced by what `context` has there. `\${` stands for itself.
pub(super) fn resolve(text: &str, context: &Map<String, Value>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        if let Some(before) = before.strip_suffix('\\') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(before);
        let (name, after) = rest[at + 2..].split_once('}').ok_or("a `${` has no `}`")?;
        let name = name.trim();
        let found = find(name, context).ok_or_else(|| format!("nothing gives a value to `{name}`"))?;
        out.push_str(&shown(found).ok_or_else(|| format!("the value of `{name}` cannot stand in a text"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// All texts in `value`, keys too, resolved. A text that is one reference becomes what it refers to.
pub(super) fn resolve_all(value: &Value, context: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match whole(text).and_then(|name| find(name, context)) {
            Some(found) => found.clone(),
            None => Value::String(resolve(text, context)?),
        },
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| resolve_all(item, context)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let pair =
                |(key, value): (&String, &Value)| Ok((resolve(key, context)?, resolve_all(value, context)?));
            Value::Object(map.iter().map(pair).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// The name in a text that is just `${name}`.
fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains(['$', '}'])).then(|| name.trim())
}

/// What stands at `a.b[0].c`.
fn find<'a>(name: &str, context: &'a Map<String, Value>) -> Option<&'a Value> {
    let parts = name.replace('[', ".").replace(']', "");
    let mut parts = parts.split('.');
    let mut at = context.get(parts.next()?)?;
    for part in parts {
        at = match at {
            Value::Object(map) => map.get(part)?,
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(at)
}

/// A value within a command: a map becomes options, as in DVC.
fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Object(map) => {
            let mut options = Vec::new();
            for (key, value) in map {
                match value {
                    Value::Bool(true) => options.push(format!("--{key}")),
                    Value::Bool(false) | Value::Null => {}
                    Value::Array(items) => {
                        options.push(format!("--{key}"));
                        for item in items {
                            options.push(quoted(&shown(item)?));
                        }
                    }
                    Value::Object(_) => return None,
                    value => options.push(format!("--{key} {}", quoted(&shown(value)?))),
                }
            }
            options.join(" ")
        }
        Value::Null | Value::Array(_) => return None,
    })
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), |text| text.into_owned())
}

/// Puts `more` into `into`, map by map.
pub(super) fn merge(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Map<String, Value> {
        let value = serde_json::json!({
            "item": {"name": "a b", "n": 3}, "list": [{"x": 1}], "on": true,
            "opts": {"lr": 0.1, "fast": true, "slow": false, "tags": ["p q", "r"]}
        });
        value.as_object().expect("a map").clone()
    }

    #[test]
    fn references_are_replaced() {
        let resolve = |text: &str| resolve(text, &context());
        assert_eq!(resolve("x ${item.name} ${ item.n }").expect("resolves"), "x a b 3");
        assert_eq!(resolve("${list[0].x}-${on}").expect("resolves"), "1-true");
        assert_eq!(resolve(r"echo \${HOME} $HOME").expect("resolves"), "echo ${HOME} $HOME");
        assert_eq!(resolve("t ${opts}").expect("resolves"), "t --lr 0.1 --fast --tags 'p q' r");
        for text in ["${nothing}", "${list}", "${item", "${item.name.x}", "${list[9]}"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reference_alone_keeps_its_type() {
        let value = serde_json::json!(["${list}", {"${item.n}": "${on}"}]);
        let wanted = serde_json::json!([[{"x": 1}], {"3": true}]);
        assert_eq!(resolve_all(&value, &context()).expect("resolves"), wanted);
    }
}
