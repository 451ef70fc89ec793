//! `.dvc/config` and `.dvc/config.local`: where DVC keeps objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::text;
use crate::infrastructure::store::StoreSpec;
use crate::platform::data::DataError;

/// What matters of DVC's configuration.
#[derive(Debug, Default)]
pub struct Config {
    /// The cache of this clone.
    pub cache: PathBuf,
    /// The remote that is used where none is named.
    pub default: Option<String>,
    /// The remotes by name.
    pub remotes: BTreeMap<String, Origin>,
}

/// A DVC remote.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Where it is, as an entry of `imports:`.
    Store(StoreSpec),
    /// A service that mlp does not speak to, by the scheme of its URL.
    Unsupported(String),
}

/// The settings of one section.
type Section = BTreeMap<String, String>;

impl Config {
    /// The configuration of the DVC repository at `root`.
    pub fn read(root: &Path) -> Result<Self, DataError> {
        let folder = root.join(".dvc");
        let mut sections: BTreeMap<String, Section> = BTreeMap::new();
        for name in ["config", "config.local"] {
            for (section, settings) in parse(&text(&folder.join(name))?.unwrap_or_default()) {
                sections.entry(section).or_default().extend(settings);
            }
        }
        let setting =
            |section: &str, key: &str| sections.get(section).and_then(|section| section.get(key)).cloned();
        let cache =
            setting("cache", "dir").map_or_else(|| folder.join("cache"), |dir| plain(&folder.join(dir)));
        let remotes = sections.iter().filter_map(|(name, section)| {
            let name = name.strip_prefix("remote \"")?.strip_suffix('"')?;
            Some((name.to_owned(), Origin::of(section, &sections, &folder)?))
        });
        Ok(Self { cache, default: setting("core", "remote"), remotes: remotes.collect() })
    }
}

impl Origin {
    fn of(section: &Section, all: &BTreeMap<String, Section>, folder: &Path) -> Option<Self> {
        let url = section.get("url")?.trim_end_matches('/');
        let Some((scheme, rest)) = url.split_once("://") else {
            let path = plain(&folder.join(url));
            return Some(Self::Store(StoreSpec::new(format!("fs://{}", path.display()))));
        };
        let url = match scheme {
            // A path in another remote.
            "remote" => {
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                let base = all
                    .get(&format!("remote \"{name}\""))
                    .filter(|base| base.get("url").is_some_and(|url| !url.starts_with("remote://")))?;
                let mut joined = base.clone();
                joined.extend(section.clone());
                joined.insert("url".to_owned(), format!("{}/{path}", base["url"].trim_end_matches('/')));
                return Self::of(&joined, all, folder);
            }
            "s3" | "gs" | "http" | "https" | "webdav" | "webdavs" | "webhdfs" => url.to_owned(),
            "azure" => format!("az://{rest}"),
            "ssh" | "sftp" => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let user = section.get("user").filter(|_| !host.contains('@'));
                let user = user.map(|user| format!("{user}@")).unwrap_or_default();
                let port = section.get("port").filter(|_| !host.contains(':'));
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("sftp://{user}{host}{port}/{path}")
            }
            other => return Some(Self::Unsupported(other.to_owned())),
        };
        Some(Self::Store(StoreSpec {
            endpoint: section.get("endpointurl").cloned(),
            region: section.get("region").cloned(),
            key_file: section.get("keyfile").cloned(),
            ..StoreSpec::new(url)
        }))
    }
}

/// A path without `.` and `..`, so that it reads the same in another file.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            std::path::Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Sections in order, as ConfigObj writes them: `[core]`, `['remote "origin"']`, lines `key = value`.
fn parse(text: &str) -> Vec<(String, Section)> {
    let mut sections: Vec<(String, Section)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((unquoted(name).to_owned(), Section::new()));
        } else if let (Some((key, value)), Some((_, section))) = (line.split_once('='), sections.last_mut()) {
            section.insert(key.trim().to_ascii_lowercase(), unquoted(value.trim()).to_owned());
        }
    }
    sections
}

/// Without the quotes around it.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let within = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('\'').or_else(|| within('"').filter(|_| !text.starts_with("\"\""))).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_become_stores() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        std::fs::create_dir(root.join(".dvc")).expect("makes");
        let config = "[core]\n    remote = cloud\n    analytics = false\n['remote \"cloud\"']\n    url = s3://bucket/dvc/\n    region = eu\n\
                      ['remote \"disk\"']\n    url = ../../store\n['remote \"host\"']\n    url = ssh://h/srv/x\n    user = ada\n    port = 2222\n\
                      ['remote \"part\"']\n    url = remote://cloud/more\n['remote \"drive\"']\n    url = gdrive://1\n\
                      ['remote \"blue\"']\n    url = azure://box/p\n[cache]\n    dir = /srv/cache\n";
        std::fs::write(root.join(".dvc/config"), config).expect("writes");
        let local = "['remote \"cloud\"']\n    endpointurl = http://127.0.0.1:9000\n    secret_access_key = hunter2\n";
        std::fs::write(root.join(".dvc/config.local"), local).expect("writes");
        let config = Config::read(root).expect("reads");
        assert_eq!(config.default.as_deref(), Some("cloud"));
        assert_eq!(config.cache, Path::new("/srv/cache"));
        let store = |name: &str| match &config.remotes[name] {
            Origin::Store(spec) => spec.clone(),
            Origin::Unsupported(scheme) => panic!("{scheme}"),
        };
        let cloud = store("cloud");
        assert_eq!((cloud.url.as_str(), cloud.region.as_deref()), ("s3://bucket/dvc", Some("eu")));
        assert_eq!(cloud.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        let above = root.parent().expect("a folder").join("store");
        assert_eq!(store("disk").url, format!("fs://{}", above.display()));
        assert_eq!(store("host").url, "sftp://ada@h:2222/srv/x");
        assert_eq!(store("part").url, "s3://bucket/dvc/more");
        assert_eq!(store("part").endpoint, cloud.endpoint);
        assert_eq!(store("blue").url, "az://box/p");
        assert_eq!(config.remotes["drive"], Origin::Unsupported("gdrive".to_owned()));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
