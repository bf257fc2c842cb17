//! Helm, cert-manager's cainjector, and the definitions of objects that others define: `tests/manifests/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::programs;
use crate::render::{objects, path};

/// What the script built, or had built.
pub fn tool(name: &str) -> PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    let directory = TOOLS.get_or_init(|| programs("tests/manifests/tools/build.sh").unwrap());
    directory.join(name)
}

/// The definitions of Certificates, Issuers and ServiceMonitors, as those ship them to whom they belong.
pub fn foreign_definitions() -> Vec<Value> {
    let files = std::fs::read_dir(tool("crds")).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let definitions: Vec<_> = texts.flat_map(|text| objects(&text)).collect();
    assert_eq!(definitions.len(), 3);
    definitions
}

/// Runs Helm, as nobody in particular: a person's own must not decide what is tested.
pub fn helm(args: &[&str], kubeconfig: Option<&Path>) -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(tool("helm"));
    command.args(args).env("HOME", home.path());
    match kubeconfig {
        Some(file) => command.env("KUBECONFIG", file),
        None => command.env_remove("KUBECONFIG"),
    };
    let output = command.output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// What `helm template` makes of our chart with these flags; or what is wrong with them.
pub fn helm_template(flags: &[&str]) -> Result<Vec<Value>, String> {
    let chart = path("manifests/chart").display().to_string();
    let release = [
        "template",
        "agentteam-webhook",
        &chart,
        "--namespace",
        "agentteam-system",
    ];
    Ok(objects(&helm(&[&release, flags].concat(), None)?))
}
