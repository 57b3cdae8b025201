//! Whatever a command becomes, it stays intercepted.

use anyhow::{Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir_tests::calls::{Call, Mode, Surface};
use weir_tests::curl::{Batch, Http};
use weir_tests::world::World;

/// Becomes another user, and then the program in its arguments.
const OTHER_USER: &str = r"
import os, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.execvp(sys.argv[1], sys.argv[1:])
";

/// Ends, and leaves behind a daemon that becomes the program in its arguments
/// only once its parent is gone.
const DAEMON: &str = r"
import os, sys, time
command = os.getpid()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while os.path.exists(f'/proc/{command}'):
            time.sleep(0.01)
        os.execvp(sys.argv[1], sys.argv[1:])
";

fn intercepts(program: &str) -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Chat, Mode::Plain, Http::H1, "process");
    // On standard output: another user may write nowhere else.
    let mut command = vec!["python3".to_owned(), "-c".to_owned(), program.to_owned()];
    command.extend(call.transfer().words());
    let ended = world.weir().run(&command)?.succeeded()?;
    ensure!(ended.text().contains("chat.completion"), "{ended:?}");
    ended.all_are(1, Decision::Intercept, Reason::CatalogueHost)?;
    let process = ended
        .only()?
        .process
        .clone()
        .unwrap_or_else(|| panic!("{ended:?}"));
    ensure!(
        process.exe.is_some_and(|exe| exe.ends_with("/curl")),
        "{ended:?}"
    );
    Ok(())
}

#[test]
fn a_process_that_became_another_user_is_intercepted() -> Result<()> {
    intercepts(OTHER_USER)
}

#[test]
fn a_daemon_that_outlives_the_command_is_intercepted() -> Result<()> {
    intercepts(DAEMON)
}

#[test]
fn what_is_not_the_commands_is_not_intercepted() -> Result<()> {
    let world = World::new()?;
    let call = Call::new(Surface::Chat, Mode::Plain, Http::H1, "bystander");
    let transfer = call.transfer().trusting(&world.ca());
    let batch = Batch::new(&world, "bystander", &[transfer])?;
    let mut running = world
        .weir()
        .start(&["sh", "-c", "echo ready && read -r line"])?;
    running.stdout.wait_for("ready")?;
    // In the same namespace, while weir runs, and it sees the real certificate.
    let answers = batch.direct(&world)?;
    ensure!(answers[0].status == 200, "{answers:?}");
    let ended = running.finish()?;
    assert_eq!(ended.records(), []);
    Ok(())
}
