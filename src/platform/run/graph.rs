//! Which step needs which: steps and models joined by the paths they read and make.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::{RunError, StepSpec};
use crate::base::{Name, nearest};
use crate::platform::data::DataSpec;
use crate::platform::train::ModelSpec;

/// What stands at a point of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Name of the step or model.
    pub name: Name,
    /// Whether it is a model.
    pub model: bool,
    /// Points it needs, by position in [`Graph::points`].
    pub needs: Vec<usize>,
}

/// Steps and models so that each stands after what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// In an order in which they can run.
    pub points: Vec<Point>,
}

struct Draft<'a> {
    name: &'a Name,
    model: bool,
    reads: Vec<String>,
    makes: Vec<String>,
}

impl Graph {
    /// The graph of a project. Where a step and a model share a name, `model:NAME` and `step:NAME` tell them apart.
    pub fn new(
        steps: &IndexMap<Name, StepSpec>,
        models: &IndexMap<Name, ModelSpec>,
        data: &IndexMap<Name, DataSpec>,
    ) -> Result<Self, RunError> {
        let mut drafts = Vec::new();
        for (name, step) in steps {
            let paths =
                |list: &[String]| list.iter().map(|path| normal(name, path)).collect::<Result<_, _>>();
            let (reads, makes) = (paths(&step.inputs)?, paths(&step.outputs)?);
            drafts.push(Draft { name, model: false, reads, makes });
        }
        for (name, model) in models {
            let data = data.get(&model.data).map(|spec| spec.path.as_str());
            let begins =
                model.train.init.as_ref().filter(|init| init.is_file()).map(|init| init.from.as_str());
            let reads = data.into_iter().chain(begins).map(|path| normal(name, path));
            let reads = reads.collect::<Result<_, _>>()?;
            drafts.push(Draft { name, model: true, reads, makes: Vec::new() });
        }
        no_overlap(&drafts)?;
        order(&drafts)
    }

    /// The part of the graph that `names` need, themselves included; everything if there are none.
    pub fn select(&self, names: &[String]) -> Result<Self, RunError> {
        if names.is_empty() {
            return Ok(self.clone());
        }
        let mut wanted = BTreeSet::new();
        let mut open = Vec::new();
        for name in names {
            let before = open.len();
            let matches = |point: &Point| {
                name == point.name.as_str()
                    || name.strip_prefix(if point.model { "model:" } else { "step:" })
                        == Some(point.name.as_str())
            };
            open.extend((0..self.points.len()).filter(|at| matches(&self.points[*at])));
            if open.len() == before {
                let known = self.points.iter().map(|point| point.name.as_str());
                return Err(RunError::NoStep {
                    name: name.clone(),
                    nearest: nearest(name, known).map(str::to_owned),
                });
            }
        }
        while let Some(at) = open.pop() {
            if wanted.insert(at) {
                open.extend(&self.points[at].needs);
            }
        }
        let position: BTreeMap<usize, usize> =
            wanted.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let points = wanted.iter().map(|at| {
            let point = self.points[*at].clone();
            Point { needs: point.needs.iter().map(|need| position[need]).collect(), ..point }
        });
        Ok(Self { points: points.collect() })
    }
}

/// A path below the project's root with `/` between its parts and nothing superfluous.
pub(super) fn normal(step: &Name, path: &str) -> Result<String, RunError> {
    let outside = || RunError::Outside { step: step.to_string(), path: path.to_owned() };
    let unified = if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() };
    if unified.starts_with('/') || unified.contains(':') && cfg!(windows) {
        return Err(outside());
    }
    let parts: Vec<&str> = unified.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let hostile = |part: &&str| *part == ".." || part.contains('\0') || *part == ".git" || *part == ".mlp";
    if parts.is_empty() || parts.iter().any(hostile) {
        return Err(outside());
    }
    Ok(parts.join("/"))
}

/// Whether one path is the other or lies in it.
fn touch(one: &str, other: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    inside(one, other) || inside(other, one)
}

