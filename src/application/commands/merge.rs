//! `mlp merge`.

mod driver;
mod report;

use std::path::{Path, PathBuf};

use self::report::{Line, Resolved, State};
use super::{Answer, Context};
use crate::base::{Exit, Failure};
use crate::infrastructure::durable;
use crate::infrastructure::git::{Conflicted, Repo};
use crate::infrastructure::store::{Local, Remote, Trees};
use crate::platform::data::{Choice, DataError, Merged, Pointer, Sides, merge};
use crate::platform::project::Project;

/// Merges datasets that a git merge left in conflict.
///
/// Files are merged, not lines of pointers: what only one side changed is taken. A file that both sides changed is a
/// conflict; ours stands in its place until you choose. Give all choices in one command.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    driver: Option<Command>,
    /// Pointers or their data; all that are in conflict if none is named.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Take our version of this file or folder; of everything without PATH.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "")]
    ours: Vec<String>,
    /// Take their version of this file or folder; of everything without PATH.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "")]
    theirs: Vec<String>,
    /// Keep both versions, theirs as `name.theirs.ext`.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "")]
    both: Vec<String>,
    /// Only say what would be merged.
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// What git runs: `mlp merge driver %O %A %B %P`.
    #[command(hide = true)]
    Driver(driver::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    if let Some(Command::Driver(args)) = args.driver {
        return driver::run(&args, context);
    }
    let house = House::open(&context.dir)?;
    let folder = context.dir.canonicalize().map_err(DataError::io("open", &context.dir))?;
    let choices = Choices::new(&args, &folder, &house.repo);
    let mut told = Resolved { dry_run: args.dry_run, datasets: Vec::new() };
    for found in house.in_conflict(&args.paths, &folder)? {
        told.datasets.push(house.resolve(found, &choices, args.dry_run)?);
    }
    let left = told.datasets.iter().any(|line| line.state == State::Conflict);
    context.ui.report(&told);
    Ok(if left { Exit::No } else { Exit::Ok })
}

/// A pointer in conflict.
struct Found {
    path: String,
    sides: Sides,
    /// Whether the index keeps the three versions, so that the file itself may hold anything.
    staged: bool,
}

/// Where a merge reads and writes. `mlp.yaml` may itself be in conflict: then there is no remote.
struct House {
    repo: Repo,
    store: Local,
    remote: Option<Remote>,
}

