//! Where on this machine programs are attached: every cgroup of every mount of
//! the hierarchy is asked. The kernel keeps no list by program.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::bpf::{self, AttachType, Sharing};
use super::cgroup::Cgroup;
use super::cgroup::hierarchy::{HierarchyError, roots};

/// How many cgroups are asked; a node with 500 pods has a few thousand.
const CGROUPS_MAX: usize = 65_536;

/// Why it is not known what is attached.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// There is no hierarchy to look at.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// The kernel does not say.
    #[error("cannot ask what is attached to {}: {source}{}", path.display(), hint(.source))]
    Query {
        /// The cgroup.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The search was given up.
    #[error("there are more than {CGROUPS_MAX} cgroups")]
    TooMany,
}

fn hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        ": missing CAP_NET_ADMIN"
    } else {
        ""
    }
}

/// Programs attached to one cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The cgroup's directory, on the mount where it was found first.
    pub cgroup: PathBuf,
    /// The kernel's id of the cgroup.
    pub cgroup_id: u64,
    /// Ids of the programs; one that is there twice is attached to two types.
    pub programs: Vec<u32>,
}

/// The cgroups, and what is attached to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Those cgroups to which any of the programs asked for is attached.
    pub attachments: Vec<Attachment>,
    /// The directory of every cgroup by its id.
    pub cgroups: BTreeMap<u64, PathBuf>,
}

/// Asks every cgroup that this process can see which of these programs are
/// attached to it as one of these types.
///
/// # Errors
/// Not without `CAP_NET_ADMIN`.
pub fn take(programs: &BTreeSet<u32>, types: &[AttachType]) -> Result<Inventory, InventoryError> {
    let mut inventory = Inventory::default();
    for root in roots()? {
        inventory.add(&root, &mut |cgroup, id| {
            let mut attached = Vec::new();
            for attach_type in types {
                attached.extend(bpf::attached(cgroup.as_fd(), *attach_type)?);
            }
            attached.retain(|id| programs.contains(id));
            Ok((!attached.is_empty()).then(|| Attachment {
                cgroup: cgroup.path().to_owned(),
                cgroup_id: id,
                programs: attached,
            }))
        })?;
    }
    Ok(inventory)
}

/// The directory of each cgroup here and below, by its id.
///
/// # Errors
/// There are too many.
pub fn cgroups_below(cgroup: &Cgroup) -> Result<BTreeMap<u64, PathBuf>, InventoryError> {
    let mut inventory = Inventory::default();
    inventory.add(cgroup, &mut |_, _| Ok(None))?;
    Ok(inventory.cgroups)
}

impl Inventory {
    fn add(
        &mut self,
        root: &Cgroup,
        ask: &mut impl FnMut(&Cgroup, u64) -> io::Result<Option<Attachment>>,
    ) -> Result<(), InventoryError> {
        let Ok(id) = root.id() else {
            return Ok(());
        };
        // By another mount as well; what is below it was seen with it.
        if self.cgroups.contains_key(&id) {
            return Ok(());
        }
        if self.cgroups.len() >= CGROUPS_MAX {
            return Err(InventoryError::TooMany);
        }
        self.cgroups.insert(id, root.path().to_owned());
        match ask(root, id) {
            Ok(attachment) => self.attachments.extend(attachment),
            // Removed meanwhile, or being removed: nothing is attached to it any more.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT)) => {
                return Ok(());
            }
            Err(source) => {
                return Err(InventoryError::Query {
                    path: root.path().to_owned(),
                    source,
                });
            }
        }
        for name in root.child_names().unwrap_or_default() {
            if let Ok(child) = root.child(&name) {
                self.add(&child, ask)?;
            }
        }
        Ok(())
    }
}

/// A program above a cgroup that lets nothing be attached below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// The cgroup it is attached to.
    pub cgroup: PathBuf,
    /// As what.
    pub attach_type: AttachType,
}

/// The programs attached to a cgroup or above it, as far up as can be seen, that
/// allow no others below them.
///
/// # Errors
/// Not without `CAP_NET_ADMIN`.
pub fn exclusive_from(
    cgroup: &Cgroup,
    types: &[AttachType],
) -> Result<Vec<Exclusive>, InventoryError> {
    let mut found = Vec::new();
    let mut above;
    let mut at = cgroup;
    loop {
        for attach_type in types {
            let sharing = bpf::sharing(at.as_fd(), *attach_type);
            let sharing = sharing.map_err(|source| InventoryError::Query {
                path: at.path().to_owned(),
                source,
            })?;
            if sharing == Sharing::Exclusive {
                found.push(Exclusive {
                    cgroup: at.path().to_owned(),
                    attach_type: *attach_type,
                });
            }
        }
        match at.parent() {
            Some(parent) => above = parent,
            None => return Ok(found),
        }
        at = &above;
    }
}
