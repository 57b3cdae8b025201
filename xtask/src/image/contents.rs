//! What is in the image: the one layer, as a tar archive.

use std::io::Write;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::source::Source;

/// The user of the proxy, as `weir init` expects it unless told otherwise.
pub(crate) const USER: u32 = 1337;
/// Where the program is: there is nothing to search for it with.
pub(crate) const PROGRAM: &str = "weir";

/// The variable parts.
pub(crate) struct Contents<'run> {
    /// The program.
    pub(crate) program: &'run [u8],
    /// Roots in PEM, where every TLS library looks for them.
    pub(crate) roots: &'run [u8],
    /// weir's licence.
    pub(crate) licence: &'run [u8],
}

/// A layer, twice: compressed for pulling, and what it unpacks to.
pub(crate) struct Layer {
    /// gzip.
    pub(crate) compressed: Vec<u8>,
    /// tar.
    pub(crate) plain: Vec<u8>,
}

impl Contents<'_> {
    /// The layer: the same bytes for the same contents and the same time.
    ///
    /// # Errors
    /// Not while there is memory.
    pub(crate) fn layer(&self, source: &Source) -> Result<Layer> {
        let passwd = format!("root:x:0:0:root:/:/\nweir:x:{USER}:{USER}:weir:/:/\n");
        let group = format!("root:x:0:\nweir:x:{USER}:\n");
        let files: [(&str, &[u8], u32); 6] = [
            ("etc/group", group.as_bytes(), 0o444),
            // Names of collectors are looked for in what the kubelet writes, then asked of DNS.
            ("etc/nsswitch.conf", b"hosts: files dns\n", 0o444),
            ("etc/passwd", passwd.as_bytes(), 0o444),
            ("etc/ssl/certs/ca-certificates.crt", self.roots, 0o444),
            ("usr/share/doc/weir/LICENSE", self.licence, 0o444),
            (PROGRAM, self.program, 0o555),
        ];
        let mut tar = Builder::new(Vec::new());
        for directory in [
            "etc/",
            "etc/ssl/",
            "etc/ssl/certs/",
            "usr/",
            "usr/share/",
            "usr/share/doc/",
            "usr/share/doc/weir/",
        ] {
            append(
                &mut tar,
                EntryType::Directory,
                (directory, &[], 0o755),
                source,
            )?;
        }
        for file in files {
            append(&mut tar, EntryType::Regular, file, source)?;
        }
        let plain = tar.into_inner().context("cannot end the layer")?;
        // Without a name and a time of its own.
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        gzip.write_all(&plain)
            .context("cannot compress the layer")?;
        let compressed = gzip.finish().context("cannot compress the layer")?;
        Ok(Layer { compressed, plain })
    }
}

/// One entry, root's.
pub(super) fn append(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    (path, contents, mode): (&str, &[u8], u32),
    source: &Source,
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(source.epoch_secs);
    header.set_size(u64::try_from(contents.len()).context("a file larger than any")?);
    tar.append_data(&mut header, path, contents)
        .with_context(|| format!("cannot add {path}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{Contents, Source};

    fn source(epoch_secs: u64) -> Source {
        Source {
            revision: "0123".to_owned(),
            epoch_secs,
            version: "0.1.0".to_owned(),
        }
    }

    const CONTENTS: Contents<'static> = Contents {
        program: b"program",
        roots: b"roots",
        licence: b"licence",
    };

    #[test]
    fn a_layer_depends_on_its_contents_and_time_alone() {
        let layer = CONTENTS.layer(&source(7)).unwrap();
        let again = CONTENTS.layer(&source(7)).unwrap();
        assert_eq!(layer.plain, again.plain);
        assert_eq!(layer.compressed, again.compressed);
        assert_ne!(layer.plain, CONTENTS.layer(&source(8)).unwrap().plain);
    }

    #[test]
    fn everything_is_roots_and_nobody_may_write() {
        let layer = CONTENTS.layer(&source(7)).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(layer.compressed.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, layer.plain);
        let mut names = Vec::new();
        for entry in tar::Archive::new(plain.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), 7);
            let is_file = header.entry_type().is_file();
            assert!(!is_file || header.mode().unwrap() & 0o222 == 0);
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            if name == "weir" {
                assert_eq!(text, "program");
            }
            names.push(name);
        }
        assert!(names.contains(&"weir".to_owned()), "{names:?}");
        assert!(names.contains(&"etc/ssl/certs/ca-certificates.crt".to_owned()));
    }
}
