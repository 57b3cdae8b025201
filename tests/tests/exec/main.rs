//! `weir exec` as its users see it: the real program, with root, cgroup2 and
//! BPF. Every run is checked to have left nothing behind.

mod caller;
mod descendants;
mod killed;
mod place;
mod refused;
mod signals;
mod start;
mod status;
mod streams;
mod trust;
