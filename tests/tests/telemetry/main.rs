//! What `weir exec` tells others about the calls of its command: a collector, a
//! file of lines, and nobody more than they should know.

mod captured;
mod exported;
mod logged;
mod scraped;
