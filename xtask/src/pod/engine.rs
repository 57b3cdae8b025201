//! podman on this machine: with a configuration, a store and a network of its own, so that it
//! neither sees nor changes anything else that runs here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::privilege::Privilege;
use crate::workspace::Workspace;

/// A runtime for machines that may not set limits.
const RUNC: &str = include_str!("runc.py");
/// `CAP_SYS_RESOURCE`, which setting limits takes.
const CAP_SYS_RESOURCE: u32 = 24;
/// What the shell does before the scenario, in namespaces that end with it: mounts are kept from
/// showing elsewhere, the addresses and names of networks are kept where nobody else's are, and
/// containers may be routed. Debian's Python, whatever is first on the path: it has the packages.
const ENTER: &str = "mount --make-rprivate / && mkdir -p /run/containers && \
     mount -t tmpfs -o mode=0755 tmpfs /run/containers && ip link set lo up && \
     echo 1 >/proc/sys/net/ipv4/ip_forward && exec /usr/bin/python3 \"$@\"";

/// podman, configured.
pub(super) struct Engine {
    configuration: PathBuf,
    storage: PathBuf,
}

impl Engine {
    /// Writes its configuration.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn prepare(directory: &Path) -> Result<Self> {
        let put = |name: &str, text: String, mode: u32| {
            let path = directory.join(name);
            fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
                .with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(path)
        };
        let runtime = if may_set_limits() {
            "runc".to_owned()
        } else {
            put("runc.py", RUNC.to_owned(), 0o755)?
                .display()
                .to_string()
        };
        Ok(Self {
            configuration: put("containers.conf", configuration(directory, &runtime), 0o644)?,
            storage: put("storage.conf", storage(directory), 0o644)?,
        })
    }

    /// The scenario, in namespaces of its own.
    ///
    /// # Errors
    /// Without a way to root.
    pub(super) fn command(&self, workspace: &Workspace, directory: &Path) -> Result<Command> {
        let variables = [
            ("CONTAINERS_CONF", self.configuration.display().to_string()),
            (
                "CONTAINERS_STORAGE_CONF",
                self.storage.display().to_string(),
            ),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        let set: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let words = Privilege::detect().words(&["PATH"], &set, Path::new("unshare"))?;
        let mut command = workspace.command_in(workspace.root(), &words);
        // Whatever a container leaves running ends with the first process.
        command
            .args(["--net", "--mount", "--propagation", "unchanged"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--", "sh", "-euc", ENTER, "scenario"])
            .arg(directory.join("scenario.py"))
            .arg("--directory")
            .arg(directory);
        Ok(command)
    }
}

/// Whether this process's root could: sudo adds nothing that a container withholds.
fn may_set_limits() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_none_or(|mask| mask & (1 << CAP_SYS_RESOURCE) != 0)
}

fn configuration(directory: &Path, runtime: &str) -> String {
    // runc, because crun refuses machines with both versions of cgroups. The image of the first
    // container of a pod is fetched from nowhere.
    let plugins = directory.join("networks");
    format!(
        "[engine]\n\
         runtime = \"weir\"\n\
         cgroup_manager = \"cgroupfs\"\n\
         events_logger = \"file\"\n\
         infra_image = \"localhost/weir-pod-app:latest\"\n\
         pull_policy = \"never\"\n\
         [engine.runtimes]\n\
         weir = [\"{runtime}\"]\n\
         [network]\n\
         network_backend = \"netavark\"\n\
         network_config_dir = \"{plugins}\"\n\
         [containers]\n\
         log_driver = \"k8s-file\"\n",
        runtime = if runtime == "runc" {
            "/usr/sbin/runc"
        } else {
            runtime
        },
        plugins = plugins.display(),
    )
}

fn storage(directory: &Path) -> String {
    format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        directory.join("store").display(),
        directory.join("run").display()
    )
}
