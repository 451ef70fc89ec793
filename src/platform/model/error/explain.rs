//! The long explanations of what can go wrong with models, stages and gates.

use crate::base::Explain;

/// The long explanations of this module's errors.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "model::reference",
        text: "A model version is named `digits` (the newest), `digits@7` (version 7) or `digits@production` (what is \
               live in that stage).",
    },
    Explain {
        code: "model::no-version",
        text: "Versions are numbered from 1 in the order of their registration. `mlp model show MODEL` lists them.",
    },
    Explain {
        code: "model::nothing-registered",
        text: "A version is made from a finished run: train with `mlp train MODEL`, then `mlp model register MODEL`. \
               `mlp promote MODEL` registers the newest finished run by itself if there is no version yet.",
    },
    Explain {
        code: "model::nothing-live",
        text: "A stage holds a version after `mlp promote MODEL --to STAGE` succeeded. `mlp status` shows what is \
               live where and what blocks the next stage.",
    },
    Explain {
        code: "model::unknown-stage",
        text: "Stages are those of the project's profile and of `stages:` in mlp.yaml, in the order written, as they \
               stand on the trust branch.",
    },
    Explain {
        code: "model::unknown-gate",
        text: "Gates are those of the project's profile and of `stages:` in mlp.yaml, as they stand on the trust \
               branch. `mlp gate explain` lists them.",
    },
    Explain {
        code: "model::which-model",
        text: "The project has several models, or none: the command must name one of those under `models:` in mlp.yaml.",
    },
    Explain {
        code: "model::time",
        text: "A time is written as 2026-05-03T12:00:00Z (RFC 3339), or as a day, 2026-05-03, which means its end in UTC.",
    },
    Explain {
        code: "model::nothing-before",
        text: "A rollback puts back the version that was live in the stage before the present one. The first version \
               that a stage ever held has none before it; promote another version instead.",
    },
    Explain {
        code: "model::no-run",
        text: "Only a run that succeeded and whose outputs hold a `model` can be registered. `mlp runs ls` lists the runs.",
    },
    Explain {
        code: "model::unfit-run",
        text: "Only a run that succeeded and whose outputs hold a `model` can be registered: the run named here failed, \
               was cancelled, made no model, or is a run of another model. `mlp runs ls` lists the runs.",
    },
    Explain {
        code: "model::ledger",
        text: "The ledger of a model is a chain of numbered entries, each naming the digest of the one before. This one \
               holds an entry that no correct writer can have made: bytes were changed, removed or exchanged. Nothing \
               is derived from such a ledger. Compare it with the copy of a colleague or a backup of the store.",
    },
    Explain {
        code: "model::untrusted",
        text: "Where a project has signers, every entry that approves, promotes, rolls back or waives must carry a \
               signature that holds for its actor at its time. This one does not. If the signer has left the project, \
               put the line back into the signers' file with `valid-before=` instead of deleting it; otherwise the \
               entry is forged or damaged.",
    },
    Explain {
        code: "model::unsigned",
        text: "The version was promoted before the project had signers. Promote it again: the new entry is signed.",
    },
    Explain {
        code: "model::no-signers",
        text: "An approval is a signature, and a signature counts only if its key stands in the signers' file on the \
               trust branch. Write a line `you@example.org ssh-ed25519 AAAA…` (your public key) into it, name the \
               principal under `project: {roles: …}`, commit and push.",
    },
    Explain {
        code: "model::not-a-signer",
        text: "A signature counts only if its key stands in the signers' file on the trust branch (trust: {signers: …}). \
               Choose another key with `--key`, `MLP_SIGNING_KEY` or git's `user.signingkey`, or have the key added.",
    },
    Explain {
        code: "model::unknown-signer",
        text: "An approval counts only by somebody whom the signers' file on the trust branch names (trust: {signers: …}). Write \
               the name as it stands at the beginning of the line there.",
    },
    Explain {
        code: "model::statement",
        text: "`mlp approve MODEL@N --to STAGE --statement FILE` writes the bytes that an approver signs elsewhere; with \
               `--signature` it takes them back. They must come back byte for byte, be for the version and the stage that the \
               command names, and be about the files that this version has. A statement for another version, stage or \
               content is refused, whoever signed it.",
    },
    Explain {
        code: "model::tag",
        text: "`--tag` mirrors a promotion into git tags as GTO reads them: `digits@v7.0.0` on the commit that made version 7, \
               `digits#production#12` for entry 12 of the ledger. GTO allows lower case letters, digits and `-` in names, and \
               a version must have been made from a commit. Promote without `--tag`.",
    },
    Explain {
        code: "model::files",
        text: "A model is plain files in folders. A symbolic link may lead to a file that nobody verified, and devices or pipes have \
               no bytes to verify. Put the file itself there.",
    },
    Explain {
        code: "model::no-folder",
        text: "`mlp verify` takes a folder with the files of a model, such as `mlp model pull` writes, or a registered version: \
               `digits@7`, `digits@production`. What has a `/` in it is taken for a path.",
    },
    Explain {
        code: "model::contended",
        text: "Each time the gates were judged, somebody else had written to the ledger first, so that the judgement \
               had to be made again. Run the command again.",
    },
    Explain {
        code: "model::evidence",
        text: "A record or file that a verdict would rest on is not what it should be. The message names it. Remove \
               nothing: make the evidence again (`mlp eval`, `mlp data info`), or restore the store.",
    },
    Explain {
        code: "model::nothing-judged",
        text: "Verdicts are recorded when a version is promoted, one per gate. A version that never was has none that could \
               be judged again. `mlp gate check MODEL@N --to STAGE` judges it now.",
    },
    Explain {
        code: "model::rehearsal",
        text: "A real server of the version was started on loopback, as `mlp serve MODEL@N --port 0` does, to see what it answers: for \
               a `serve` gate, or to rehearse a rollback. It did not start, did not answer, or answered wrongly. Start it by hand to \
               see why.",
    },
    Explain {
        code: "model::until",
        text: "A waiver lasts until the end of a day, in UTC, which must not be over yet: `--until 2026-12-31`. A gate that should not \
               be there at all is taken out of mlp.yaml on the trust branch instead.",
    },
    Explain {
        code: "model::own-waiver",
        text: "Whoever made a version does not decide that it need not meet a gate (trust: {separation: author-not-approver}). Another \
               signer of the project has to sign the waiver.",
    },
    Explain {
        code: "model::own-approval",
        text: "Whoever made a version does not approve it (trust: {separation: author-not-approver}): the gate would not count it, \
               so nothing is written. Another signer of the project has to approve.",
    },
    Explain {
        code: "model::no-role",
        text: "An `approvals` gate counts people of a role (project: {roles: …} on the trust branch). An approval by somebody who has \
               none of the roles that the gates on the way to the stage ask for would never count, so nothing is written.",
    },
    Explain {
        code: "model::unknown-authors",
        text: "Whoever made a version does not decide about it (trust: {separation: author-not-approver}). Who that was stands in the \
               record of its run and in the commit it ran from, and one of them is not in this clone: it is shallow, the commit was \
               never pushed, or the record was not fetched. Fetch it, or run the command in a clone that has it.",
    },
    Explain {
        code: "model::approvals",
        text: "An `approvals` gate asks that several people agree. Were one signer able to waive it, one would be enough. Get the \
               approvals, or suspend the gate for everybody under `waivers:` in mlp.yaml, where the trust branch's own reviews apply.",
    },
    Explain {
        code: "model::which-stage",
        text: "A waiver is for one gate of one stage. Where several stages have a gate of that name, `--stage` says which.",
    },
    Explain {
        code: "model::rollback-to",
        text: "A stage is a stack of promotions. `mlp rollback MODEL --stage STAGE` takes the top off, so that what was live before is live \
               again; which version that is, the ledger says. To make any other version live, promote it: its gates are judged.",
    },
    Explain {
        code: "model::golden",
        text: "A golden file of a `serve` gate holds lines of JSON, each with `request`, a body for `POST /predict`, and `answer`, what \
               a right server answers to it: `{\"request\": {\"instances\": [[0, 1]]}, \"answer\": {\"predictions\": [{\"label\": \"3\"}]}}`. \
               Of an answer only `predictions` are compared, so that what a server said can be copied as it is.",
    },
    Explain {
        code: "model::command",
        text: "The command of a `command` gate could not be started by `sh -c` in the project's folder.",
    },
];
