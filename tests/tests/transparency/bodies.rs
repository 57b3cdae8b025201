//! Bodies, however they are cut into writes, records and frames.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Answer, Batch, Http, Transfer};
use weir_tests::world::World;

/// Does the transfers through weir and direct and compares what curl got, heads
/// included.
fn compare(world: &World, transfers: &[Transfer]) -> Result<Vec<Answer>> {
    let (through, ended) = Batch::new(world, "through", transfers)?.through(world.weir())?;
    ended.all_are(transfers.len(), Decision::Intercept, Reason::CatalogueHost)?;
    let transfers: Vec<Transfer> = transfers
        .iter()
        .map(|transfer| transfer.clone().trusting(&world.ca()))
        .collect();
    let direct = Batch::new(world, "direct", &transfers)?.direct(world)?;
    for (number, (through, direct)) in through.iter().zip(&direct).enumerate() {
        ensure!(
            direct.exit == 0 && !direct.head.is_empty(),
            "{number}: direct: {direct:?}"
        );
        ensure!(through.exit == 0, "{number}: through: {through:?}");
        ensure!(
            through.head == direct.head,
            "{number}: the head {:?} is not {:?}",
            through.head,
            direct.head
        );
        ensure!(
            through.body == direct.body,
            "{number}: the body {:?} is not {:?}",
            through.text(),
            direct.text()
        );
    }
    Ok(through)
}

#[test]
fn answers_are_the_same_however_they_are_cut() -> Result<()> {
    let world = World::new()?;
    let mut transfers = Vec::new();
    for surface in Surface::ALL {
        for mode in Mode::ALL {
            for http in Http::ALL {
                for chunking in ["byte", "7", "whole"] {
                    // Chat streams among them do not ask for usage: weir does.
                    let call = Call::new(surface, mode, http, chunking)
                        .header("x-emulator-chunking", chunking)
                        .header("x-emulator-tokens", "8");
                    transfers.push(call.transfer());
                }
            }
        }
    }
    compare(&world, &transfers)?;
    Ok(())
}

#[test]
fn large_bodies_pass_in_both_directions() -> Result<()> {
    const SIZE: usize = 8 * 1024 * 1024;
    let world = World::new()?;
    let file = world.directory().join("upload");
    // No power of two divides the length of the pattern.
    let pattern: Vec<u8> = (0..251).flat_map(|byte| [byte; 7]).collect();
    let bytes: Vec<u8> = pattern.into_iter().cycle().take(SIZE).collect();
    std::fs::write(&file, bytes)?;
    let mut transfers = Vec::new();
    for http in Http::ALL {
        let url = |path: &str| format!("https://api.anthropic.com/emulator/{path}");
        transfers.push(Transfer::of(&url(&format!("download?bytes={SIZE}")), http));
        let upload = Transfer::of(&url("upload"), http);
        transfers.push(upload.set("upload-file", &file.display().to_string()));
        // Answered at once, and so not asked for with Expect.
        let reflect = Transfer::of(&url("reflect"), http).set("header", "Expect:");
        transfers.push(reflect.set("upload-file", &file.display().to_string()));
    }
    let answers = compare(&world, &transfers)?;
    for (answer, is_small) in answers.iter().zip([false, true, false].iter().cycle()) {
        ensure!(answer.status == 200, "{:?}", answer.head);
        ensure!(
            *is_small || answer.body.len() == SIZE,
            "{}",
            answer.body.len()
        );
    }
    Ok(())
}

#[test]
fn trailers_interim_answers_and_answers_without_a_body_pass() -> Result<()> {
    let world = World::new()?;
    let mut transfers = Vec::new();
    for http in Http::ALL {
        let of =
            |path: &str| Transfer::of(&format!("https://api.openai.com/emulator/{path}"), http);
        let posted = |path: &str| of(path).set("data-raw", "a body");
        transfers.extend([
            posted("trailers"),
            posted("informational?count=3"),
            posted("informational").header("Expect", "100-continue"),
            of("download?bytes=1000").flag("head"),
            of("no-such-endpoint"),
        ]);
    }
    // On HTTP/2 curl 7 takes a refusal of Expect for no answer at all.
    let refused = "https://api.openai.com/emulator/informational?expect=refuse";
    transfers.push(
        Transfer::of(refused, Http::H1)
            .set("data-raw", "a body")
            .header("Expect", "100-continue"),
    );
    let answers = compare(&world, &transfers)?;
    for answers in answers.chunks_exact(5) {
        let trailers = answers[0].head.to_ascii_lowercase();
        ensure!(trailers.contains("sha256"), "{answers:?}");
        ensure!(answers[1].head.matches(" 103 ").count() == 3, "{answers:?}");
        ensure!(answers[4].status == 404, "{answers:?}");
    }
    ensure!(
        answers.last().is_some_and(|it| it.status == 417),
        "{answers:?}"
    );
    Ok(())
}

#[test]
fn streams_side_by_side_on_one_connection_do_not_mix() -> Result<()> {
    let world = World::new()?;
    let calls: Vec<Call> = (0..24)
        .map(|number| {
            let surface = Surface::ALL[number % 3];
            Call::new(surface, Mode::Streamed, Http::H2, &number.to_string())
                .header("x-emulator-tokens", "30")
                .header("x-emulator-gap-ms", "2")
        })
        .collect();
    let transfers: Vec<Transfer> = calls.iter().map(Call::transfer).collect();
    let batch = Batch::new(&world, "parallel", &transfers)?;
    let mut command = batch.command();
    command.extend(["--parallel", "--parallel-max", "24"].map(str::to_owned));
    let ended = world.weir().run(&command)?.succeeded()?;
    ended.all_are(calls.len(), Decision::Intercept, Reason::CatalogueHost)?;
    let through = batch.answers(&ended.text())?;
    let transfers: Vec<Transfer> = transfers
        .into_iter()
        .map(|transfer| transfer.trusting(&world.ca()))
        .collect();
    let direct = Batch::new(&world, "direct", &transfers)?.direct(&world)?;
    for (through, direct) in through.iter().zip(&direct) {
        ensure!(through.body == direct.body, "{through:?} is not {direct:?}");
    }
    Ok(())
}
