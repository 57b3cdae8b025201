//! cgroup v2 directories: a handle, and the few files of them that weir uses.
//!
//! Finding the one that weir runs in is [`hierarchy`]'s, its pod's is [`pod`]'s.
//! No controller is ever enabled and no limit set: the cgroups here only say who
//! is meant.

pub mod hierarchy;
pub mod pod;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, unlinkat};

/// How many times a directory of processes is gone through before giving up on
/// one that forks as fast as it is read. Reading again is only needed for
/// processes that were born meanwhile.
const PASSES_MAX: u32 = 64;

/// An open cgroup directory.
#[derive(Debug)]
pub struct Cgroup {
    directory: OwnedFd,
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup of an open directory.
    fn new(directory: OwnedFd, path: PathBuf) -> Self {
        Self { directory, path }
    }

    /// Opens a directory on a cgroup2 mount, which is its path from then on.
    ///
    /// # Errors
    /// There is none, or it is no cgroup v2.
    pub fn at(path: &Path) -> io::Result<Self> {
        let cgroup = Self::new(hierarchy::open_directory(CWD, path)?, path.to_owned());
        if hierarchy::is_version2(&cgroup) {
            Ok(cgroup)
        } else {
            Err(io::Error::other("not a directory of a cgroup2 mount"))
        }
    }

    /// Its path: as `/proc/PID/cgroup` shows it to this process if it was found
    /// there, otherwise its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's id of it. On cgroup2 the inode number is that 64-bit id.
    ///
    /// # Errors
    /// The directory is gone.
    pub fn id(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.directory)?.st_ino)
    }

    /// Makes a child.
    ///
    /// # Errors
    /// It exists, or the hierarchy does not allow it.
    pub fn create(&self, name: &str) -> io::Result<Self> {
        mkdirat(&self.directory, name, Mode::from_raw_mode(0o755))?;
        self.child(name)
    }

    /// Opens a child.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn child(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = openat(&self.directory, name, flags, Mode::empty())?;
        Ok(Self::new(directory, self.path.join(name)))
    }

    /// The one above it, if its mount shows that.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let directory = hierarchy::open_directory(&self.directory, Path::new("..")).ok()?;
        let path = self.path.parent().unwrap_or(&self.path).to_owned();
        let parent = Self::new(directory, path);
        // Above the root of a mount is whatever it is mounted on, and above one
        // that is mounted nowhere is itself.
        let above = hierarchy::is_version2(&parent) && parent.id().ok() != self.id().ok();
        above.then_some(parent)
    }

    /// The names of all children.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn child_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if entry.file_type() == FileType::Directory && name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        Ok(names)
    }

    /// Opens the file through which a process that writes `0` moves itself here.
    ///
    /// # Errors
    /// The directory is gone or may not be written.
    pub fn entrance(&self) -> io::Result<File> {
        self.open("cgroup.procs", OFlags::WRONLY)
    }

    /// Moves a process here. One that has ended is no error.
    ///
    /// # Errors
    /// The kernel does not allow it.
    pub fn adopt(&self, pid: Pid) -> io::Result<()> {
        match self.entrance()?.write_all(pid.to_string().as_bytes()) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// The processes here and below, as this process's pid namespace numbers them.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn processes(&self) -> io::Result<Vec<Pid>> {
        let mut pids = self.own_processes()?;
        for name in self.child_names()? {
            // A child that vanished meanwhile has no processes.
            if let Ok(child) = self.child(&name) {
                pids.extend(child.processes()?);
            }
        }
        Ok(pids)
    }

    fn own_processes(&self) -> io::Result<Vec<Pid>> {
        let mut text = String::new();
        self.open("cgroup.procs", OFlags::RDONLY)?
            .read_to_string(&mut text)?;
        // 0 stands for a process outside of this pid namespace.
        Ok(text
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid| *pid > 0)
            .map(Pid::from_raw)
            .collect())
    }

    /// Watches whether any process is here or below.
    ///
    /// # Errors
    /// The directory is gone.
    pub fn events(&self) -> io::Result<Events> {
        self.open("cgroup.events", OFlags::RDONLY)
            .map(|file| Events { file })
    }

    /// Waits until no process is here or below; false if `deadline` came first.
    ///
    /// # Errors
    /// The directory is gone.
    pub fn wait_empty(&self, deadline: Instant) -> io::Result<bool> {
        let mut events = self.events()?;
        while events.populated()? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            events.wait(left)?;
        }
        Ok(true)
    }

    /// Sends a signal to every process here and below that is there now.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        for pid in self.processes()? {
            // It may have ended since it was listed.
            let _ended = kill(pid, signal);
        }
        Ok(())
    }

    /// Kills every process here and below, also those being born meanwhile.
    ///
    /// # Errors
    /// The processes cannot be listed, or are born faster than killed.
    pub fn kill(&self) -> io::Result<()> {
        match self.open("cgroup.kill", OFlags::WRONLY) {
            Ok(mut file) => return file.write_all(b"1"),
            // Linux before 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut events = self.events()?;
        for _pass in 0..PASSES_MAX {
            if !events.populated()? {
                return Ok(());
            }
            self.signal(Signal::SIGKILL)?;
            events.wait(Duration::from_millis(100))?;
        }
        Err(io::Error::other("processes are born faster than killed"))
    }

    /// Moves every process here and below to another cgroup.
    ///
    /// # Errors
    /// The kernel does not allow it, or processes are born faster than moved.
    pub fn release_to(&self, other: &Self) -> io::Result<()> {
        for _pass in 0..PASSES_MAX {
            let pids = self.processes()?;
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                other.adopt(pid)?;
            }
        }
        Err(io::Error::other("processes are born faster than moved"))
    }

    /// Removes a child and what is below it. One that does not exist is no error.
    ///
    /// # Errors
    /// A process is in it.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let child = match self.child(name) {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for below in child.child_names()? {
            child.remove(&below)?;
        }
        match unlinkat(&self.directory, name, AtFlags::REMOVEDIR) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    fn open(&self, name: &str, access: OFlags) -> io::Result<File> {
        let file = openat(
            &self.directory,
            name,
            access | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(file.into())
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// `cgroup.events`: readable state, and a priority event on each change of it.
#[derive(Debug)]
pub struct Events {
    file: File,
}

impl Events {
    /// Whether any process is in the cgroup or below, zombies apart. Reading
    /// arms the next event.
    ///
    /// # Errors
    /// The cgroup is gone.
    pub fn populated(&mut self) -> io::Result<bool> {
        use std::io::Seek;
        self.file.rewind()?;
        let mut text = String::new();
        match self.file.read_to_string(&mut text) {
            Ok(_) => Ok(text.lines().any(|line| line == "populated 1")),
            // Somebody else removed it, which takes that nothing is in it.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for a change since the last reading, at most this long.
    ///
    /// # Errors
    /// The wait failed; being interrupted by a signal is no failure.
    pub fn wait(&self, most: Duration) -> io::Result<()> {
        // Rounded up, so that a rest below a millisecond does not spin.
        let most = most.saturating_add(Duration::from_micros(999));
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLPRI)], most) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
