//! `--on` several hosts: which of them a run goes to.

use super::support::hosts::Hosts;
use super::support::project::Project;
use super::support::{ok, refused, run};

fn project() -> Project {
    let project = Project::new(
        "data:\n  points: {path: data/points.csv, format: csv, target: class}\n\
         models:\n  small: {data: points, network: [{linear: 2}], train: {epochs: 1}}\n\
         steps:\n  say: {run: 'pwd'}\n  card: {run: 'true', resources: {gpus: 1}}\n",
    );
    let rows: String = (0..40).map(|n| format!("{n},{},{}\n", n % 7, ["a", "b"][n % 2])).collect();
    project.write("data/points.csv", &format!("x,y,class\n{rows}"));
    ok(project.path(), &["data", "add", "points"]);
    project
}

#[test]
fn of_several_hosts_the_one_that_has_the_data_is_taken_and_those_that_are_out_of_reach_are_named() {
    let hosts = Hosts::new();
    let project = project();
    hosts.of(&project, &["h1", "h2"]);
    ok(project.path(), &["train", "--on", "h2"]);
    project.write(
        "mlp.yaml",
        &format!("{}hosts: {{gone: {{ssh: nobody@127.0.0.2}}}}\n", project.read("mlp.yaml")),
    );
    // Equals are taken in the order given; a host that has the data goes before.
    let output = run(project.path(), &["train", "--on", "gone,h1,h2", "--force"], 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("on h2: it has the data, nothing runs there"), "{said}");
    assert!(said.contains("not on h1: it lacks"), "{said}");
    assert!(said.contains("not on gone: ") && said.contains("training small on h2"), "{said}");
    let output = run(project.path(), &["run", "say", "--on", "any"], 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("say runs on h1") || said.contains("say runs on h2"), "{said}");
    assert!(refused(project.path(), &["run", "say", "--on", "h1,h3"], 2).contains("h3"));
}

#[test]
fn where_no_host_has_what_is_wanted_each_says_why() {
    let hosts = Hosts::new();
    let project = project();
    hosts.of(&project, &["h1", "h2"]);
    let said = refused(project.path(), &["run", "card", "--on", "any"], 3);
    assert!(said.contains("compute::no-host"), "{said}");
    assert!(said.contains("h1: it has 0 GPUs, and the run wants 1") && said.contains("h2: it has"), "{said}");
    let said = refused(project.path(), &["train", "--gpus", "1", "--on", "h1,h2"], 3);
    assert!(said.contains("h1: its mlp computes on the processor"), "{said}");
}
