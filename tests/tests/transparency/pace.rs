//! Nothing is held back that has arrived.

use anyhow::{Context, Result};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::Http;
use weir_tests::world::World;

#[test]
fn an_event_arrives_although_the_next_is_far_away() -> Result<()> {
    let world = World::new()?;
    for surface in Surface::ALL {
        for http in Http::ALL {
            for coding in ["identity", "gzip"] {
                // Ten minutes between events: a second one would come too late.
                let call = Call::new(surface, Mode::Streamed, http, "pace")
                    .header("x-emulator-encoding", coding)
                    .header("x-emulator-gap-ms", "600000");
                let transfer = call.transfer().flag("compressed");
                let mut running = world.weir().start(&transfer.words())?;
                running
                    .stdout
                    .wait_for("\n\n")
                    .with_context(|| format!("{surface:?} {http:?} {coding}"))?;
            }
        }
    }
    Ok(())
}
