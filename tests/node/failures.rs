//! Skills that cannot arrive, and what people are told.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use crate::identity::Identity;
use crate::install::HANGING;
use crate::node::{Node, USERS};
use crate::place::{Place, oci, pod};
use crate::skills::Skill;

/// Waits until the team says that its skills do not arrive, and gives what it says.
#[track_caller]
fn condition(place: &Place) -> String {
    let path = r#"{.status.conditions[?(@.type=="SkillsDelivered")].reason}"#;
    let what = format!("--for=jsonpath={path}=PullsFailing");
    let waited = place.kubectl(&["wait", &what, "agentteam/team", "--timeout=240s"]);
    if !waited.status.success() {
        let team = place
            .kubectl(&["get", "agentteam/team", "-o", "yaml"])
            .stdout;
        let pod = place.kubectl(&["describe", "pod", "agent"]).stdout;
        panic!("{}{team}\n{pod}", waited.stderr);
    }
    let path = r#"{.status.conditions[?(@.type=="SkillsDelivered")].message}"#;
    place.value("agentteam/team", path)
}

/// Waits until an event of the Pod says why, and gives all that they say.
#[track_caller]
fn event(place: &Place) -> String {
    let about = "involvedObject.name=agent,reason=SkillPullFailing";
    for _ in 0..200 {
        let events = place.kubectl(&[
            "get",
            "events",
            "--field-selector",
            about,
            "-o",
            "jsonpath={.items[*].message}",
        ]);
        let events = events.success();
        if !events.is_empty() {
            return events;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no event: {}", place.kubectl(&["get", "events"]).stdout);
}

/// What the puller said last, as `kubectl describe pod` shows it.
fn last_words(place: &Place) -> String {
    let path = "{.status.initContainerStatuses[0]['state','lastState'].terminated.message}";
    place.value("pod/agent", path)
}

/// All three say what failed, on what, and why; and nobody says a password.
#[track_caller]
fn all_say(place: &Place, reference: &str, why: &str) {
    let told = [condition(place), event(place)];
    for told in &told {
        for part in ["web-research", why] {
            assert!(told.contains(part), "no {part:?} in {told:?}");
        }
    }
    let words = last_words(place);
    assert!(words.contains(why), "no {why:?} in {words:?}");
    for told in told.iter().chain([&words]) {
        assert!(!told.contains("wrong horse"), "{told:?} tells the password");
    }
    let reason = place.value("pod/agent", "{.status.phase}");
    assert_eq!(
        reason, "Pending",
        "the agent must not start without its skills"
    );
    assert!(!reference.is_empty());
}

/// A place whose team has the private skill.
fn place_with_private_skill<'node>(node: &'node Node, name: &str, reference: &str) -> Place<'node> {
    let place = Place::new(node, name);
    place.team("team", &["creds"], &[("web-research", oci(reference))]);
    place
}

#[test]
fn a_wrong_password() {
    let node = Node::shared();
    node.private
        .push("failures/password:v1", Skill::new("web-research").path());
    let registry = &node.private.address;
    let reference = format!("{registry}/failures/password:v1");
    let place = place_with_private_skill(&node, "wrong-password", &reference);
    place.secret("creds", registry, USERS[0].0, "wrong horse");

    place.apply(&pod("agent", "team"));

    all_say(&place, &reference, "unauthorized");

    // Mended, the Pod that waits gets its skills, and the team says so.
    place.secret("creds", registry, USERS[0].0, USERS[0].1);
    place.ready("agent");
    let path = r#"{.status.conditions[?(@.type=="SkillsDelivered")].status}"#;
    let what = format!("--for=jsonpath={path}=True");
    place
        .kubectl(&["wait", &what, "agentteam/team", "--timeout=60s"])
        .success();
}

#[test]
fn a_missing_artifact() {
    let node = Node::shared();
    let registry = &node.private.address;
    let reference = format!("{registry}/failures/nothing:v1");
    let place = place_with_private_skill(&node, "missing", &reference);
    place.secret("creds", registry, USERS[0].0, USERS[0].1);

    place.apply(&pod("agent", "team"));

    all_say(&place, &reference, "not found");
}

