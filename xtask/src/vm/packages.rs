//! Which packages hold a kernel: decided from the names and dependencies in Debian's index.
//!
//! Up to Linux 7.1 `linux-image-RELEASE` holds both the kernel and its modules. From 7.2 on it
//! depends on `linux-binary-RELEASE` for the one and `linux-modules-RELEASE` for the other, and a
//! kernel that is not signed yet exists as `linux-binary-unsigned-RELEASE` alone.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::series::Choice;

/// The package that depends on a suite's current kernel for virtual machines.
pub(crate) const METAPACKAGE: &str = "linux-image-cloud-amd64";
/// How the release of such a kernel ends.
const FLAVOUR: &str = "-cloud-amd64";
/// Packages that hold the kernel itself, the one to take first.
const BINARIES: [&str; 3] = ["linux-binary-", "linux-binary-unsigned-", "linux-image-"];
/// Packages that hold its modules, likewise.
const MODULES: [&str; 2] = ["linux-modules-", "linux-image-"];

/// A kernel's release and the packages to fetch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// What `uname -r` says on it.
    pub(crate) release: String,
    /// Packages that hold the kernel and its modules together.
    pub(crate) packages: Vec<String>,
}

/// Chooses among the package `names` of the index; `shown` is what `apt-cache show` says of
/// [`METAPACKAGE`].
///
/// # Errors
/// When the index has no such kernel.
pub(crate) fn select(choice: Choice, names: &str, shown: &str) -> Result<Selection> {
    let names: BTreeSet<&str> = names.lines().map(str::trim).collect();
    let release = match choice {
        Choice::Installed => release_of_metapackage(shown)
            .with_context(|| format!("{METAPACKAGE} depends on no linux-image"))?,
        Choice::Highest => names
            .iter()
            .filter_map(|name| release_in(name))
            .max_by_key(|release| numbers(release))
            .with_context(|| format!("the index has no kernel that ends with {FLAVOUR}"))?,
    };
    let holder = |prefixes: &[&str]| {
        prefixes
            .iter()
            .map(|prefix| format!("{prefix}{release}"))
            .find(|name| names.contains(name.as_str()))
    };
    let mut packages = vec![
        holder(&BINARIES).with_context(|| format!("the index has no package of {release}"))?,
        holder(&MODULES).with_context(|| format!("the index has no modules of {release}"))?,
    ];
    packages.dedup();
    Ok(Selection {
        release: release.to_owned(),
        packages,
    })
}

/// The release that the metapackage's stanza depends on: `Depends: linux-image-RELEASE (= …), …`.
fn release_of_metapackage(stanza: &str) -> Option<&str> {
    field(stanza, "Depends")?
        .split([',', '|'])
        .filter_map(|dependency| dependency.split_whitespace().next())
        .find_map(release_in)
}

/// A field of the first stanza, on one line: those asked for here are never folded.
fn field<'stanza>(stanza: &'stanza str, name: &str) -> Option<&'stanza str> {
    stanza
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The release in the name of a package that holds a kernel.
fn release_in(package: &str) -> Option<&str> {
    let release = BINARIES
        .iter()
        .filter_map(|prefix| package.strip_prefix(prefix))
        // Neither the metapackage, nor `unsigned-7.3.4…` left over by the shorter prefix.
        .find(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))?;
    release.ends_with(FLAVOUR).then_some(release)
}

/// The numbers in a release, by which releases are ordered: `7.3.4+deb13-…` is 7, 3, 4, 13.
fn numbers(release: &str) -> Vec<u32> {
    release
        .strip_suffix(FLAVOUR)
        .unwrap_or(release)
        .split(|it: char| !it.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::series::Choice;
    use super::{Selection, select};

    const BOOKWORM: &str = "Package: linux-image-cloud-amd64\n\
        Source: linux-signed-amd64 (6.1.176+1)\n\
        Version: 6.1.176-1\n\
        Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n\
        Description: Linux\n\n\
        Package: linux-image-cloud-amd64\n\
        Depends: linux-image-6.1.0-47-cloud-amd64 (= 6.1.170-3)\n";
    const BACKPORTS: &str = "Package: linux-image-cloud-amd64\n\
        Depends: linux-base-cloud-amd64 (= 7.2.12-1~bpo13+1), \
        linux-image-7.2.12+deb13-cloud-amd64 (= 7.2.12-1~bpo13+1)\n";
    const NAMES: &str = "linux-image-cloud-amd64\n\
        linux-image-6.1.0-50-cloud-amd64\n\
        linux-image-6.1.0-50-cloud-amd64-dbg\n\
        linux-image-6.1.0-50-cloud-amd64-unsigned\n\
        linux-image-6.12.9+deb13-amd64\n\
        linux-binary-7.2.12+deb13-cloud-amd64\n\
        linux-binary-unsigned-7.2.12+deb13-cloud-amd64\n\
        linux-image-7.2.12+deb13-cloud-amd64\n\
        linux-modules-7.2.12+deb13-cloud-amd64\n\
        linux-binary-7.2.9+deb13-cloud-amd64\n\
        linux-binary-unsigned-7.10.4+deb13-cloud-amd64\n\
        linux-modules-7.10.4+deb13-cloud-amd64\n";

    fn selected(release: &str, packages: &[&str]) -> Selection {
        Selection {
            release: release.to_owned(),
            packages: packages.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    #[test]
    fn an_old_kernel_is_one_package() {
        assert_eq!(
            select(Choice::Installed, NAMES, BOOKWORM).unwrap(),
            selected(
                "6.1.0-50-cloud-amd64",
                &["linux-image-6.1.0-50-cloud-amd64"]
            )
        );
    }

    #[test]
    fn a_new_kernel_is_two_and_the_signed_one_is_taken() {
        assert_eq!(
            select(Choice::Installed, NAMES, BACKPORTS).unwrap(),
            selected(
                "7.2.12+deb13-cloud-amd64",
                &[
                    "linux-binary-7.2.12+deb13-cloud-amd64",
                    "linux-modules-7.2.12+deb13-cloud-amd64"
                ]
            )
        );
    }

    #[test]
    fn the_highest_is_so_by_its_numbers_and_may_be_unsigned() {
        assert_eq!(
            select(Choice::Highest, NAMES, "").unwrap(),
            selected(
                "7.10.4+deb13-cloud-amd64",
                &[
                    "linux-binary-unsigned-7.10.4+deb13-cloud-amd64",
                    "linux-modules-7.10.4+deb13-cloud-amd64"
                ]
            )
        );
    }

    #[test]
    fn an_index_without_the_kernel_is_an_error() {
        assert!(select(Choice::Highest, "bash\nlinux-image-amd64\n", "").is_err());
        assert!(select(Choice::Installed, NAMES, "").is_err());
        assert!(select(Choice::Installed, "bash\n", BOOKWORM).is_err());
    }
}
