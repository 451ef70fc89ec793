//! What a promotion of the ledger rested on, by the rules of its time.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Judging;
use crate::base::{Entry, Failure, Name, Time};
use crate::platform::model::{Gap, History, ModelError, Rules, gaps};

/// The rules for a model at a commit, and the project then.
pub(crate) struct Then<'a> {
    pub(crate) judging: Judging<'a>,
    pub(crate) rules: Rules,
}

/// Why there are no rules to judge a promotion by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRules {
    /// The entry names no commit.
    Unnamed,
    /// They do not count, or cannot be read.
    Void(String),
}

impl std::fmt::Display for NoRules {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unnamed => {
                to.write_str("the entry does not name the commit of its rules: an earlier mlp wrote it")
            }
            Self::Void(why) => to.write_str(why),
        }
    }
}

type Known<'a> = Rc<Result<Then<'a>, NoRules>>;

/// The grounds of the promotions of one model.
pub(crate) struct Grounds<'j, 'a> {
    judging: &'j Judging<'a>,
    model: Name,
    /// By commit and day, for waivers end with a day.
    known: RefCell<BTreeMap<(String, String), Known<'a>>>,
}

impl<'j, 'a> Grounds<'j, 'a> {
    pub(crate) fn new(judging: &'j Judging<'a>, model: &Name) -> Self {
        Self { judging, model: model.clone(), known: RefCell::default() }
    }

    /// The rules that the promotion `entry` was judged by.
    pub(crate) fn then(&self, entry: &Entry) -> Result<Known<'a>, Failure> {
        let Some(commit) = &entry.subject.commit else { return Ok(Rc::new(Err(NoRules::Unnamed))) };
        let mut day = entry.time.to_string();
        day.truncate(10);
        let key = (commit.clone(), day);
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(known.clone());
        }
        let known = Rc::new(match self.judging.at(commit, entry.time)? {
            Ok(judging) => {
                let rules = judging.rules(&self.model)?;
                Ok(Then { judging, rules })
            }
            Err(why) => Err(NoRules::Void(why)),
        });
        self.known.borrow_mut().insert(key, known.clone());
        Ok(known)
    }

    /// The gates that the promotion `entry` of `history` went past; with `today`, waivers must hold then too.
    pub(crate) fn gaps(
        &self,
        history: &History,
        entry: &Entry,
        today: Option<Time>,
    ) -> Result<Result<Vec<Gap>, NoRules>, Failure> {
        let known = self.then(entry)?;
        let Then { judging, rules } = match &*known {
            Ok(then) => then,
            Err(why) => return Ok(Err(why.clone())),
        };
        let then = OnceCell::new();
        let candidate = || match then.get_or_init(|| before(history, entry)) {
            Ok(history) => judging.candidate(history, history.version(entry.subject.version)?),
            Err(error) => Err(ModelError::Evidence { id: entry.digest(), why: error.to_string() }),
        };
        Ok(Ok(gaps(&judging.project.store, rules, entry, today, &candidate)))
    }
}

/// The history as it was before `entry`.
pub(crate) fn before(history: &History, entry: &Entry) -> Result<History, ModelError> {
    let count = usize::try_from(entry.seq - 1).unwrap_or(usize::MAX);
    History::replay(history.model(), history.entries().get(..count).unwrap_or_default())
}
