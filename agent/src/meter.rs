//! One record per exchange: what was used, what it cost, how long it took.
//!
//! [`exchange`] is the value that lives as long as an exchange and ends in a
//! [`record`], which `awaiting` keeps back until an answer has come another way;
//! [`socket`] is a connection that carries many. [`prices`] turns token counts
//! into money; [`report`] adds records up. [`reason`] names every way a connection can be decided, [`trace`] the span
//! that an exchange is, [`pace`] how evenly its answer came, [`payload`] copies
//! of bodies for those who asked for them. Time is passed
//! in, and records leave through a sink: nothing here does input or output.

mod awaiting;
pub mod exchange;
pub mod invariant;
pub mod pace;
pub mod payload;
pub mod prices;
pub mod reason;
pub mod record;
pub mod report;
pub mod socket;
pub mod timestamp;
pub mod trace;
