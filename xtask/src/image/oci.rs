//! The archive: blobs by digest, and the documents that lead to them.
//!
//! OCI image specification 1.1: `index.json` names one index, which holds an image for each
//! architecture. Beside each image is its bill of materials, as BuildKit keeps them: an in-toto
//! statement in an image of no platform, so that whoever runs the index passes it over.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType};

use super::Arch;
use super::contents::{Layer, PROGRAM, USER, append};
use super::source::Source;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The predicate of a statement that is a CycloneDX document.
const PREDICATE: &str = "https://cyclonedx.org/bom";

/// Bytes that are found by their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest(&bytes),
            bytes,
        }
    }

    fn document(media_type: &'static str, document: &Value) -> Result<Self> {
        let bytes = serde_json::to_vec(document).context("cannot write JSON")?;
        Ok(Self::new(media_type, bytes))
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.bytes.len(),
        })
    }
}

/// The image for one architecture.
pub(crate) struct Image {
    /// Which.
    pub(crate) arch: Arch,
    manifest: Blob,
    config: Blob,
    layer: Blob,
    unpacked_bytes: u64,
    attestation: Attestation,
}

/// A bill of materials, as an image of no platform.
struct Attestation {
    manifest: Blob,
    config: Blob,
    statement: Blob,
}

impl Image {
    /// The image of this layer, and what it is made of.
    ///
    /// # Errors
    /// The bill of materials is not JSON.
    pub(crate) fn new(arch: Arch, layer: Layer, bill: Vec<u8>, source: &Source) -> Result<Self> {
        let labels = labels(source);
        let config = Blob::document(
            CONFIG,
            &json!({
                "architecture": arch.name(),
                "os": "linux",
                "created": source.created(),
                "config": {
                    "User": format!("{USER}:{USER}"),
                    "Entrypoint": [format!("/{PROGRAM}")],
                    "WorkingDir": "/",
                    "Labels": labels,
                },
                "rootfs": { "type": "layers", "diff_ids": [digest(&layer.plain)] },
                "history": [{ "created": source.created(), "created_by": "cargo xtask image" }],
            }),
        )?;
        let unpacked_bytes = u64::try_from(layer.plain.len()).context("a layer larger than any")?;
        let layer = Blob::new(LAYER, layer.compressed);
        let manifest = Blob::document(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
                "annotations": labels,
            }),
        )?;
        let attestation = Attestation::new(&manifest, &bill)?;
        Ok(Self {
            arch,
            manifest,
            config,
            layer,
            unpacked_bytes,
            attestation,
        })
    }

    /// The digest of its manifest.
    pub(crate) fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// What a node fetches.
    pub(crate) fn pulled_bytes(&self) -> u64 {
        [&self.manifest, &self.config, &self.layer]
            .iter()
            .map(|blob| u64::try_from(blob.bytes.len()).unwrap_or(u64::MAX))
            .sum()
    }

    /// What the layer takes on its disk, as a tar archive.
    pub(crate) fn unpacked_bytes(&self) -> u64 {
        self.unpacked_bytes
    }

    fn blobs(&self) -> [&Blob; 6] {
        let attestation = &self.attestation;
        [
            &self.manifest,
            &self.config,
            &self.layer,
            &attestation.manifest,
            &attestation.config,
            &attestation.statement,
        ]
    }
}

impl Attestation {
    fn new(image: &Blob, bill: &[u8]) -> Result<Self> {
        let bill: Value =
            serde_json::from_slice(bill).context("the bill of materials is not JSON")?;
        let hexadecimal = image.digest.trim_start_matches("sha256:");
        let statement = Blob::document(
            STATEMENT,
            &json!({
                "_type": "https://in-toto.io/Statement/v0.1",
                "predicateType": PREDICATE,
                "subject": [{ "name": PROGRAM, "digest": { "sha256": hexadecimal } }],
                "predicate": bill,
            }),
        )?;
        let config = Blob::document(
            CONFIG,
            &json!({
                "architecture": "unknown",
                "os": "unknown",
                "config": {},
                "rootfs": { "type": "layers", "diff_ids": [statement.digest] },
            }),
        )?;
        let mut layer = statement.descriptor();
        layer["annotations"] = json!({ "in-toto.io/predicate-type": PREDICATE });
        let manifest = Blob::document(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": [layer],
            }),
        )?;
        Ok(Self {
            manifest,
            config,
            statement,
        })
    }
}

/// All images, under one name.
pub(crate) struct Archive {
    index: Blob,
    bytes: Vec<u8>,
}

