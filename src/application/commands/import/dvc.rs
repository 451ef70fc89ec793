//! `mlp import dvc`.

mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use self::report::{Failed, Line, State, Step, Told};
use super::super::data::subject::relative;
use super::super::{Answer, Context};
use crate::application::promised;
use crate::application::ui::clean;
use crate::base::{Exit, Failure, Level, Name, Sink, yaml_scalar};
use crate::infrastructure::durable;
use crate::infrastructure::git::Repo;
use crate::infrastructure::store::StoreSpec;
use crate::platform::data::foreign::Promise;
use crate::platform::data::foreign::dvc::{self, Config, Converted, Origin, Out, Unconverted};
use crate::platform::data::{DataError, Pointer, ignore};
use crate::platform::project::{FILE, Profile, Project, ProjectError, Scaffold, Template, amend};

/// Takes over the data and stages of a DVC repository (DVC 0.x to 3.x); `git diff` then shows text alone.
///
/// Writes a pointer beside every output that DVC keeps, the DVC remotes into `imports:` and the stages of dvc.yaml into `steps:` of
/// mlp.yaml, which is made if there is none. No data are moved: `mlp data pull` fetches them from DVC's cache or remote when
/// they are needed, compares them with their MD5 and makes them versions of mlp's own. Can be run again, also after more `dvc add`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Fetch and store all data now.
    #[arg(long)]
    full: bool,
    /// Remove the `*.dvc` files, `dvc.lock` and `dvc.yaml` of what is taken over.
    #[arg(long)]
    finish: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let repo = Repo::discover(&context.dir)?;
    let folder = context.dir.canonicalize().map_err(DataError::io("open", &context.dir))?;
    let root = dvc::find(&folder, repo.root()).ok_or_else(|| {
        let detail = "it is no DVC repository: neither it nor a folder above has `.dvc`".to_owned();
        DataError::Argument { argument: clean(&folder.display().to_string()).into_owned(), detail }
    })?;
    let config = Config::read(&root)?;
    let files: Vec<String> = repo.files()?;
    let outs = dvc::outs(repo.root(), &files)?;
    let (steps, failed) = stages(repo.root(), &files)?;

    let mut told = Told { dry_run: args.dry_run, ..Told::default() };
    told.failed = failed.into_iter().map(|(stage, why)| Failed { stage, why }).collect();
    if !args.dry_run {
        begin(&root, context)?;
    }
    let project = match context.project_at(&root) {
        Err(failure) if args.dry_run && failure.0.code() == "project::none" => None,
        project => Some(project?),
    };
    told.imports = imports(&config, &outs, project.as_ref())?;
    let top = project.as_ref().map_or_else(|| root.clone(), |project| project.root.clone());
    let top = relative(repo.root(), &top);
    told.steps = rebased(&steps, &top, project.as_ref(), &mut told.failed);
    if let (Some(project), false) = (&project, args.dry_run) {
        write_sections(project, &mut told)?;
    }
    for out in &outs {
        let line = match (&out.content, &project) {
            (Err(why), _) => Line::of(out, State::Left, Some((*why).to_owned())),
            (Ok(content), project) => {
                let promise = Promise {
                    id: content.id.clone(),
                    size: content.size,
                    files: content.files,
                    executable: content.executable,
                    from: from(&config, content.remote.as_deref()),
                };
                take(out, &promise, repo.root(), project.as_ref(), args.dry_run)?
            }
        };
        told.outputs.push(line);
    }
    // With its imports.
    let project = match (args.full && !args.dry_run, project) {
        (true, Some(_)) => Some(context.project_at(&root)?),
        (_, project) => project,
    };
    if let (Some(project), true) = (&project, args.full && !args.dry_run) {
        full(&mut told, repo.root(), project, context)?;
    }
    if args.finish {
        told.removed = finish(&told, &outs, repo.root(), &files, args.dry_run)?;
    }
    let complete = told.outputs.iter().all(|line| line.state != State::Left) && told.failed.is_empty();
    context.ui.report(&told);
    Ok(if complete { Exit::Ok } else { Exit::No })
}

/// Makes the folder a project if it lies in none.
fn begin(root: &Path, context: &Context) -> Result<(), Failure> {
    match Project::read(root) {
        Err(failure) if failure.0.code() == "project::none" => {
            Scaffold::plan(root, ".", Template::find("empty")?, Profile::default())?.write()?;
            context.ui.log(Level::Info, &format!("made {FILE} and what belongs to it"));
            Ok(())
        }
        project => project.map(drop),
    }
}

