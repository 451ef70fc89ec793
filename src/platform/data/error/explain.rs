//! What `mlp explain` says of this module's codes.

use crate::base::Explain;

/// What each code means.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "data::io",
        text: "A file or folder of a dataset could not be read or written. The message names it and says what the system answered: \
               most often the path in mlp.yaml is wrong, the data have not been downloaded or checked out, or the disk is full.",
    },
    Explain {
        code: "data::malformed",
        text: "A data file is not what its format says: truncated, damaged, or with a header that promises more than the file holds. \
               The message names the file, the place and what is wrong. Nothing of it was used.",
    },
    Explain {
        code: "data::layout",
        text: "A dataset lacks files that its format needs, or they do not fit together: IDX wants images and labels of equal count \
               under MNIST's names; `images` wants one folder per class; `csv` and `parquet` want one file or a folder with \
               `train.csv` or `train.parquet`; `npy` and `safetensors` want arrays called `x` and `y`, or `x_train`, `y_train` and so \
               on; `text` wants a table with the columns `text` and `label`, or a file of lines per class, and its tokenizer in its \
               folder.",
    },
    Explain {
        code: "data::cell",
        text: "A column whose cells are numbers has a cell that is not one. A column counts as numeric if all its cells in the \
               training part are numbers or missing (empty, `NA`, `N/A`, `NaN`, `null`, `?`).",
    },
    Explain {
        code: "data::row",
        text: "A row to be predicted does not fit the table that the model was trained on: it names a column that was not there, \
               or has a value that is neither number, text, boolean nor null.",
    },
    Explain {
        code: "data::target",
        text: "A table (CSV, Parquet) needs `target:`, the name of a column in its header: what the model is to predict. With the loss `mse` \
               every target must be a number.",
    },
    Explain {
        code: "data::shape",
        text: "Images are decoded to `input.shape`: [channels, height, width] with 1 channel (grey) or 3 (RGB). Arrays (IDX, NPY, \
               safetensors) have the shape that stands in their header and are not resized; texts have the shape [length].",
    },
    Explain {
        code: "data::split",
        text: "`split:` divides a dataset by shares: `val` and `test` are numbers from 0 to below 1, and together they must leave \
               examples to train on.",
    },
    Explain {
        code: "data::guard",
        text: "`guard: {near: {distance: 12, max: 0}}` compares images by perceptual hashes of 256 bits: the dataset must hold images \
               (of 1 or 3 channels), and `distance` is at most 24; what differs in more bits is another picture.",
    },
    Explain {
        code: "data::not-added",
        text: "The command needs a version of the dataset, and there is none: no `.mlp` pointer lies beside the data. \
               `mlp data add NAME` stores the data and writes the pointer.",
    },
    Explain {
        code: "data::modified",
        text: "The data on disk are not those that the `.mlp` pointer names, so that a result could not be traced to a version. \
               `mlp data status NAME` shows what changed; `mlp data add NAME` makes it the new version, \
               `mlp data checkout NAME --force` brings the old one back.",
    },
    Explain {
        code: "data::missing",
        text: "A pointer names a version of the dataset, but the data are not on disk. `mlp data checkout NAME` takes them from the \
               local store, `mlp data pull NAME` gets them from the remote first.",
    },
    Explain {
        code: "data::absent",
        text: "`mlp data add` found nothing at the dataset's path. Put the data there, correct `path` in mlp.yaml, or let \
               `mlp data download NAME` get what `source:` names.",
    },
    Explain {
        code: "data::partial",
        text: "A folder is added as a whole: what is not in it is not in the new version. Here that would drop files which this clone \
               never had, most likely by mistake, because only some were fetched. Paths inside a dataset can be added and removed \
               without having the rest (`mlp data add PATH`, `mlp data rm PATH`), and a sparse work tree (`mlp data sparse`) keeps what \
               it does not show.",
    },
    Explain {
        code: "data::unfinished",
        text: "A checkout notes that it began and takes the note away at its end. A note that stays says that it was cut off: by a full \
               disk, a kill, a power cut. Files that it had not written yet are then no removals of yours, and adding the folder \
               would take them out of the dataset.",
    },
    Explain {
        code: "data::place",
        text: "Only files and folders inside the repository can be added, and none that holds the repository itself or mlp.yaml: \
               the pointer must lie beside the data, where git sees it.",
    },
    Explain {
        code: "data::argument",
        text: "An argument cannot be meant as it stands. The message says why, and what does what was probably meant. Nothing was \
               changed.",
    },
    Explain {
        code: "data::not-in-trash",
        text: "What a command with `--force` replaced stays in the trash for seven days, under the id that the command told.",
    },
    Explain {
        code: "data::no-pointer",
        text: "The git revision is there, but the dataset's pointer is not in it: the dataset was added later, or lay elsewhere.",
    },
    Explain {
        code: "data::no-entry",
        text: "The version of the dataset has no file or folder of that name.",
    },
    Explain {
        code: "data::exists",
        text: "Something stands where a file or folder of a version is to be written. It is not replaced unless `--force` is given; then it \
               goes to the trash first, from where `mlp data trash restore` brings it back.",
    },
    Explain {
        code: "data::pointer",
        text: "A `.mlp` file is not a pointer that this version can use: broken YAML, a newer format, an entry whose name could leave \
               the folder, or an entry twice. Pointers are written by `mlp data add`; git holds earlier versions.",
    },
    Explain {
        code: "data::conflict",
        text: "Two branches changed the same entry of a dataset, and git left conflict markers in the pointer. `mlp merge` \
               merges the two versions file by file and asks only about files that both sides changed; \
               `mlp hook install` has git do so by itself.",
    },
    Explain {
        code: "data::origin",
        text: "`mlp data import` takes a file from an http(s) URL, all objects below the URL of a bucket or folder, or with `--repo` a \
               dataset of another project, from the first of its `stores:`. The message says what stands in the way.",
    },
    Explain {
        code: "data::unfetched",
        text: "`mlp import dvc` wrote a pointer that names the data by DVC's own ids; their bytes are still where DVC keeps them. \
               `mlp data pull NAME` (or `fetch`, `checkout`, `get`) fetches and checks them, stores them and writes an ordinary pointer, \
               which you then commit.",
    },
    Explain {
        code: "data::not-there",
        text: "A version of another tool needs an object that is neither in that tool's cache in this clone nor in the place that \
               `imports:` in mlp.yaml names. It may never have been pushed: ask whoever made the version, or look with that tool \
               (`dvc status --cloud`, `git lfs fsck`).",
    },
    Explain {
        code: "data::source",
        text: "An entry of `source:` has either `url` (http or https) or `digits`; `sha256` is 64 hexadecimal digits, and `file` a \
               path below the dataset's folder. A URL that ends with `/` needs `file`.",
    },
    Explain {
        code: "data::download",
        text: "A server did not give the file: it cannot be reached, answered with an error, or broke off several times in a row. \
               What has arrived is kept as `.mlptmp.<name>.part`; with a `sha256` the next attempt goes on from there.",
    },
    Explain {
        code: "data::wrong-hash",
        text: "A download is complete, but its SHA-256 is not the one in mlp.yaml: the file changed on the server, something between \
               altered it, or the number in mlp.yaml is wrong. It did not get its name; the message says where it was put.",
    },
    Explain {
        code: "data::differs",
        text: "A file of the dataset is there already, and its SHA-256 is not the one that its source says. It is not replaced \
               unless `--force` is given.",
    },
];