impl Archive {
    /// The archive of these images.
    ///
    /// # Errors
    /// Not while there is memory.
    pub(crate) fn of(name: &str, images: &[Image], source: &Source) -> Result<Self> {
        let mut manifests = Vec::new();
        for image in images {
            let mut descriptor = image.manifest.descriptor();
            descriptor["platform"] = json!({ "os": "linux", "architecture": image.arch.name() });
            manifests.push(descriptor);
        }
        for image in images {
            let mut descriptor = image.attestation.manifest.descriptor();
            descriptor["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
            descriptor["annotations"] = json!({
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": image.manifest.digest,
            });
            manifests.push(descriptor);
        }
        let index = Blob::document(
            INDEX,
            &json!({
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": manifests,
                "annotations": labels(source),
            }),
        )?;
        let name = format!("{name}:{}", source.version);
        let mut entry = index.descriptor();
        entry["annotations"] = json!({
            "org.opencontainers.image.ref.name": name,
            "io.containerd.image.name": name,
        });
        let top = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [entry],
        }))
        .context("cannot write JSON")?;

        let mut files: BTreeMap<String, &[u8]> = BTreeMap::new();
        files.insert("index.json".to_owned(), &top);
        files.insert(
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        );
        let blobs = images.iter().flat_map(Image::blobs).chain([&index]);
        for blob in blobs {
            files.insert(
                format!("blobs/{}", blob.digest.replace(':', "/")),
                &blob.bytes,
            );
        }
        let mut tar = Builder::new(Vec::new());
        for directory in ["blobs/", "blobs/sha256/"] {
            append(
                &mut tar,
                EntryType::Directory,
                (directory, &[], 0o755),
                source,
            )?;
        }
        for (path, bytes) in &files {
            append(&mut tar, EntryType::Regular, (path, bytes, 0o644), source)?;
        }
        let bytes = tar.into_inner().context("cannot end the archive")?;
        Ok(Self { index, bytes })
    }

    /// The digest of the index, by which the image is pulled.
    pub(crate) fn digest(&self) -> &str {
        &self.index.digest
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What the specification predefines, as labels and as annotations.
fn labels(source: &Source) -> Value {
    json!({
        "org.opencontainers.image.title": "weir",
        "org.opencontainers.image.description":
            "Meters and governs an application's calls to model APIs, unchanged for the application",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": source.version,
        "org.opencontainers.image.revision": source.revision,
        "org.opencontainers.image.created": source.created(),
    })
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hexadecimal: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hexadecimal}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use serde_json::Value;

    use super::{Arch, Archive, Image, Layer, Source, digest};

    fn source() -> Source {
        Source {
            revision: "0123".to_owned(),
            epoch_secs: 7,
            version: "0.1.0".to_owned(),
        }
    }

    fn archive() -> Archive {
        let images = [Arch::Amd64, Arch::Arm64].map(|arch| {
            let layer = Layer {
                compressed: format!("compressed for {arch}").into_bytes(),
                plain: format!("for {arch}").into_bytes(),
            };
            Image::new(
                arch,
                layer,
                br#"{"bomFormat":"CycloneDX"}"#.to_vec(),
                &source(),
            )
            .unwrap()
        });
        Archive::of("localhost/weir", &images, &source()).unwrap()
    }

    fn files(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive.bytes.as_slice())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(name, bytes);
        }
        files
    }

    /// Follows a descriptor; checks what it says.
    fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let of = descriptor["digest"].as_str().unwrap();
        let bytes = &files[&format!("blobs/{}", of.replace(':', "/"))];
        assert_eq!(digest(bytes), of);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    #[test]
    fn the_same_images_are_the_same_archive() {
        assert_eq!(archive().bytes, archive().bytes);
    }

    #[test]
    fn everything_is_reached_from_the_index_and_is_what_its_digest_says() {
        let archive = archive();
        let files = files(&archive);
        let top: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let name = &top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(name, "localhost/weir:0.1.0");
        assert_eq!(top["manifests"][0]["digest"], archive.digest());
        let index: Value = serde_json::from_slice(blob(&files, &top["manifests"][0])).unwrap();
        let mut reached = 1;
        for entry in index["manifests"].as_array().unwrap() {
            let manifest: Value = serde_json::from_slice(blob(&files, entry)).unwrap();
            let config: Value = serde_json::from_slice(blob(&files, &manifest["config"])).unwrap();
            let layer = blob(&files, &manifest["layers"][0]);
            assert_eq!(config["architecture"], entry["platform"]["architecture"]);
            if entry["platform"]["os"] == "linux" {
                assert_eq!(config["config"]["User"], "1337:1337");
                assert_eq!(config["config"]["Entrypoint"][0], "/weir");
                assert_eq!(
                    config["config"]["Labels"]["org.opencontainers.image.created"],
                    "1970-01-01T00:00:07Z"
                );
            } else {
                let statement: Value = serde_json::from_slice(layer).unwrap();
                let subject = statement["subject"][0]["digest"]["sha256"]
                    .as_str()
                    .unwrap();
                let of = &entry["annotations"]["vnd.docker.reference.digest"];
                assert_eq!(of, &Value::from(format!("sha256:{subject}")));
                assert_eq!(statement["predicate"]["bomFormat"], "CycloneDX");
            }
            reached += 3;
        }
        let blobs = files
            .keys()
            .filter(|name| name.starts_with("blobs/sha256/"));
        // The directory is an entry, too.
        assert_eq!(blobs.count(), reached + 1);
    }
}
