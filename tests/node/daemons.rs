//! The programs that make a node of a control plane, and their settings.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::node::ADDRESS;
use crate::process::Supervised;
use crate::rig::Rig;

/// In /run, which the machine has for itself. The path of a socket may not be long.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

pub struct Daemons {
    running: BTreeMap<&'static str, Supervised>,
    commands: BTreeMap<&'static str, Vec<String>>,
    programs: PathBuf,
    /// Of all Pods.
    group: String,
    dir: TempDir,
}

impl Daemons {
    /// Starts them all. `ca` is the authority of the private registries.
    pub fn start(
        control: &Rig,
        programs: PathBuf,
        group: String,
        ca: &str,
    ) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("agentteam-node-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let mut daemons = Self {
            running: BTreeMap::new(),
            commands: BTreeMap::new(),
            programs,
            group,
            dir,
        };
        daemons
            .configure(ca)
            .map_err(|error| format!("the node's settings: {error}"))?;
        daemons.describe(control);
        for name in [
            "containerd",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
        ] {
            daemons.resume(name);
        }
        Ok(daemons)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn configure(&self, ca: &str) -> std::io::Result<()> {
        let path = |name: &str| self.dir.path().join(name);
        fs::write(path("containerd.toml"), self.containerd())?;
        let kubelet = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.group,
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
            // Machines with the first version of cgroups, and those that swap, are as good for this.
            "failCgroupV1": false,
            "failSwapOn": false,
            "podLogsDir": path("pods"),
            "resolvConf": "",
            // What else fills the disk is no business of these Pods.
            "evictionHard": {
                "memory.available": "1Mi",
                "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                "imagefs.available": "0%", "imagefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "serializeImagePulls": false,
            "registryPullQPS": 0,
            "maxPods": 200,
        });
        fs::write(path("kubelet.json"), kubelet.to_string())?;
        fs::create_dir(path("cni"))?;
        let network = json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "bridge",
                "bridge": "pods0",
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.244.0.0/16"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        });
        fs::write(path("cni/pods.conflist"), network.to_string())?;
        for (port, scheme) in [(5000, "http"), (5443, "https"), (5444, "https")] {
            let host = path("certs").join(format!("{ADDRESS}:{port}"));
            fs::create_dir_all(&host)?;
            fs::write(host.join("ca.crt"), ca)?;
            let server = format!("{scheme}://{ADDRESS}:{port}");
            let settings = format!("server = \"{server}\"\n[host.\"{server}\"]\nca = \"ca.crt\"\n");
            fs::write(host.join("hosts.toml"), settings)?;
        }
        Ok(())
    }

    fn containerd(&self) -> String {
        let program = |name: &str| self.programs.join(name).display().to_string();
        let (shim, runc) = (program("containerd-shim-runc-v2"), program("runc"));
        let (bin, root) = (program(""), self.path("containerd"));
        let (cni, certs) = (self.path("cni"), self.path("certs"));
        // Without CAP_SYS_RESOURCE, which containers of CI rarely have, a process may not protect itself from the
        // kernel's out-of-memory killer. Where the kernel has no erofs, its plugins keep others from loading.
        format!(
            r#"
version = 3
root = "{root}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs", "io.containerd.mount-handler.v1.erofs",
]
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "{certs}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{bin}"]
conf_dir = "{cni}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{shim}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
"#
        )
    }

    /// Says how each is started.
    fn describe(&mut self, control: &Rig) {
        let kubeconfig = format!("--kubeconfig={}", control.kubeconfig().display());
        let file = |name: &str| control.file(name).display().to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let config = self.path("containerd.toml");
        self.commands
            .insert("containerd", words(&["--config", &config]));
        self.commands.insert(
            "kube-controller-manager",
            words(&[
                &kubeconfig,
                "--leader-elect=false",
                "--use-service-account-credentials=false",
                &format!("--root-ca-file={}", file("ca.crt")),
                &format!("--service-account-private-key-file={}", file("sa.key")),
                // A deleted namespace, a Job's Pod: nobody here has reason to wait for them.
                "--concurrent-job-syncs=10",
            ]),
        );
        self.commands.insert(
            "kube-scheduler",
            words(&[&kubeconfig, "--leader-elect=false"]),
        );
        self.commands.insert(
            "kubelet",
            words(&[
                &kubeconfig,
                &format!("--config={}", self.path("kubelet.json")),
                &format!("--root-dir={}", self.path("kubelet")),
                "--hostname-override=node1",
                &format!("--node-ip={ADDRESS}"),
            ]),
        );
    }

    /// Starts one of them, also after [`kill`](Self::kill).
    pub fn resume(&mut self, name: &'static str) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .unwrap();
        // The machine goes as a whole; there is nothing to remove.
        let mut command = Supervised::command(&self.programs.join(name), Path::new(""));
        command
            .args(&self.commands[name])
            .env("PATH", self.search_path())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.running
            .insert(name, Supervised::spawn(command).unwrap());
    }

    fn search_path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.programs.display())
    }

    /// Ends one of them at once.
    pub fn kill(&mut self, name: &str) {
        let mut daemon = self.running.remove(name).expect("it runs");
        daemon.signal("KILL");
        daemon
            .ends_within(Duration::from_secs(10))
            .expect("SIGKILL ends it");
    }

    /// Ends every container of every Pod at once, as when the power goes. Nothing must run that would start them anew.
    pub fn kill_containers(&self) {
        let first = Path::new("/sys/fs/cgroup/pids");
        let root = if first.is_dir() {
            first
        } else {
            Path::new("/sys/fs/cgroup")
        };
        // All shims of this machine are containerd's, and so all of the node's.
        let script = r#"
            for shim in $(grep -lx containerd-shim /proc/[0-9]*/comm); do
                shim=${shim%/comm}
                kill -s KILL "${shim#/proc/}"
            done
            find "$1" -name cgroup.procs -exec cat {} + | xargs -r kill -s KILL 2>/dev/null
            exit 0"#;
        let group = root.join(self.group.trim_start_matches('/'));
        let done = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(group)
            .status();
        assert!(done.unwrap().success());
    }

    /// Runs containerd's client in the namespace of the kubelet's images.
    #[track_caller]
    pub fn ctr(&self, args: &[&str]) -> Output {
        let output = Command::new(self.programs.join("ctr"))
            .args(["--address", CONTAINERD, "--namespace", "k8s.io"])
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "ctr {args:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log_tail("containerd")
        );
        output
    }

    /// Waits until containerd answers.
    pub fn wait_for_containerd(&self) {
        for _ in 0..300 {
            let answer = Command::new(self.programs.join("ctr"))
                .args(["--address", CONTAINERD, "version"])
                .output();
            if answer.unwrap().status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "containerd does not answer:\n{}",
            self.log_tail("containerd")
        );
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The last lines that one of them logged.
    pub fn log_tail(&self, name: &str) -> String {
        let log = fs::read(self.path(&format!("{name}.log"))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
