//! What `mlp explain` says of this module's codes.

use crate::base::Explain;

/// The long explanations of this module's codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "store::io",
        text: "The file system refused an operation. The message names the file and what the system said: no space, \
               no permission, a disk that fails. Nothing that was acknowledged before is lost; after the cause is \
               gone, run the command again.",
    },
    Explain {
        code: "store::missing",
        text: "An object is named by a pointer, tree or record, but neither the local store nor its indexes have it. \
               It was never fetched, or it was set aside because it was damaged. `mlp data fetch` gets it from a \
               remote store.",
    },
    Explain {
        code: "store::damaged",
        text: "Every byte that is read from the store is hashed and compared with its digest before it is used. Here \
               the two differ: a disk error, an incomplete copy, or somebody edited the file. What was damaged is \
               copied to or moved into the store's `bad/` folder and treated as absent from then on, so that \
               `mlp data fetch` or `mlp data add` of the original files brings it back.",
    },
    Explain {
        code: "store::name",
        text: "A dataset cannot hold files or folders named `.git` or `.mlp`, and a name from a store may not be `.`, \
               `..`, absolute, or contain `/` or a NUL byte: writing it could change files outside the dataset.",
    },
    Explain {
        code: "store::bad-pattern",
        text: "Which part of a dataset a work tree holds is said by patterns in the syntax of `.gitignore`: `train/` is every folder of \
               that name with all below it, `/train/` the one in the dataset's root, `*.csv` files by name, `!raw/` an exception. The \
               last pattern that matches a path or a folder above it decides.",
    },
    Explain {
        code: "store::no-space",
        text: "What is to be written does not fit on the file system; nothing was left half written. The message says how many \
               bytes are needed and how many can be written. `mlp store gc` removes what no version needs from the local store; \
               `mlp data sparse set` checks out a part of a dataset.",
    },
    Explain {
        code: "store::link",
        text: "Symbolic links are versioned as links, not followed. Only a relative link that stays inside the \
               dataset (leading `..` components, then names) means the same on every machine; others are refused, \
               when data is added and when it is checked out.",
    },
    Explain {
        code: "store::absent",
        text: "The folder or file that the command should look at does not exist.",
    },
    Explain {
        code: "store::changing",
        text: "A file was written to while it was being read, several times over. What would be stored is neither the \
               old nor the new content, so nothing is stored. Wait until the writer has ended.",
    },
    Explain {
        code: "store::locked",
        text: "The stat cache is swapped under a file lock that is held for milliseconds. Another process has held it \
               for a minute; the message names it. The kernel releases the lock when that process ends: there is no \
               lock file to delete.",
    },
    Explain {
        code: "store::in-use",
        text: "A collection of the local store removes what nothing needs. A command, job or server that is under way may be \
               about to rest on something of it, so that the collection waits for ten seconds and then gives up. The kernel \
               releases the lock when the other process ends.",
    },
    Explain {
        code: "store::none",
        text: "Data and evidence are pushed to and fetched from a remote store: a bucket of S3 or of a compatible service, or a \
               folder that others can reach. Stores are named in mlp.yaml under `stores:`; the first is the default, and \
               the home of the ledgers.",
    },
    Explain {
        code: "store::empty",
        text: "The first push makes a place a store: it writes `mlpstore.json` there. Commands that only read write nothing, so that \
               a mistyped URL does not become a second store.",
    },
    Explain {
        code: "store::bad-spec",
        text: "A store in `stores:` has a URL: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
               sftp://user@host:port/path, webdavs://host/path, https://host/path (read-only), webhdfs://host:port/path, \
               fs:///absolute/path. Keys beside it are `endpoint`, `region`, `credentials`, `key_file`, `known_hosts`, `ledger`, `limit_rate` and `timeout`. \
               Credentials never stand in mlp.yaml, which is committed (`mlp explain store::credentials`).",
    },
    Explain {
        code: "store::read-only",
        text: "A store at an http:// or https:// URL is a folder that a web server shows: it can be fetched from, not pushed to. \
               Push to the place that the web server shows, by its own URL.",
    },
    Explain {
        code: "store::remote",
        text: "A remote store did not answer, or answered with an error, and trying again for a while did not help. \
               Nothing that was acknowledged is lost, and a push that is run again goes on where it stopped.",
    },
    Explain {
        code: "store::credentials",
        text: "The service refused the request. Credentials of the store NAME are read from variables MLP_STORE_<NAME>_<KEY> (the \
               name in capitals, `-` as `_`), then from where its `credentials` says ({env: PREFIX}, {file: PATH}, or {command: …} in \
               the configuration of the user or of this clone), else from the service's own chain. Keys: S3 ACCESS_KEY_ID, \
               SECRET_ACCESS_KEY, SESSION_TOKEN; Google CREDENTIAL_FILE, CREDENTIAL, TOKEN; Azure ACCOUNT_NAME, ACCOUNT_KEY, \
               SAS_TOKEN; WebDAV and HTTP USERNAME, PASSWORD, TOKEN; WebHDFS USERNAME, DELEGATION. SFTP uses ssh's own keys. They also \
               need the right to list, read and write below the store's prefix. A clock that is wrong by minutes makes S3 refuse, too.",
    },
    Explain {
        code: "store::foreign",
        text: "Every store holds `mlpstore.json`, written on its first use. Here it is missing where it was once, or it \
               is of a format that this version cannot use. A folder that is empty all of a sudden is most often a \
               network file system that is not mounted.",
    },
    Explain {
        code: "store::not-on-remote",
        text: "An object that a pointer, tree or record names is neither in the local store nor in any pack of the \
               remote. Whoever added it has not pushed it yet: `mlp data push` in that clone brings it.",
    },
    Explain {
        code: "store::no-create-if-absent",
        text: "A ledger needs a place where of several writers exactly one can create an object. Before its first use \
               for ledgers, a remote is tried with eight writers and twenty objects, because some services promise this \
               and do not hold it. This one let more than one writer win. It can still carry data; let the first of \
               `stores:` be another one.",
    },
    Explain {
        code: "store::ledger-damaged",
        text: "Each ledger entry ends with its own digest and names the digest of the one before, so that a changed, \
               missing or exchanged entry is found by whoever reads it. The message names the entry and where it lies. \
               Whoever only looks compares the last entry of a store's ledger with the copy of this clone; whoever writes, judges or \
               serves compares all. Entries are never rewritten, and every clone that has seen one has a copy: `mlp store repair` \
               mends the copy of this clone from the store, `mlp store repair --store NAME` the store from this clone.",
    },
    Explain {
        code: "store::ledger-rolled-back",
        text: "Every clone remembers the last entry that it has seen of each ledger, and keeps a copy of those of a remote. Now there \
               are fewer entries, or others: the store was restored from an old backup, or somebody removed or replaced \
               entries. Commands that only look warn and show what is there; nothing is written, promoted or served on such a \
               ledger, and `mlp audit` fails. Put the missing entries back: a clone that has seen them has a copy, and \
               `mlp store repair --store NAME` there brings it to the store. Only if the ledger is right as it is now, `mlp audit MODEL \
               --accept` takes it; the copy of the former one is moved aside, not deleted.",
    },
    Explain {
        code: "store::ledger-moved",
        text: "Somebody of the project moved its ledgers from this store into refs of the shared git repository \
               (`ledger: git` in mlp.yaml) and the store's ledger was closed, so that there are never two. This \
               mlp.yaml still names the store as their home: take the newer one (`git pull`), or write the key. A closed \
               ledger is not opened again.",
    },
    Explain {
        code: "store::ledger-forked",
        text: "A ledger that began in the local store is published when the first remote store is added, if the remote \
               has no entries or the same ones. Here the remote has others: two clones began the same model's ledger on \
               their own. One of the two has to be kept; what the other decided must be decided again.",
    },
];
