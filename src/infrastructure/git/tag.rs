//! Annotated tags.

use git2::{ErrorCode, Oid, Signature};

use super::{GitError, Repo};

impl Repo {
    /// Puts an annotated tag on `commit`; whether it was not there before.
    ///
    /// # Errors
    /// [`GitError::TagTaken`] if a tag of this name is on another commit.
    pub fn tag(&self, name: &str, commit: &str, message: &str) -> Result<bool, GitError> {
        let repository = self.open()?;
        let id = Oid::from_str(commit)?;
        let object = repository.find_commit(id).map_err(|error| match error.code() {
            ErrorCode::NotFound => GitError::NoRevision(commit.to_owned()),
            _ => error.into(),
        })?;
        match self.tagged(name)? {
            Some(there) if there == commit => return Ok(false),
            Some(_) => return Err(GitError::TagTaken(name.to_owned())),
            None => {}
        }
        let (who, email) = self.identity();
        repository.tag(name, object.as_object(), &Signature::now(&who, &email)?, message, false)?;
        Ok(true)
    }

    /// The commit that a tag is on, in hexadecimal; none if there is no such tag.
    pub fn tagged(&self, name: &str) -> Result<Option<String>, GitError> {
        let repository = self.open()?;
        match repository.find_reference(&format!("refs/tags/{name}")) {
            Ok(there) => Ok(Some(there.peel_to_commit()?.id().to_string())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