#[test]
fn a_wrong_authority() {
    let node = Node::shared();
    node.private
        .push("failures/authority:v1", Skill::new("web-research").path());
    let registry = &node.private.address;
    let reference = format!("{registry}/failures/authority:v1");
    let place = place_with_private_skill(&node, "wrong-authority", &reference);
    place.authority(&Identity::make(&["10.200.0.1"]).unwrap().ca);
    place.secret("creds", registry, USERS[0].0, USERS[0].1);

    place.apply(&pod("agent", "team"));

    all_say(
        &place,
        &reference,
        "certificate signed by unknown authority",
    );
}

/// A registry that takes the call and never answers. What a puller is and has can be looked at, for as long as it waits;
/// and after two minutes the team says that it does.
#[test]
fn a_registry_that_hangs_and_what_its_puller_may_do() {
    let node = Node::shared();
    let listener = TcpListener::bind(HANGING).unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for connection in listener.incoming().flatten() {
            held.push(connection);
        }
    });
    let reference = format!("{HANGING}/hanging/web-research:v1");
    let place = place_with_private_skill(&node, "hanging", &reference);
    place.secret("creds", HANGING, "reader", "wrong horse");

    place.apply(&pod("agent", "team"));
    place.wait(
        "agent",
        "jsonpath={.status.initContainerStatuses[0].started}=true",
    );

    let puller = process_of(&reference);
    let status = fs::read_to_string(puller.join("status")).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap().trim().to_owned()
    };
    assert!(line("Uid:").starts_with("65532"), "{status}");
    assert_eq!(line("CapEff:"), "0000000000000000");
    assert_eq!(line("CapBnd:"), "0000000000000000");
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Seccomp:"), "2", "filtered, by the runtime's profile");
    let root = puller.join("root");
    let entries = |path: &str| {
        let entries = fs::read_dir(root.join(path)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    let credentials = fs::read_to_string(root.join("auth/.docker/config.json")).unwrap();
    assert!(
        credentials.contains("wrong horse"),
        "the puller has what the registry asks for"
    );
    assert!(
        entries("var/run/secrets/kubernetes.io/serviceaccount").is_empty(),
        "a puller has a ServiceAccount token"
    );
    for file in ["environ", "cmdline"] {
        let text = fs::read(puller.join(file)).unwrap();
        assert!(
            !String::from_utf8_lossy(&text).contains("horse"),
            "credentials in {file}"
        );
    }

    let told = condition(&place);
    for part in ["agent", "web-research", "120 s"] {
        assert!(told.contains(part), "no {part:?} in {told:?}");
    }
}

/// The directory in /proc of the process that was started with this argument.
fn process_of(argument: &str) -> PathBuf {
    for _ in 0..200 {
        for entry in fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let mut words = Vec::new();
            if let Ok(mut file) = fs::File::open(path.join("cmdline")) {
                let _ = file.read_to_end(&mut words);
            }
            let words: Vec<_> = words.split(|&byte| byte == 0).collect();
            if words
                .first()
                .is_some_and(|program| program.ends_with(b"oras"))
                && words.contains(&argument.as_bytes())
            {
                return path;
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no process pulls {argument}");
}

/// The agent has its skills, and nothing of what it took to get them.
#[test]
fn an_agent_cannot_reach_the_credentials() {
    let node = Node::shared();
    node.private
        .push("failures/secret:v1", Skill::new("web-research").path());
    let registry = &node.private.address;
    let place = place_with_private_skill(
        &node,
        "credentials",
        &format!("{registry}/failures/secret:v1"),
    );
    place.secret("creds", registry, USERS[0].0, USERS[0].1);
    place.apply(&pod("agent", "team"));
    place.ready("agent");

    // As root, since that is what its image says.
    let found = place.shell(
        "agent",
        r#"
        test ! -e /auth
        grep -rl "$1" / --exclude-dir=proc --exclude-dir=sys 2>/dev/null || true
        grep -l "$1" /proc/[0-9]*/environ 2>/dev/null || true
        cat /proc/mounts | grep -c skill-auth || true"#,
        &format!("{}\\|docker", "correct horse"),
    );
    assert_eq!(
        found.trim(),
        "0",
        "credentials are within the agent's reach"
    );
}
