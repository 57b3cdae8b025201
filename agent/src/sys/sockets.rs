//! TCP sockets of this network namespace that belong to somebody else.
//!
//! `/proc/self/net/tcp` shows those of every process of the namespace, whatever
//! its cgroup or process namespace; whose they are is told by what this process
//! has open. Needs no privilege.

use std::{collections::HashSet, fs, io};

/// The kernel's files, one a family; a kernel without IPv6 has one.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
const DESCRIPTORS: &str = "/proc/self/fd";
/// Position of a socket's inode in a line, counted in words.
const INODE_AT: usize = 9;

/// Whether any process but this one has a TCP socket here.
///
/// # Errors
///
/// `/proc` is not what it should be.
pub fn strangers_sockets() -> io::Result<bool> {
    let own = own_inodes()?;
    for table in TABLES {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if inodes(&text).any(|inode| !own.contains(&inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Inodes of the sockets in a table. Those that no process holds any more (in
/// `TIME_WAIT`, or still to be accepted) have none.
fn inodes(table: &str) -> impl Iterator<Item = u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(INODE_AT)?.parse().ok())
        .filter(|inode| *inode != 0)
}

fn own_inodes() -> io::Result<HashSet<u64>> {
    let mut own = HashSet::new();
    for entry in fs::read_dir(DESCRIPTORS)? {
        // Closed since it was listed.
        let Ok(target) = fs::read_link(entry?.path()) else {
            continue;
        };
        let inode: Option<u64> = target
            .to_str()
            .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'))
            .and_then(|inode| inode.parse().ok());
        own.extend(inode);
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn a_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 82117 1 0000000000000000 100 0 0 10 0\n   \
            1: 0100007F:3A99 0100007F:C2A2 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000\n";
        assert_eq!(inodes(table).collect::<Vec<_>>(), [82117]);
        assert_eq!(inodes("").count(), 0);
    }

    #[test]
    fn what_this_process_has_open_is_its_own() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let link = fs::read_link(format!("{DESCRIPTORS}/{}", listener.as_raw_fd())).unwrap();
        let inode: u64 = link.to_str().unwrap()["socket:[".len()..]
            .trim_end_matches(']')
            .parse()
            .unwrap();
        assert!(own_inodes().unwrap().contains(&inode));
        let table = fs::read_to_string(TABLES[0]).unwrap();
        assert!(inodes(&table).any(|seen| seen == inode));
    }
}
