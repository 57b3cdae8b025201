//! Putting a file in the place of another at once.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// Permission bits, whatever the umask is.
    pub(super) mode: u32,
    /// The user it is given to; without one it belongs to whoever writes it.
    pub(super) owner: Option<u32>,
}

/// Writes a file under another name and renames it: who reads it sees the old
/// one or the new one, also if this process or the machine ends.
///
/// # Errors
/// What the kernel said; nothing is left of the new file then.
pub(super) fn replace(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut fresh_name = OsString::from(".");
    fresh_name.push(name);
    fresh_name.push(format!(".{}", std::process::id()));
    let fresh = directory.join(fresh_name);
    let create = || {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(access.mode)
            .open(&fresh)
    };
    let written = (|| {
        let mut file = match create() {
            // Left by one that was killed in the midst of this: in a container
            // every start has the same process id.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&fresh)?;
                create()?
            }
            created => created?,
        };
        file.set_permissions(fs::Permissions::from_mode(access.mode))?;
        file.write_all(contents)?;
        if let Some(owner) = access.owner {
            fchown(&file, Some(owner), None)?;
        }
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // Of no use to anybody; after the rename it is not there.
        let _gone = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_predecessor_left_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let left = directory
            .path()
            .join(format!(".ca.pem.{}", std::process::id()));
        fs::write(&left, "half a certif").unwrap();
        let access = Access {
            mode: 0o644,
            owner: None,
        };
        replace(&path, b"a certificate", access).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a certificate");
        assert!(!left.exists());
    }
}
