//! `--shadow` and `--canary`: versions that are tried beside the live one, and the evidence that comes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::application::chosen;
use crate::application::commands::Context;
use crate::base::{self, Body, Digest, Failure, Level, Name, Record, Sink};
use crate::infrastructure::store::{PinKind, push};
use crate::platform::project::Project;
use crate::platform::run::publish;
use crate::platform::serve::{
    AbortRule, Canary, Deployment, Keep, ServeError, ServeSpec, Served, Server, Shadow, Trial,
};

/// Lets the version `reference` be asked what its model's live version is asked.
pub(super) fn shadow(
    server: Server,
    reference: &str,
    deployments: &[Arc<Deployment>],
    project: &Project,
    context: &'static Context,
) -> Result<Server, Failure> {
    let spec = &project.manifest.serve;
    let (served, _) = tried(reference, deployments, project, context)?;
    context.ui.log(Level::Info, &format!("{} is asked too, as a shadow", served.reference()));
    let keep: Keep<base::Shadow> = Box::new(move |body: base::Shadow| {
        let what = format!("the shadow {}@{}", body.model, body.version);
        keep(context, &what, &body.model.clone(), vec![body.tree, body.live], body);
    });
    let every = Duration::from_secs(spec.record_s.max(1));
    let shadow = Shadow::start(served, spec.tolerance, every, server.metrics(), keep)?;
    Ok(server.observe(Arc::new(shadow)))
}

/// Lets a version answer a share of the clients: `MODEL@N=5%`.
pub(super) fn canary(
    server: Server,
    written: &str,
    deployments: &[Arc<Deployment>],
    project: &Project,
    context: &'static Context,
) -> Result<Server, Failure> {
    let ServeSpec { tolerance, record_s, canary: spec, .. } = project.manifest.serve.clone();
    let (reference, share) = share(written)?;
    let live_clients = spec.abort.iter().find(|rule| matches!(rule, AbortRule::P95Ratio(_)));
    if let Some(rule) = live_clients.filter(|_| share >= 1.0) {
        let message = format!(
            "`--canary {}` leaves the live version no clients that the rule `{}` of `serve: {{canary: {{abort: …}}}}` could hold it against; \
             give it less, or name other rules",
            written.escape_debug(),
            rule.name()
        );
        return Err(ServeError::Asked(message).into());
    }
    let (served, deployment) = tried(reference, deployments, project, context)?;
    let text = format!("{} answers {}% of the clients, as a canary", served.reference(), 100.0 * share);
    context.ui.log(Level::Info, &text);
    let keep: Keep<base::Canary> = Box::new(move |body: base::Canary| {
        let what = format!("the canary {}@{}", body.model, body.version);
        keep(context, &what, &body.model.clone(), vec![body.tree, body.live], body);
    });
    let trial = Trial { share, spec, tolerance, every: Duration::from_secs(record_s.max(1)) };
    let tell = Box::new(|level, text: &str| context.ui.log(level, text));
    let canary = Canary::start(served, deployment.live(), trial, server.metrics(), keep, tell)?;
    if !deployment.try_beside(Arc::clone(&canary)) {
        let message = format!("`{}` has two canaries, and one is the most", deployment.name());
        return Err(ServeError::Asked(message).into());
    }
    Ok(server.observe(canary))
}

/// The version `reference`, loaded and tried out, and the deployment of its model.
fn tried<'a>(
    reference: &str,
    deployments: &'a [Arc<Deployment>],
    project: &Project,
    context: &Context,
) -> Result<(Served, &'a Arc<Deployment>), Failure> {
    let chosen = chosen::choose(project, reference)?;
    let deployment = deployments.iter().find(|deployment| *deployment.name() == chosen.name);
    let deployment = deployment.ok_or_else(|| {
        ServeError::Asked(format!("`{reference}` is tried beside `{}`, which is not served", chosen.name))
    })?;
    if deployment.live().version == chosen.version.number {
        let message = format!("{} answers already: there is nothing to try", deployment.live().reference());
        return Err(ServeError::Asked(message).into());
    }
    let served = chosen::load(project, chosen, &context.ui)?;
    served.try_out()?;
    Ok((served, deployment))
}

/// Model version and share of `digits@8=5%`.
fn share(written: &str) -> Result<(&str, f64), ServeError> {
    let wrong = |why: &str| {
        let message = format!("`{}` is no canary of the form MODEL@N=5%: {why}", written.escape_debug());
        ServeError::Asked(message)
    };
    let (reference, share) = written.rsplit_once('=').ok_or_else(|| wrong("it names no share"))?;
    if reference.is_empty() {
        return Err(wrong("it names no version"));
    }
    let share = match share.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => share.parse(),
    };
    match share {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok((reference, share)),
        Ok(_) => Err(wrong("a share is over 0 % and at most 100 %")),
        Err(_) => Err(wrong("its share is no number")),
    }
}

/// Writes a record, and brings it to where others look for evidence. A server goes on where that fails, and says so.
fn keep<B: Body>(context: &Context, what: &str, model: &Name, inputs: Vec<Digest>, body: B) {
    match filed(context, model, inputs, body) {
        Ok(id) => context.ui.log(Level::Info, &format!("{what}: kept as record {id}")),
        Err(failure) => {
            let text = format!("{what}: its record cannot be kept: {} ({})", failure.0, failure.0.code());
            context.ui.log(Level::Warn, &text);
        }
    }
}

fn filed<B: Body>(context: &Context, model: &Name, inputs: Vec<Digest>, body: B) -> Result<Digest, Failure> {
    let project = context.project()?;
    let record = Record::new(project.repo.author(), inputs, body);
    let id = publish(&project.store, &record, model.as_str(), &[])?;
    if let Some(remote) = project.ledger_home()?.store() {
        let mut pins = project.store.pins()?;
        pins.retain(|pin| matches!(pin.kind, PinKind::Record(_)) && pin.records.contains(&id));
        push(&project.store, remote, project.id(), &pins, &context.ui)?;
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_number() {
        assert_eq!(share("digits@8=5%").expect("is one"), ("digits@8", 0.05));
        assert_eq!(share("digits@8=0.25").expect("is one"), ("digits@8", 0.25));
        assert_eq!(share("digits@staging=100%").expect("is one"), ("digits@staging", 1.0));
        for wrong in
            ["digits@8", "digits@8=", "digits@8=0%", "digits@8=-1", "digits@8=101%", "digits@8=NaN", "=x"]
        {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        for (written, why) in [
            ("digits@8", "it names no share"),
            ("=150%", "it names no version"),
            ("digits@8=150%", "a share is over 0 % and at most 100 %"),
            ("digits@8=half", "its share is no number"),
        ] {
            let said = share(written).expect_err("is none").to_string();
            assert!(
                said.contains(&format!("`{written}` is no canary of the form MODEL@N=5%: {why}")),
                "{said}"
            );
        }
    }
}
