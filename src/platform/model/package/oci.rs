//! An OCI image layout (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>): what registries, container
//! engines and Kubernetes image volumes take.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::place::create;
use super::{PackageError, Stamp, files};
use crate::base::{Digest, Null, Time, hex};
use crate::infrastructure::durable;
use crate::infrastructure::store::Local;
use crate::infrastructure::store::worktree::archive;

/// The processors that the image is for: files of a model run on all of them, and the format asks for a list.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// What an image needs to be known besides its files.
pub struct Image<'a> {
    /// What is packed.
    pub stamp: &'a Stamp,
    /// When the version was registered: the image's time, so that packing again gives the same bytes.
    pub time: Time,
    /// The licence of the model, if it is known: an SPDX expression.
    pub licence: Option<String>,
}

/// A blob of the layout.
struct Blob {
    sha256: String,
    size: u64,
}

impl Image<'_> {
    /// Writes the layout into `folder`: one layer for each file of the tree, at the root of the image.
    ///
    /// # Errors
    /// As for [`files`], and those of writing.
    pub fn write(&self, store: &Local, tree: &Digest, folder: &Path) -> Result<(), PackageError> {
        let text = |name: &str, value: &Value| {
            let path = folder.join(name);
            create(&path, |out| {
                out.write_all(value.to_string().as_bytes()).map_err(PackageError::io("write", &path))
            })
        };
        let mut layers = Vec::new();
        for (path, node) in files(store, tree)? {
            // The same file gives the same layer: versions share what they have in common.
            let layer = blob(folder, |out| Ok(archive(&node, &path, store, out, &Null).map(drop)?))?;
            layers.push((path, layer));
        }
        let annotations = self.annotations();
        let mut manifests = Vec::new();
        for architecture in ARCHITECTURES {
            let config = self.json_blob(folder, &self.config(architecture, &layers, &annotations))?;
            let listed = layers.iter().map(|(path, layer)| {
                json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": format!("sha256:{}", layer.sha256),
                    "size": layer.size,
                    "annotations": {"org.opencontainers.image.title": path},
                })
            });
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
                "layers": listed.collect::<Vec<_>>(),
                "annotations": annotations,
            });
            let mut manifest =
                descriptor("application/vnd.oci.image.manifest.v1+json", &self.json_blob(folder, &manifest)?);
            manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
            manifests.push(manifest);
        }
        let index_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({
            "schemaVersion": 2, "mediaType": index_type, "manifests": manifests, "annotations": annotations,
        });
        let mut named = descriptor(index_type, &self.json_blob(folder, &index)?);
        // Whoever opens the layout by a tag finds this one.
        named["annotations"] = json!({"org.opencontainers.image.ref.name": self.tag()});
        text("index.json", &json!({"schemaVersion": 2, "mediaType": index_type, "manifests": [named]}))?;
        text("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
    }

    /// The tag in the layout: `digits-7`.
    pub fn tag(&self) -> String {
        format!("{}-{}", self.stamp.model, self.stamp.version)
    }

    fn json_blob(&self, folder: &Path, value: &Value) -> Result<Blob, PackageError> {
        let bytes = value.to_string().into_bytes();
        blob(folder, |out| out.write_all(&bytes).map_err(PackageError::io("write", folder)))
    }

    /// Pre-defined keys of the specification, then mlp's own.
    fn annotations(&self) -> Value {
        let stamp = self.stamp;
        let mut annotations = json!({
            "org.opencontainers.image.title": stamp.model,
            "org.opencontainers.image.version": stamp.version.to_string(),
            "org.opencontainers.image.created": self.time.to_string(),
            "dev.mlp.reference": stamp.reference(),
            "dev.mlp.project": stamp.project.to_string(),
            "dev.mlp.tree": stamp.tree.to_string(),
            "dev.mlp.entry": stamp.entry.to_string(),
        });
        let more = [
            ("org.opencontainers.image.revision", stamp.commit.clone()),
            ("org.opencontainers.image.licenses", self.licence.clone()),
            ("dev.mlp.stage", stamp.stage.as_ref().map(ToString::to_string)),
            ("dev.mlp.run", stamp.run.map(|run| run.to_string())),
        ];
        for (key, value) in more {
            if let Some(value) = value {
                annotations[key] = value.into();
            }
        }
        annotations
    }

    fn config(&self, architecture: &str, layers: &[(String, Blob)], annotations: &Value) -> Value {
        let time = self.time.to_string();
        json!({
            "created": time,
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": annotations},
            "rootfs": {
                "type": "layers",
                // Layers are not compressed: weights do not shrink.
                "diff_ids": layers.iter().map(|(_, layer)| format!("sha256:{}", layer.sha256)).collect::<Vec<_>>(),
            },
            "history": layers.iter().map(|(path, _)| json!({"created": time, "created_by": format!("mlp: {path}")})).collect::<Vec<_>>(),
        })
    }
}

fn descriptor(media_type: &str, blob: &Blob) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", blob.sha256), "size": blob.size})
}

/// Counts and hashes what goes through.
struct Measured<W> {
    out: W,
    sha256: Sha256,
    size: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A blob of what `fill` writes, under the name of its digest.
fn blob(
    folder: &Path,
    fill: impl FnOnce(&mut Measured<BufWriter<File>>) -> Result<(), PackageError>,
) -> Result<Blob, PackageError> {
    let blobs = folder.join("blobs").join("sha256");
    let new = blobs.join("new");
    let io = |error| PackageError::io("write", &new)(error);
    fs::create_dir_all(&blobs).map_err(io)?;
    let mut out =
        Measured { out: BufWriter::new(File::create(&new).map_err(io)?), sha256: Sha256::new(), size: 0 };
    fill(&mut out)?;
    let Measured { out, sha256, size } = out;
    out.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all()).map_err(io)?;
    let sha256 = hex(&sha256.finalize());
    durable::set_aside(&new, &blobs.join(&sha256)).map_err(io)?;
    Ok(Blob { sha256, size })
}
