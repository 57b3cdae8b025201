//! What the kernel knows of TCP sockets: which of this network namespace belong to
//! somebody else, and how much of what was sent has arrived.
//!
//! `/proc/self/net/tcp` shows the sockets of every process of the namespace,
//! whatever its cgroup or process namespace; whose they are is told by what this
//! process has open. Needs no privilege.

use std::{collections::HashSet, fs, io, mem, os::fd::RawFd};

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

/// Bytes that the peer of a TCP socket has acknowledged since it was connected.
/// Can be asked of a socket that has been reset, too, and of a descriptor that is
/// lent to somebody else meanwhile: it is the caller who knows that it is open. (`tcpi_bytes_acked` of
/// `struct tcp_info`, linux/tcp.h, since Linux 4.1; RFC 4898 tcpEStatsAppHCThruOctetsAcked.)
///
/// # Errors
///
/// It is no TCP socket, or the kernel is older.
pub fn bytes_acknowledged(socket: RawFd) -> io::Result<u64> {
    // SAFETY: a plain structure of integers, for which zeroes are a value.
    #[expect(unsafe_code, reason = "TCP_INFO has no safe wrapper")]
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut len = libc::socklen_t::try_from(mem::size_of_val(&info)).unwrap_or(0);
    // SAFETY: the structure is writable and `len` is its length.
    #[expect(unsafe_code, reason = "TCP_INFO has no safe wrapper")]
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let needed = mem::offset_of!(libc::tcp_info, tcpi_bytes_acked).saturating_add(size_of::<u64>());
    if usize::try_from(len).unwrap_or(0) < needed {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info.tcpi_bytes_acked)
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
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
        time::Duration,
    };

    use super::*;

    #[test]
    fn what_has_arrived_is_told_of_a_socket_even_after_its_reset() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut far = listener.accept().unwrap().0;
        let before = bytes_acknowledged(near.as_raw_fd()).unwrap();
        near.write_all(b"12345").unwrap();
        // An answer carries the acknowledgement.
        far.read_exact(&mut [0; 5]).unwrap();
        far.write_all(b"!").unwrap();
        near.read_exact(&mut [0]).unwrap();
        assert_eq!(bytes_acknowledged(near.as_raw_fd()).unwrap() - before, 5);
        socket2::SockRef::from(&far)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(far);
        assert!(near.read(&mut [0]).is_err());
        assert_eq!(bytes_acknowledged(near.as_raw_fd()).unwrap() - before, 5);
    }

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
