//! Which of several hosts a job goes to.

use std::num::NonZeroU32;

use super::link::Link;
use super::{Cards, Host, JobError};
use crate::base::{Bytes, Digest, JobState, Sink, plural};
use crate::infrastructure::store::Local;

/// What a job wants of the host that it goes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wants {
    /// So many GPUs.
    pub gpus: u32,
    /// With how many jobs, itself included, it would share each of them.
    pub share: Option<NonZeroU32>,
    /// It computes on them by mlp's own means, so that mlp there must drive them.
    pub trains: bool,
    /// What it rests on, in the store here.
    pub roots: Vec<Digest>,
}

/// A host that would do.
#[derive(Clone, Debug, PartialEq)]
struct Standing {
    /// GPUs that are free, and all; none where a queue gives them.
    gpus: Option<(usize, usize)>,
    /// Bytes that would have to be sent, if that is known.
    lacks: Option<u64>,
    /// Jobs that are there and have not ended, and those of others that wait for GPUs.
    busy: usize,
}

/// Asks all of `hosts` at the same time, and answers with a connection to the one that is free first: where the GPUs that are wanted are
/// free, then where the fewest bytes have to be sent, then where the fewest jobs are, then in the order given. What is said to `say` tells
/// which it is, and why not the others.
///
/// # Errors
/// [`JobError::NoHost`] if none would do.
pub fn choose(
    hosts: &[Host],
    wants: &Wants,
    store: &Local,
    binary: Digest,
    sink: &dyn Sink,
    say: &dyn Fn(&str),
) -> Result<Link, JobError> {
    let asked: Vec<Result<(Link, Standing), String>> = std::thread::scope(|scope| {
        let ask = |host| scope.spawn(move || ask(host, wants, store, binary, sink));
        let threads: Vec<_> = hosts.iter().map(ask).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|asked| asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut refused = Vec::new();
    let mut fit: Vec<(Link, Standing)> = Vec::new();
    for (host, asked) in hosts.iter().zip(asked) {
        match asked {
            Ok(found) => fit.push(found),
            Err(why) => refused.push(format!("{}: {why}", host.name)),
        }
    }
    // Equals stay in the order given.
    fit.sort_by_key(|(_, standing)| standing.rank(wants));
    let mut fit = fit.into_iter();
    let Some((link, standing)) = fit.next() else { return Err(JobError::NoHost(refused.join("; "))) };
    say(&format!("on {}: {}", link.host.name, standing.words()));
    for (link, standing) in fit {
        say(&format!("not on {}: {}", link.host.name, standing.words()));
    }
    for why in refused {
        say(&format!("not on {why}"));
    }
    Ok(link)
}

/// Connects to a host; what speaks against it in words.
fn ask(
    host: &Host,
    wants: &Wants,
    store: &Local,
    binary: Digest,
    sink: &dyn Sink,
) -> Result<(Link, Standing), String> {
    let words = |error: JobError| error.to_string();
    let mut link = Link::open(host, binary, sink).map_err(words)?;
    if wants.trains && wants.gpus > 0 && link.hello.device.starts_with("cpu") {
        return Err("its mlp computes on the processor".to_owned());
    }
    let jobs = link.jobs().map_err(words)?;
    let mut busy = jobs.iter().filter(|job| !JobState::ended(job.state)).count();
    let mut gpus = None;
    if host.spec.slurm.is_none() {
        let cards = link.cards().map_err(words)?;
        if cards.cards.len() < wants.gpus as usize {
            return Err(format!(
                "it has {}, and the run wants {}",
                plural(cards.cards.len() as u64, "GPU"),
                wants.gpus
            ));
        }
        busy += cards.queue.iter().filter(|claim| !jobs.iter().any(|job| job.id == claim.job)).count();
        gpus = Some((cards.free(wants.share), cards.cards.len()));
    }
    // What is not here cannot be compared; whether it is there is seen when it is sent.
    let lacks = link.lacks(store, &wants.roots).ok();
    Ok((link, Standing { gpus, lacks, busy }))
}

impl Standing {
    /// Smaller is better.
    fn rank(&self, wants: &Wants) -> (bool, u64, usize) {
        let waits = self.gpus.is_none_or(|(free, _)| free < wants.gpus as usize);
        (wants.gpus > 0 && waits, self.lacks.unwrap_or(0), self.busy)
    }

    fn words(&self) -> String {
        let mut words = match self.gpus {
            Some((_, 0)) => Vec::new(),
            Some((free, all)) => vec![format!("{free} of {} free", plural(all as u64, "GPU"))],
            None => vec!["Slurm gives the GPUs".to_owned()],
        };
        words.extend(self.lacks.map(|lacks| match lacks {
            0 => "it has the data".to_owned(),
            lacks => format!("it lacks {}", Bytes(lacks.next_multiple_of(1 << 10))),
        }));
        words.push(match self.busy {
            0 => "nothing runs there".to_owned(),
            some => format!("{} there", plural(some as u64, "job")),
        });
        words.join(", ")
    }
}

impl Cards {
    /// How many a job could have now.
    fn free(&self, share: Option<NonZeroU32>) -> usize {
        let free = |holders: &[super::Claim]| {
            let most = holders.iter().map(|holder| holder.share).chain([share]).min().flatten();
            holders.is_empty() || most.is_some_and(|most| holders.len() < most.get() as usize)
        };
        self.cards.iter().filter(|card| !card.foreign && free(&card.holders)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Id, Time};
    use crate::hardware::Gpu;
    use crate::infrastructure::compute::{Card, Claim};

    #[test]
    fn free_cards_come_first_then_bytes_then_jobs() {
        let standing = |gpus, lacks, busy| Standing { gpus, lacks: Some(lacks), busy };
        let one = Wants { gpus: 1, ..Wants::default() };
        let order = |wants: &Wants, mut all: Vec<(&'static str, Standing)>| -> Vec<&str> {
            all.sort_by_key(|(_, standing)| standing.rank(wants));
            all.into_iter().map(|(name, _)| name).collect()
        };
        let all = vec![
            ("taken", standing(Some((0, 4)), 0, 0)),
            ("queue", standing(None, 0, 1)),
            ("busy", standing(Some((1, 4)), 7, 3)),
            ("far", standing(Some((4, 4)), 9, 0)),
            ("best", standing(Some((1, 1)), 7, 2)),
        ];
        assert_eq!(order(&one, all.clone()), ["best", "busy", "far", "taken", "queue"]);
        assert_eq!(order(&Wants::default(), all)[0], "taken", "where no card is wanted none is looked at");
    }

    #[test]
    fn a_card_counts_as_free_if_a_job_could_have_it_or_a_part_of_it() {
        let three = NonZeroU32::new(3);
        let claim = |share| Claim {
            job: Id::new(),
            name: "digits".parse().expect("a name"),
            user: "ada".into(),
            since: Time::now(),
            wants: 1,
            share,
        };
        let gpu = Gpu { uuid: "GPU-0".into(), name: "Card".into(), memory: 1, used: 0, driver: "550".into() };
        let card = |holders| Card { gpu: gpu.clone(), holders, foreign: false };
        let cards = |holders| Cards { cards: vec![card(holders)], queue: Vec::new() };
        assert_eq!(cards(vec![]).free(None), 1);
        assert_eq!(cards(vec![claim(three)]).free(None), 0);
        assert_eq!(cards(vec![claim(None)]).free(three), 0);
        assert_eq!(cards(vec![claim(three), claim(three)]).free(three), 1);
        assert_eq!(cards(vec![claim(three); 3]).free(three), 0);
        let foreign = Card { foreign: true, ..card(vec![]) };
        assert_eq!(Cards { cards: vec![foreign], queue: Vec::new() }.free(three), 0);
    }
}