impl House {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let repo = Repo::discover(dir)?;
        let store = Local::open(&repo.state_dir().join("store"))?;
        let first = Project::read(dir).ok().and_then(|(_, manifest)| {
            manifest.stores.first().and_then(|(name, spec)| Remote::open(name, spec).ok())
        });
        Ok(Self { repo, store, remote: first })
    }

    /// Merges, with trees from here and from the first store; what neither side has goes into the store.
    fn merge(
        &self,
        sides: &Sides,
        choose: &dyn Fn(&[u8]) -> Option<Choice>,
        dry_run: bool,
    ) -> Result<Merged, Failure> {
        let mut trees = Trees::new(&self.store, self.remote.as_ref());
        let merged = merge(sides, &mut |id| trees.tree(id), choose)?;
        if !dry_run {
            let mut writer = self.store.writer()?;
            for tree in &merged.trees {
                writer.tree(tree)?;
            }
            writer.finish()?;
        }
        Ok(merged)
    }

    /// The pointers in conflict that `paths` name: those that the index says are, and those that hold git's markers.
    fn in_conflict(&self, paths: &[String], folder: &Path) -> Result<Vec<Found>, Failure> {
        let wanted: Vec<String> = paths
            .iter()
            .map(|path| {
                let path = inside(&self.repo, folder, path);
                if path.ends_with(".mlp") { path } else { format!("{path}.mlp") }
            })
            .collect();
        let mut found = Vec::new();
        for conflicted in self.repo.conflicts(".mlp")? {
            if wanted.is_empty() || wanted.contains(&conflicted.path) {
                found.push(staged(conflicted)?);
            }
        }
        let others = match wanted.is_empty() {
            true => self.repo.files()?.into_iter().filter(|path| path.ends_with(".mlp")).collect(),
            false => wanted,
        };
        for path in others {
            if found.iter().any(|there: &Found| there.path == path) {
                continue;
            }
            let file = self.repo.root().join(&path);
            let named = !paths.is_empty();
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    if let Some(sides) = Sides::from_markers(&text, Path::new(&path))? {
                        found.push(Found { path, sides, staged: false });
                    } else if named {
                        // In no conflict any more, or never.
                        Pointer::parse(&text, Path::new(&path))?;
                    }
                }
                Err(error) if named => return Err(DataError::io("read", file)(error).into()),
                Err(_) => {}
            }
        }
        Ok(found)
    }

    fn resolve(&self, found: Found, choices: &Choices, dry_run: bool) -> Result<Line, Failure> {
        let dataset = found.path.strip_suffix(".mlp").unwrap_or(&found.path).to_owned();
        let choose = |path: &[u8]| choices.of(&dataset, path);
        let merged = self.merge(&found.sides, &choose, dry_run)?;
        let clean = merged.conflicts.is_empty();
        let file = self.repo.root().join(&found.path);
        if !dry_run && (clean || found.staged) {
            match &merged.pointer {
                Some(pointer) => durable::replace(&file, pointer.text().as_bytes())
                    .map_err(DataError::io("write", &file))?,
                // A dataset that is gone: only when that is decided.
                None if clean && file.symlink_metadata().is_ok() => {
                    std::fs::remove_file(&file).map_err(DataError::io("remove", &file))?;
                }
                None => {}
            }
            if clean {
                self.repo.resolve(&found.path)?;
            }
        }
        Ok(Line::new(found.path, &dataset, merged))
    }
}

fn staged(found: Conflicted) -> Result<Found, Failure> {
    let path = PathBuf::from(&found.path);
    let side = |bytes: Option<Vec<u8>>| match bytes {
        None => Ok(None),
        Some(bytes) => Pointer::parse(&String::from_utf8_lossy(&bytes), &path).map(Some),
    };
    let sides = Sides { base: side(found.base)?, ours: side(found.ours)?, theirs: side(found.theirs)? };
    Ok(Found { path: found.path, sides, staged: true })
}

/// What the command line chose, by paths relative to the root of the repository.
struct Choices(Vec<(String, Choice)>);

impl Choices {
    fn new(args: &Args, folder: &Path, repo: &Repo) -> Self {
        let lists = [(&args.ours, Choice::Ours), (&args.theirs, Choice::Theirs), (&args.both, Choice::Both)];
        let each = lists.iter().flat_map(|(paths, choice)| paths.iter().map(move |path| (path, *choice)));
        let path = |path: &str| if path.is_empty() { String::new() } else { inside(repo, folder, path) };
        Self(each.map(|(given, choice)| (path(given), choice)).collect())
    }

    /// The choice for a file of a dataset: the one that names it most exactly.
    fn of(&self, dataset: &str, path: &[u8]) -> Option<Choice> {
        let path = String::from_utf8_lossy(path);
        let full = if path.is_empty() { dataset.to_owned() } else { format!("{dataset}/{path}") };
        let covers = |given: &str| {
            let given = given.strip_suffix(".mlp").filter(|given| *given == dataset).unwrap_or(given);
            given.is_empty()
                || full == given
                || full.strip_prefix(given).is_some_and(|rest| rest.starts_with('/'))
        };
        let covering = self.0.iter().filter(|(given, _)| covers(given));
        covering.max_by_key(|(given, _)| given.len()).map(|(_, choice)| *choice)
    }
}

/// A path from the command line, relative to the root of the repository; nothing of it need exist.
fn inside(repo: &Repo, folder: &Path, path: &str) -> String {
    let root = repo.root();
    let folder = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let mut parts: Vec<String> = Vec::new();
    let given = Path::new(path);
    let full = match given.strip_prefix(root) {
        Ok(inside) => inside.to_owned(),
        Err(_) => folder.join(given),
    };
    for part in full.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}