/// The stages of all `dvc.yaml` as steps, and what could not be converted.
fn stages(root: &Path, files: &[String]) -> Result<(Vec<Converted>, Vec<Unconverted>), Failure> {
    let (mut steps, mut failed) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|file| *file == "dvc.yaml" || file.ends_with("/dvc.yaml")) {
        let (more, not) = dvc::convert(root, file)?;
        steps.extend(more);
        failed.extend(not);
    }
    Ok((steps, failed))
}

/// The name of a DVC remote under `imports:`.
fn named(remote: &str) -> Option<Name> {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let name: String = remote.chars().map(letter).take(63).collect();
    name.trim_start_matches(['-', '_']).parse().ok()
}

/// The import that an output comes from.
fn from(config: &Config, remote: Option<&str>) -> Option<Name> {
    let remote = remote.or(config.default.as_deref())?;
    match config.remotes.get(remote)? {
        Origin::Store(_) => named(remote),
        Origin::Unsupported(_) => None,
    }
}

/// The DVC remotes that the outputs need and the project does not have.
fn imports(
    config: &Config,
    outs: &[Out],
    project: Option<&Project>,
) -> Result<IndexMap<Name, StoreSpec>, Failure> {
    let wanted = outs.iter().filter_map(|out| out.content.as_ref().ok());
    let wanted = wanted.filter_map(|content| content.remote.as_deref().or(config.default.as_deref()));
    let wanted: BTreeSet<&str> = wanted.collect();
    let mut imports = IndexMap::new();
    for remote in wanted {
        let (Some(name), Some(Origin::Store(spec))) = (named(remote), config.remotes.get(remote)) else {
            continue;
        };
        match project.and_then(|project| project.manifest.imports.get(&name)) {
            Some(known) if known.url == spec.url => {}
            Some(known) => {
                let detail = format!("`imports:` has it with the URL {}, DVC with {}", known.url, spec.url);
                let store = name.to_string();
                return Err(crate::infrastructure::store::StoreError::Spec { store, detail }.into());
            }
            None => drop(imports.insert(name, spec.clone())),
        }
    }
    Ok(imports)
}

/// The steps with paths that count from the project's folder `top`; those that the project does not have.
fn rebased(
    steps: &[Converted],
    top: &str,
    project: Option<&Project>,
    failed: &mut Vec<Failed>,
) -> IndexMap<Name, Step> {
    let inside = |path: &str| match top {
        "" => Some(path.to_owned()),
        top if path == top => Some(String::new()),
        top => path.strip_prefix(top)?.strip_prefix('/').map(str::to_owned),
    };
    let mut rebased: IndexMap<Name, Step> = IndexMap::new();
    for step in steps {
        let mut fail = |why: &str| failed.push(Failed { stage: step.name.clone(), why: why.to_owned() });
        let paths = |paths: &[String]| paths.iter().map(|path| inside(path)).collect::<Option<Vec<_>>>();
        let (Some(folder), Some(inputs), Some(outputs)) =
            (inside(&step.folder), paths(&step.inputs), paths(&step.outputs))
        else {
            fail("it needs files outside of the folder of mlp.yaml");
            continue;
        };
        let Some(name) = named(&step.name) else {
            fail("its name cannot be that of a step");
            continue;
        };
        let run = match folder.as_str() {
            "" => step.run.clone(),
            folder => format!("cd {} && {}", shlex::try_quote(folder).unwrap_or_default(), step.run),
        };
        if rebased.contains_key(&name) {
            fail("another stage has its name");
        } else if project.is_none_or(|project| !project.manifest.steps.contains_key(&name)) {
            rebased.insert(name, Step { run, inputs, outputs });
        }
    }
    rebased
}

/// Writes `imports:` and `steps:`; where that cannot be done, nothing else is done either.
fn write_sections(project: &Project, told: &mut Told) -> Result<(), Failure> {
    let sections = [("imports", imports_text(&told.imports)), ("steps", steps_text(&told.steps))];
    for (section, text) in sections.iter().filter(|(_, text)| !text.is_empty()) {
        if !amend(&project.root, section, text)? {
            let lines: String = text.lines().map(|line| format!("  {line}\n")).collect();
            return Err(ProjectError::Amend { section: (*section).to_owned(), entries: lines }.into());
        }
    }
    Ok(())
}

