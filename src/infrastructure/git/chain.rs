//! Chains of small files in refs: each commit holds one file and names the commit before. A ref moves only from the commit
//! that its writer saw, so that of several writers one wins: a compare-and-swap that every git server has.

use git2::{Oid, Signature, Time};

use super::{GitError, Repo};

/// The file in each commit.
const FILE: &str = "entry";
/// No link is longer, in bytes.
const LONGEST: usize = 1 << 20;

impl Repo {
    /// The git remote that this clone works with: that of the current branch, else `origin`, else the only one.
    pub fn remote(&self) -> Result<String, GitError> {
        let repository = self.open()?;
        let names = repository.remotes()?;
        let names: Vec<&str> = names.iter().flatten().flatten().collect();
        let branch = repository.head().ok().and_then(|head| head.shorthand().ok().map(str::to_owned));
        let of_branch = branch.and_then(|branch| self.config(&format!("branch.{branch}.remote")));
        let known = |name: &&str| names.contains(name);
        match (of_branch.as_deref().filter(known), names.as_slice()) {
            (Some(name), _) => Ok(name.to_owned()),
            (None, names) if names.contains(&"origin") => Ok("origin".to_owned()),
            (None, [only]) => Ok((*only).to_owned()),
            _ => Err(GitError::NoRemote),
        }
    }

    /// The URL of a git remote.
    pub fn remote_url(&self, remote: &str) -> Result<String, GitError> {
        let repository = self.open()?;
        let found = repository.find_remote(remote)?;
        Ok(String::from_utf8_lossy(found.url_bytes()).into_owned())
    }

    /// The refs of a git remote that `pattern` (`refs/mlp/…/*`) covers, with the ids of their commits: one request.
    pub fn remote_refs(&self, remote: &str, pattern: &str) -> Result<Vec<(String, String)>, GitError> {
        let text = self.talk("list the refs of", remote, &["ls-remote", "--quiet", "--", remote, pattern])?;
        let line = |line: &str| line.split_once('\t').map(|(id, name)| (name.to_owned(), id.to_owned()));
        Ok(text.lines().filter_map(line).collect())
    }

    /// Gets the objects of a ref of a git remote; no ref here changes.
    pub fn fetch_ref(&self, remote: &str, name: &str) -> Result<(), GitError> {
        let args =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--", remote, name];
        self.talk("fetch from", remote, &args).map(drop)
    }

    /// Moves a ref of a git remote from `before` (none: it is made) to `commit`. An error does not say that it was not
    /// moved: look.
    pub fn push_ref(
        &self,
        remote: &str,
        name: &str,
        before: Option<&str>,
        commit: &str,
    ) -> Result<(), GitError> {
        let lease = format!("--force-with-lease={name}:{}", before.unwrap_or_default());
        let refspec = format!("{commit}:{name}");
        let args = ["push", "--quiet", "--no-verify", lease.as_str(), "--", remote, refspec.as_str()];
        self.talk("push to", remote, &args).map(drop)
    }

    /// Whether a commit is here.
    pub fn has_commit(&self, id: &str) -> Result<bool, GitError> {
        let repository = self.open()?;
        Ok(Oid::from_str(id).is_ok_and(|id| repository.find_commit(id).is_ok()))
    }

    /// The files of a chain, the oldest first, with their commits.
    pub fn chain(&self, tip: &str) -> Result<Vec<(String, Vec<u8>)>, GitError> {
        let repository = self.open()?;
        let mut links = Vec::new();
        let mut next = Some(Oid::from_str(tip)?);
        while let Some(id) = next {
            let commit = repository.find_commit(id)?;
            let odd = |what: &str| GitError::Git(format!("commit {id} is no link of a chain: {what}"));
            if commit.parent_count() > 1 {
                return Err(odd("it has several parents"));
            }
            let tree = commit.tree()?;
            let entry = tree.get_name(FILE).ok_or_else(|| odd("it has no `entry`"))?;
            let blob = repository.find_blob(entry.id()).map_err(|_| odd("its `entry` is no file"))?;
            if blob.size() > LONGEST {
                return Err(odd("its `entry` is too long"));
            }
            links.push((id.to_string(), blob.content().to_owned()));
            next = commit.parent_ids().next();
        }
        links.reverse();
        Ok(links)
    }

    /// Makes the commit that follows `parent` in a chain and holds `bytes`; nothing but these decide its id, so that whoever
    /// makes it makes the same. `seconds` is its time since 1970.
    pub fn link(
        &self,
        parent: Option<&str>,
        bytes: &[u8],
        seconds: i64,
        message: &str,
    ) -> Result<String, GitError> {
        let repository = self.open()?;
        let mut tree = repository.treebuilder(None)?;
        tree.insert(FILE, repository.blob(bytes)?, 0o100_644)?;
        let tree = repository.find_tree(tree.write()?)?;
        let parent = parent.map(|id| repository.find_commit(Oid::from_str(id)?)).transpose()?;
        let who = Signature::new("mlp", "mlp@localhost", &Time::new(seconds, 0))?;
        let parents: Vec<_> = parent.iter().collect();
        Ok(repository.commit(None, &who, &who, message, &tree, &parents)?.to_string())
    }

    /// Points a ref of this clone to a commit, so that its objects stay here.
    pub fn keep_ref(&self, name: &str, commit: &str) -> Result<(), GitError> {
        self.open()?.reference(name, Oid::from_str(commit)?, true, "mlp")?;
        Ok(())
    }
}