fn no_overlap(drafts: &[Draft<'_>]) -> Result<(), RunError> {
    for (at, first) in drafts.iter().enumerate() {
        for second in &drafts[at + 1..] {
            for path in &first.makes {
                if second.makes.iter().any(|other| touch(path, other)) {
                    return Err(RunError::Overlap {
                        first: first.name.to_string(),
                        second: second.name.to_string(),
                        path: path.clone(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// Puts every point after what it needs, otherwise in the order written (Kahn, 1962).
fn order(drafts: &[Draft<'_>]) -> Result<Graph, RunError> {
    let needs: Vec<Vec<usize>> = drafts
        .iter()
        .map(|draft| {
            let makes_for = |maker: &Draft<'_>| {
                maker.makes.iter().any(|made| draft.reads.iter().any(|read| touch(made, read)))
            };
            (0..drafts.len()).filter(|at| makes_for(&drafts[*at])).collect()
        })
        .collect();
    let mut placed: Vec<usize> = Vec::new();
    while placed.len() < drafts.len() {
        let ready = (0..drafts.len())
            .find(|at| !placed.contains(at) && needs[*at].iter().all(|need| placed.contains(need)));
        match ready {
            Some(at) => placed.push(at),
            None => return Err(RunError::Cycle(circle(drafts, &needs, &placed))),
        }
    }
    let position: BTreeMap<usize, usize> = placed.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let points = placed.iter().map(|at| Point {
        name: drafts[*at].name.clone(),
        model: drafts[*at].model,
        needs: needs[*at].iter().map(|need| position[need]).collect(),
    });
    Ok(Graph { points: points.collect() })
}

/// One circle among the points that could not be placed: `a -> b -> a`, each needing the next.
fn circle(drafts: &[Draft<'_>], needs: &[Vec<usize>], placed: &[usize]) -> Vec<String> {
    let mut path: Vec<usize> = (0..drafts.len()).find(|at| !placed.contains(at)).into_iter().collect();
    while let Some(next) = path.last().and_then(|at| needs[*at].iter().find(|need| !placed.contains(need))) {
        if let Some(begin) = path.iter().position(|at| at == next) {
            path.push(*next);
            return path[begin..].iter().map(|at| drafts[*at].name.to_string()).collect();
        }
        path.push(*next);
    }
    path.iter().map(|at| drafts[*at].name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(list: &[(&str, &[&str], &[&str])]) -> IndexMap<Name, StepSpec> {
        list.iter()
            .map(|(name, inputs, outputs)| {
                let step = serde_json::json!({"run": "true", "in": inputs, "out": outputs});
                (name.parse().expect("a name"), serde_json::from_value(step).expect("a step"))
            })
            .collect()
    }

    fn graph(list: &[(&str, &[&str], &[&str])]) -> Result<Graph, RunError> {
        Graph::new(&steps(list), &IndexMap::new(), &IndexMap::new())
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.points.iter().map(|point| point.name.as_str()).collect()
    }

    #[test]
    fn steps_stand_after_what_they_need() {
        let graph = graph(&[
            ("c", &["data/b/part"], &["c.txt"]),
            ("b", &["a.txt"], &["data/b/"]),
            ("a", &[], &["./a.txt"]),
            ("alone", &[], &["data/bb"]),
        ])
        .expect("a graph");
        assert_eq!(names(&graph), ["a", "b", "c", "alone"]);
        assert_eq!(graph.points[2].needs, [1]);
        assert_eq!(names(&graph.select(&["b".into()]).expect("selects")), ["a", "b"]);
        assert_eq!(names(&graph.select(&[]).expect("selects")).len(), 4);
    }

    #[test]
    fn a_model_stands_after_the_step_that_makes_its_data() {
        let data = serde_json::json!({"path": "data/mnist", "format": "idx"});
        let model = serde_json::json!({"data": "mnist", "network": [{"linear": 1}]});
        let graph = Graph::new(
            &steps(&[("prepare", &["raw"], &["data/mnist"])]),
            &IndexMap::from([(
                "digits".parse().expect("a name"),
                serde_json::from_value(model).expect("reads"),
            )]),
            &IndexMap::from([(
                "mnist".parse().expect("a name"),
                serde_json::from_value(data).expect("reads"),
            )]),
        )
        .expect("a graph");
        assert_eq!(names(&graph), ["prepare", "digits"]);
        assert!(graph.points[1].model);
        assert_eq!(graph.points[1].needs, [0]);
    }

    #[test]
    fn a_circle_is_named() {
        let error = graph(&[
            ("z", &[], &["z"]),
            ("a", &["z", "c"], &["a"]),
            ("b", &["a"], &["b"]),
            ("c", &["b"], &["c"]),
        ])
        .expect_err("a circle");
        assert_eq!(error.to_string(), "steps need each other in a circle: a -> c -> b -> a");
        let error = graph(&[("a", &["x"], &["x"])]).expect_err("a circle");
        assert_eq!(error.to_string(), "steps need each other in a circle: a -> a");
    }

    #[test]
    fn two_makers_of_one_path_are_refused() {
        let error = graph(&[("a", &[], &["out"]), ("b", &[], &["out/part"])]).expect_err("overlap");
        assert!(matches!(error, RunError::Overlap { .. }), "{error}");
    }

    #[test]
    fn paths_that_leave_the_project_are_refused() {
        for path in ["/etc/passwd", "../x", "a/../../x", "", ".", ".git/config", "a\0b"] {
            assert!(matches!(graph(&[("a", &[path], &[])]), Err(RunError::Outside { .. })), "{path:?}");
        }
    }

    #[test]
    fn an_unknown_step_suggests_a_near_one() {
        let graph = graph(&[("prepare", &[], &["x"])]).expect("a graph");
        match graph.select(&["prepar".into()]) {
            Err(RunError::NoStep { nearest, .. }) => assert_eq!(nearest.as_deref(), Some("prepare")),
            other => panic!("{other:?}"),
        }
    }
}
