//! An application cannot tell that weir is there: bytes through it are compared
//! with bytes direct, in one run, by clients that hide nothing.

mod alpn;
mod bodies;
mod heads;
mod pace;
