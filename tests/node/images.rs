//! The images that the node needs, brought into containerd: no registry that people use is asked for anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::daemons::Daemons;
use crate::node::repository;
use crate::tools::tool;

/// A shell, and a user who is not root with a home.
pub const AGENT: &str = "localhost/agent:1";

/// An `oras`, as in the image of that name.
pub const ORAS: &str = "localhost/oras:v1.3.3";

/// The product, as `make image` names it.
pub const WEBHOOK: &str = "localhost/agentteam-webhook:0.1.0";

/// What the agent's image has beside its shell.
const APPLETS: [&str; 14] = [
    "sh", "basename", "cat", "cp", "env", "find", "grep", "id", "ls", "mkdir", "sleep", "sort",
    "stat", "test",
];

pub fn provide(daemons: &Daemons) {
    daemons.wait_for_containerd();
    let dir = tempfile::tempdir().unwrap();

    let pause = dir.path().join("pause");
    add(&pause, "pause", &daemons.program("pause"));
    import(
        daemons,
        &pause,
        "localhost/pause:1",
        r#"{"Entrypoint":["/pause"]}"#,
    );

    let oras = dir.path().join("oras");
    add(&oras, "bin/oras", &tool("oras"));
    import(
        daemons,
        &oras,
        ORAS,
        r#"{"Entrypoint":["/bin/oras"],"WorkingDir":"/workspace"}"#,
    );

    let agent = dir.path().join("agent");
    add(&agent, "bin/busybox", &daemons.program("busybox"));
    for applet in APPLETS {
        symlink("busybox", agent.join("bin").join(applet)).unwrap();
    }
    import(
        daemons,
        &agent,
        AGENT,
        r#"{"Env":["PATH=/bin"],"Cmd":["sleep","infinity"]}"#,
    );

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let webhook = target.join("image/agentteam-webhook.tar");
    assert!(
        webhook.exists(),
        "there is no {}: run `make image`",
        webhook.display()
    );
    daemons.ctr(&["images", "import", webhook.to_str().unwrap()]);
    // Another version, as far as a cluster can tell.
    daemons.ctr(&[
        "images",
        "tag",
        WEBHOOK,
        "localhost/agentteam-webhook:0.1.1",
    ]);
}

fn add(root: &Path, name: &str, program: &Path) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(program, path).unwrap();
}

/// Packs a directory as `make image` packs the product, and imports it.
fn import(daemons: &Daemons, root: &Path, name: &str, config: &str) {
    let (archive, settings) = (root.with_extension("tar"), root.with_extension("json"));
    fs::write(&settings, config).unwrap();
    let packed = Command::new(repository("image/archive.sh"))
        .arg(&archive)
        .arg(name)
        .args([root, &settings])
        .status();
    assert!(packed.unwrap().success(), "{name} cannot be packed");
    daemons.ctr(&["images", "import", archive.to_str().unwrap()]);
}
