//! The figures as a person reads them.

use std::fmt;

use anyhow::Result;
use weir_tests::spread::Spread;

use crate::callgrind::{Allocated, Counted};
use crate::figures::{Figures, Turns, median, paired};
use crate::shape::Shape;
use crate::way::Way;

/// One shape.
struct Row {
    shape: Shape,
    /// Processor time of the proxy, in microseconds per megabyte.
    unread: f64,
    read: f64,
    ratio: Spread,
    /// What reading adds, in microseconds.
    per_megabyte: f64,
    per_event: Option<f64>,
    delays: Option<Delays>,
}

/// Of the events of one shape, in microseconds.
struct Delays {
    direct: f64,
    unread: f64,
    read: f64,
    added: Spread,
}

/// All shapes. At most 100 columns.
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn new(turns: &Turns) -> Result<Self> {
        let rows = Shape::ALL.into_iter().map(|shape| row(turns, shape));
        rows.collect::<Result<_>>().map(Self)
    }
}

fn per_megabyte(turn: &Figures) -> f64 {
    turn.computed_us / (turn.bytes / 1e6)
}

fn row(turns: &Turns, shape: Shape) -> Result<Row> {
    let unread = turns.each(shape, Way::Unread, per_megabyte)?;
    let read = turns.each(shape, Way::Read, per_megabyte)?;
    let per_event = |way| turns.each(shape, way, |it| it.computed_us / it.events);
    let has_events = shape.has_events();
    Ok(Row {
        shape,
        unread: median(&unread)?,
        read: median(&read)?,
        ratio: paired(&read, &unread, |read, unread| read / unread)?,
        per_megabyte: paired(&read, &unread, |read, unread| read - unread)?.median,
        per_event: has_events
            .then(|| {
                let (read, unread) = (per_event(Way::Read)?, per_event(Way::Unread)?);
                anyhow::Ok(paired(&read, &unread, |read, unread| read - unread)?.median)
            })
            .transpose()?,
        delays: has_events.then(|| delays(turns, shape)).transpose()?,
    })
}

fn delays(turns: &Turns, shape: Shape) -> Result<Delays> {
    let of = |way| turns.delays(shape, way);
    let (direct, unread, read) = (of(Way::Direct)?, of(Way::Unread)?, of(Way::Read)?);
    Ok(Delays {
        direct: median(direct)?,
        unread: median(unread)?,
        read: median(read)?,
        added: paired(read, unread, |read, unread| read - unread)?,
    })
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "bodies are the same, direct, unread and read\n\n\
             {:<22}{:^20}{:^24}{:^26}\n\
             {:<22}{:>10}{:>10}    {:<20}{:>12}{:>12}",
            "processor time",
            "µs per MB",
            "read / unread",
            "reading adds, µs",
            "of the proxy",
            "unread",
            "read",
            "",
            "per MB",
            "per event",
        )?;
        for row in &self.0 {
            write!(
                out,
                "{:<22}{:>10.0}{:>10.0}    {:<20}{:>12.0}",
                row.shape,
                row.unread,
                row.read,
                row.ratio.to_string(),
                row.per_megabyte
            )?;
            match row.per_event {
                Some(added) => writeln!(out, "{added:>12.2}")?,
                None => writeln!(out, "{:>12}", "-")?,
            }
        }
        writeln!(
            out,
            "\n{:<22}{:>10}{:>10}{:>10}    reading adds",
            "delay of events, µs", "direct", "unread", "read"
        )?;
        for row in &self.0 {
            let Some(delays) = &row.delays else { continue };
            let Delays {
                direct,
                unread,
                read,
                added,
            } = delays;
            writeln!(
                out,
                "{:<22}{direct:>10.0}{unread:>10.0}{read:>10.0}    {:.1} ({:.1}..{:.1})",
                row.shape, added.median, added.least, added.most
            )?;
        }
        writeln!(
            out,
            "\nMedians of rounds; ratios and differences round by round: median (least..most)."
        )
    }
}

/// The instructions of all inputs.
pub(crate) struct Instructions<'a>(pub(crate) &'a [Counted]);

impl fmt::Display for Instructions<'_> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of bytes and instructions stay far below 2^53"
    )]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<26}{:>10}{:>10}{:>14}{:>12}",
            "instructions of reading", "bytes", "pieces", "per byte", "per piece"
        )?;
        for counted in self.0 {
            let instructions = counted.instructions as f64;
            writeln!(
                out,
                "{:<26}{:>10}{:>10}{:>14.2}{:>12.0}",
                counted.input,
                counted.bytes,
                counted.pieces,
                instructions / counted.bytes as f64,
                instructions / counted.pieces as f64
            )?;
        }
        writeln!(
            out,
            "\nOf one exchange from its opening to its record, by callgrind; a piece is what one read\n\
             of the relay brings: an event of a stream, or 16 KiB of a document. Of what is relayed, all\n\
             of HTTP but TLS and the kernel, client and provider included."
        )
    }
}

/// What all inputs allocate.
pub(crate) struct Allocations<'a>(pub(crate) &'a [Allocated]);

impl fmt::Display for Allocations<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<26}{:>10}{:>10}", "allocated", "blocks", "bytes")?;
        for Allocated {
            input,
            blocks,
            bytes,
        } in self.0
        {
            writeln!(out, "{input:<26}{blocks:>10}{bytes:>10}")?;
        }
        writeln!(
            out,
            "\nFor one exchange, by DHAT: what is given back at once included."
        )
    }
}