fn imports_text(imports: &IndexMap<Name, StoreSpec>) -> String {
    let mut text = String::new();
    for (name, spec) in imports {
        text.push_str(&format!("{}:\n  url: {}\n", yaml_scalar(name.as_str()), yaml_scalar(&spec.url)));
        let more = [("endpoint", &spec.endpoint), ("region", &spec.region), ("key_file", &spec.key_file)];
        for (key, value) in more {
            if let Some(value) = value {
                text.push_str(&format!("  {key}: {}\n", Value::from(value.as_str())));
            }
        }
    }
    text
}

fn steps_text(steps: &IndexMap<Name, Step>) -> String {
    let mut text = String::new();
    for (name, step) in steps {
        text.push_str(&format!(
            "{}:\n  run: {}\n",
            yaml_scalar(name.as_str()),
            Value::from(step.run.as_str())
        ));
        for (key, list) in [("in", &step.inputs), ("out", &step.outputs)] {
            if !list.is_empty() {
                text.push_str(&format!("  {key}: {}\n", Value::from(list.clone())));
            }
        }
    }
    text
}

/// Writes the pointer of an output, unless its data are a version of mlp's own already.
fn take(
    out: &Out,
    promise: &Promise,
    root: &Path,
    project: Option<&Project>,
    dry_run: bool,
) -> Result<Line, Failure> {
    let data = root.join(&out.path);
    let pointer = Pointer::beside(&data);
    let mut line = Line::of(out, State::New, None);
    line.from = promise.from.clone();
    if pointer.exists() {
        let text = Pointer::text_at(&pointer)?;
        match Promise::parse(&text, &pointer)? {
            Some(known) if known == *promise => line.state = State::Known,
            Some(_) => {}
            None => {
                let became = project.map(|project| promised::known(project, promise)).transpose()?.flatten();
                let is_it = became.is_some_and(|became| became.text() == text);
                line.state = if is_it { State::Stored } else { State::Left };
                line.why = (!is_it).then(|| "its pointer names another version".to_owned());
            }
        }
    }
    if line.state == State::New && !dry_run {
        durable::replace(&pointer, promise.text().as_bytes()).map_err(DataError::io("write", &pointer))?;
        keep_out_of_git(out, &data, project)?;
    }
    Ok(line)
}

fn keep_out_of_git(out: &Out, data: &Path, project: Option<&Project>) -> Result<(), Failure> {
    let Some(project) = project else { return Ok(()) };
    let folder = PathBuf::from(&out.path).join("");
    if !project.repo.ignores(out.path.as_ref())? && !project.repo.ignores(&folder)? {
        ignore(data)?;
    }
    Ok(())
}

/// Makes versions of all promises.
fn full(told: &mut Told, root: &Path, project: &Project, context: &Context) -> Result<(), Failure> {
    for line in told.outputs.iter_mut().filter(|line| matches!(line.state, State::New | State::Known)) {
        let data = root.join(&line.path);
        let pointer = Pointer::beside(&data);
        if let Some(promise) = Promise::parse(&Pointer::text_at(&pointer)?, &pointer)? {
            promised::fulfil(project, &promise, &data, &context.ui)?.write(&pointer)?;
            line.state = State::Stored;
        }
    }
    Ok(())
}

/// Removes DVC's files of which everything is taken over; returns their paths.
fn finish(
    told: &Told,
    outs: &[Out],
    root: &Path,
    files: &[String],
    dry_run: bool,
) -> Result<Vec<String>, Failure> {
    let left = told.outputs.iter().filter(|line| line.state == State::Left).map(|line| line.path.as_str());
    let left: BTreeSet<&str> = left.collect();
    let in_use = |file: &str| outs.iter().any(|out| out.file == file && left.contains(out.path.as_str()));
    let is_dvc = |file: &&String| {
        let name = file.rsplit('/').next().unwrap_or_default();
        match name {
            "dvc.yaml" => told.failed.is_empty(),
            "dvc.lock" => true,
            name => name.ends_with(".dvc") && outs.iter().any(|out| out.file == **file),
        }
    };
    let mut removed = Vec::new();
    for file in files.iter().filter(is_dvc).filter(|file| !in_use(file)) {
        if !dry_run {
            let path = root.join(file);
            durable::remove(&path).map_err(DataError::io("remove", &path))?;
        }
        removed.push(file.clone());
    }
    Ok(removed)
}
