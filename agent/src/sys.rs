//! Safe wrappers of what the kernel offers and the libraries do not wrap:
//! the only room with `unsafe`.

pub mod addresses;
pub mod bpf;
pub mod cgroup;
pub mod claim;
pub mod inventory;
pub mod local_time;
pub mod memory;
pub mod origin;
pub mod privileges;
pub mod process;
pub mod sockets;
