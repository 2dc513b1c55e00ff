//! A full disk is told, loses nothing, and once there is room the same command ends with the same bytes.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Place, TINY_RUN, TestResult, assert_same, lasting};

/// Room in KiB that is left at first: from none to all but the last file.
const ROOMS: [u32; 9] = [0, 8, 24, 48, 72, 96, 120, 160, 200];
/// A disk of 1 MiB.
const MOUNT: &str = "mount -t tmpfs -o size=1024k tmpfs disk";
/// The disk with nothing but `$ROOM` KiB free; the command; the ballast away; the command again; a copy of the store.
const SCRIPT: &str = r#"
    cd disk
    head -c $(( (1024 - ROOM) * 1024 )) /dev/zero > ballast || exit 78
    "$PROGRAM" $LINE >/dev/null 2>../first; echo $?
    rm ballast
    "$PROGRAM" $LINE >/dev/null 2>../second; echo $?
    cp -r .undertone ../copy
"#;

#[test]
fn a_full_disk_is_told_and_the_same_command_finishes_once_there_is_room() -> TestResult {
    let undisturbed = Place::new()?;
    undisturbed.expect(0, TINY_RUN)?;
    let expected = undisturbed.lasting()?;
    // A mount of our own that no other process sees and that ends with the script.
    let wrappers: [&[&str]; 2] = [
        &["--mount", "sh", "-c"],
        &["--user", "--map-root-user", "--mount", "sh", "-c"],
    ];
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("disk"))?;
    let works = |wrapper: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**wrapper).arg(MOUNT).current_dir(folder.path());
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(wrapper) = wrappers.iter().find(works) else {
        if std::env::var_os("UNDERTONE_REQUIRE_FULL_DISK").is_some() {
            return Err("this system lets us mount no disk to fill".into());
        }
        // Past the capture of the test harness: a skipped test must be seen.
        writeln!(
            std::io::stderr(),
            "SKIPPED full disk: this system lets us mount none"
        )?;
        return Ok(());
    };
    let mut n_full = 0;
    for room in ROOMS {
        let place = Place::new()?;
        std::fs::create_dir(place.path().join("disk"))?;
        let output = Command::new("unshare")
            .args(*wrapper)
            .arg(format!("{MOUNT} || exit 77\n{SCRIPT}"))
            .current_dir(place.path())
            .env("PROGRAM", env!("CARGO_BIN_EXE_undertone"))
            .env("LINE", format!("{TINY_RUN} --quiet"))
            .env("ROOM", room.to_string())
            .env_remove("UNDERTONE_STORE")
            .stdin(Stdio::null())
            .output()?;
        let said = |name: &str| std::fs::read_to_string(place.path().join(name));
        assert!(
            output.status.success(),
            "{room} KiB: {output:?} {}",
            said("second")?
        );
        let codes = String::from_utf8(output.stdout)?;
        let (first, second) = codes.trim().split_once('\n').ok_or("two exit codes")?;
        if first == "5" {
            n_full += 1;
            let said = said("first")?;
            assert!(
                said.contains("no room left on the disk"),
                "{room} KiB: {said}"
            );
            assert!(said.contains("free some space"), "{room} KiB: {said}");
        } else {
            assert_eq!(first, "0", "{room} KiB: {}", said("first")?);
        }
        assert_eq!(second, "0", "{room} KiB: {}", said("second")?);
        assert_same(&expected, &lasting(&place.path().join("copy"))?);
    }
    assert!(
        n_full >= 4,
        "only {n_full} of {} disks were full",
        ROOMS.len()
    );
    Ok(())
}
