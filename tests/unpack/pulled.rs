//! The same from a real registry, by the command.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::formats::{WAYS, skill};
use crate::limits::{heavy, peak};
use crate::mutation::Random;
use crate::scene::{SKILL, list, tempdir};
use crate::tools::{Registry, tool};

/// A registry with the skill, packed in every way under a tag of its own.
fn registry() -> Registry {
    let registry = Registry::start();
    let repository = format!("{}/skills", registry.address);
    let packed = Command::new(tool("pack"))
        .args(["push", &repository])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&packed.stderr);
    assert!(packed.status.success(), "{stderr}");
    registry
}

fn pull(registry: &Registry, tag: &str, output: &Path) -> Child {
    let address = &registry.address;
    Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"))
        .arg("pull")
        .args(["--skill", &format!("{SKILL}={address}/skills:{tag}")])
        .args(["--strict", "--plain-http-registry", address, "--output"])
        .arg(output)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn succeed(child: Child) {
    let done = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{stderr}");
}

#[test]
fn every_way_to_pack_a_skill_is_pulled_as_the_same_directory() {
    let registry = registry();
    for (way, keeps_exec_bits) in WAYS {
        let output = tempdir();
        succeed(pull(&registry, way, output.path()));
        assert_eq!(
            list(&output.path().join(SKILL)),
            skill(keeps_exec_bits),
            "{way}"
        );
        assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1, "{way}");
    }
}

#[test]
fn a_pull_that_is_killed_leaves_a_whole_skill_or_none_and_the_next_one_gives_the_same() {
    let registry = registry();
    let output = tempdir();
    let began = Instant::now();
    succeed(pull(&registry, "image", output.path()));
    let whole = began.elapsed();
    let mut random = Random::new(0);
    for run in 0..30 {
        // As a volume is mounted, or not; with what earlier runs left.
        let target = output.path().join(SKILL);
        match run % 10 {
            0 => fs::remove_dir_all(&target).unwrap_or_default(),
            5 => {
                fs::remove_dir_all(&target).unwrap_or_default();
                fs::create_dir(&target).unwrap();
            }
            _ => {}
        }
        let mut child = pull(&registry, "image", output.path());
        let thousandths = u32::try_from(random.below(1_000)).unwrap();
        sleep(whole * thousandths / 1_000 + Duration::from_millis(1));
        child.kill().unwrap();
        child.wait().unwrap();
        if target.join("SKILL.md").exists() {
            let found = list(&target)
                .into_iter()
                .filter(|line| !line.contains(".partial"));
            assert_eq!(found.collect::<Vec<_>>(), skill(true), "{run}");
        }
        if run % 10 == 4 || run % 10 == 9 {
            succeed(pull(&registry, "image", output.path()));
            assert_eq!(list(&target), skill(true), "{run}");
            assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1, "{run}");
        }
    }
}

#[test]
fn memory_stays_below_64_mib_with_several_heavy_skills_at_once() {
    let registry = Registry::start();
    let output = tempdir();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"));
    command
        .args([
            "pull",
            "--plain-http-registry",
            &registry.address,
            "--output",
        ])
        .arg(output.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let heavy = heavy();
    for (index, (_, archive, _)) in heavy.iter().enumerate() {
        let package = tempfile::tempdir().unwrap();
        fs::write(package.path().join("skill.tar.zst"), archive).unwrap();
        let repository = format!("heavy/{index}:v1");
        registry.push_with(&repository, package.path(), &["skill.tar.zst"]);
        let skill = format!("skill-{index}={}/{repository}", registry.address);
        command.args(["--skill", &skill]);
    }
    let child = command.spawn().unwrap();
    let process = child.id().to_string();
    let mut most = 0;
    while let Some(peak) = peak(&process) {
        most = peak;
        sleep(Duration::from_millis(2));
    }
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("peak {most} KiB\n{said}");
    assert_eq!(done.status.code(), Some(12), "{said}");
    // All but the bomb.
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 3, "{said}");
    assert!(most > 8 << 10 && most < 64 << 10, "{most} KiB");
}
