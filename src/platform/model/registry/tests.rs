use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A home, two keys and the signers' file that names the first.
struct World {
    folder: TempDir,
    home: LedgerHome,
    project: Id,
}

fn name(text: &str) -> Name {
    text.parse().expect("is a name")
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().expect("makes a folder");
        let store = folder.path().join("store");
        crate::infrastructure::store::Local::open(&store).expect("opens");
        Self { folder, home: LedgerHome::Local(store), project: Id::new() }
    }

    fn key(&self, who: &str) -> PathBuf {
        let path = self.folder.path().join(who);
        if !path.exists() {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
            assert!(made.expect("ssh-keygen starts").success());
        }
        path
    }

    fn signers(&self, who: &[&str]) -> Signers {
        let line = |who: &&str| {
            let public = std::fs::read_to_string(self.key(who).with_extension("pub")).expect("reads");
            format!("{who} {public}")
        };
        Signers(who.iter().map(line).collect())
    }

    fn actor(&self, who: &str) -> Actor {
        Actor::signing("Ada <ada@x>", "ada@x", SigningKey::File(self.key(who)), "allowed_signers on main")
    }

    fn registry<'a>(&'a self, signers: &'a Signers) -> Registry<'a> {
        Registry { home: &self.home, project: self.project, signers }
    }
}

fn draft(kind: EntryKind, stage: Option<&str>) -> Draft {
    let subject = Subject {
        model: name("digits"),
        version: 1,
        tree: Digest::of(b"tree"),
        run: None,
        stage: stage.map(name),
        commit: None,
        reason: None,
    };
    Draft { kind, subject, evidence: vec![] }
}

fn write(registry: &Registry<'_>, draft: &Draft, actor: &Actor) -> Result<Option<Entry>, ModelError> {
    let history = registry.history(&name("digits"))?;
    registry.append(&history, draft, actor, Time::now())
}

#[test]
fn entries_are_signed_by_the_principal_of_the_key_once_there_are_signers() {
    let world = World::new();
    let signers = world.signers(&["max"]);
    let registry = world.registry(&signers);
    let actor = world.actor("max");
    let registered =
        write(&registry, &draft(EntryKind::Register, None), &actor).expect("writes").expect("wins");
    assert_eq!((registered.actor.as_str(), registered.signature.is_some()), ("Ada <ada@x>", false));
    let promoted =
        write(&registry, &draft(EntryKind::Promote, Some("staging")), &actor).expect("writes").expect("wins");
    assert_eq!((promoted.actor.as_str(), promoted.signature.is_some()), ("max", true));
    let history = registry.history(&name("digits")).expect("verifies");
    history.verify_live(&name("staging"), &signers).expect("is signed");
}

#[test]
fn a_key_of_nobody_cannot_promote() {
    let world = World::new();
    let signers = world.signers(&["max"]);
    let registry = world.registry(&signers);
    write(&registry, &draft(EntryKind::Register, None), &world.actor("max")).expect("writes");
    let result = write(&registry, &draft(EntryKind::Promote, Some("staging")), &world.actor("eve"));
    assert!(matches!(result, Err(ModelError::NotASigner { .. })));
    let unsigned = Actor::unsigned("Eve <eve@x>", "allowed_signers on main");
    let result = write(&registry, &draft(EntryKind::Promote, Some("staging")), &unsigned);
    assert!(matches!(result, Err(ModelError::NoSigners { .. })));
}

#[test]
fn what_was_promoted_before_there_were_signers_must_be_promoted_again_to_be_served() {
    let world = World::new();
    let nobody = Signers::default();
    let early = world.registry(&nobody);
    let unsigned = Actor::unsigned("Ada <ada@x>", "");
    write(&early, &draft(EntryKind::Register, None), &unsigned).expect("writes");
    write(&early, &draft(EntryKind::Promote, Some("staging")), &unsigned).expect("writes");
    let signers = world.signers(&["max"]);
    let late = world.registry(&signers);
    let history = late.history(&name("digits")).expect("is still read");
    let live = history.verify_live(&name("staging"), &signers);
    assert!(matches!(live, Err(ModelError::Unsigned { number: 1, .. })));
    write(&late, &draft(EntryKind::Promote, Some("staging")), &world.actor("max")).expect("writes");
    late.history(&name("digits")).expect("reads").verify_live(&name("staging"), &signers).expect("is signed");
    // From now on nobody gets by without.
    write(&early, &draft(EntryKind::Promote, Some("production")), &unsigned)
        .expect("the file system lets them");
    let result = late.history(&name("digits"));
    assert!(matches!(result, Err(ModelError::Untrusted { seq: 4, .. })), "{result:?}");
}

#[test]
fn a_signature_by_somebody_who_is_no_signer_any_more_is_not_trusted() {
    let world = World::new();
    let signers = world.signers(&["max"]);
    let registry = world.registry(&signers);
    write(&registry, &draft(EntryKind::Register, None), &world.actor("max")).expect("writes");
    write(&registry, &draft(EntryKind::Promote, Some("staging")), &world.actor("max")).expect("writes");
    let others = world.signers(&["sam"]);
    let late = world.registry(&others);
    let result = late.history(&name("digits"));
    let Err(ModelError::Untrusted { seq: 2, why, .. }) = result else { panic!("{result:?}") };
    assert!(why.contains("`max` is not in the signers' file (left?"), "{why}");
    // Who only looks sees what comes before.
    let (sound, wrong) = late.look(&name("digits")).expect("looks");
    assert_eq!(sound.entries().len(), 1);
    assert!(matches!(wrong, Some(ModelError::Untrusted { seq: 2, .. })), "{wrong:?}");
    // A forgery in the name of somebody who is there is told as one.
    let forged = world.signers(&["sam"]).0.replace("sam ", "max ");
    let result = world.registry(&Signers(forged)).history(&name("digits"));
    assert!(matches!(result, Err(ModelError::Untrusted { why, .. }) if !why.contains("left?")));
}

#[test]
fn only_one_of_two_entries_with_one_number_stands() {
    let world = World::new();
    let nobody = Signers::default();
    let registry = world.registry(&nobody);
    let actor = Actor::unsigned("Ada <ada@x>", "");
    let history = registry.history(&name("digits")).expect("reads");
    let first = registry.append(&history, &draft(EntryKind::Register, None), &actor, Time::now());
    assert!(first.expect("writes").is_some());
    let second = registry.append(&history, &draft(EntryKind::Register, None), &actor, Time::now());
    assert!(second.expect("writes").is_none());
}
