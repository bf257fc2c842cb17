//! The teams that the server under test knows, good ones and bad.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// The namespace of the teams, and of the Pods.
pub const NAMESPACE: &str = "agents";

/// A team whose agents `lead`, `mixed`, `files`, `pinned` and `idle` are fine, with the pull secret `ghcr-creds`.
pub const GOOD: &str = "good";

/// A team with an agent for each of [`bad_skills`], and one named `fine`.
pub const BAD: &str = "bad";

/// A team whose agents have skills with long names: `oci` and `files`.
pub const LONG: &str = "long";

/// A team whose agent `all` has a hundred skills.
pub const HUNDRED: &str = "hundred";

/// A team with an agent `host-{index}` for each of [`SPECIAL_HOSTS`], pinned.
pub const SPECIAL: &str = "special";

/// A team like [`GOOD`], in another namespace.
pub const ELSEWHERE: &str = "elsewhere";

pub const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Hosts that no skill may come from, unless they are named.
pub const SPECIAL_HOSTS: [&str; 12] = [
    "169.254.169.254",
    "[fd00:ec2::254]",
    "127.1",
    "127.0.0.1:5000",
    "2130706433",
    "2852039166:80",
    "0x7f000001",
    "localhost",
    "localhost:5000",
    "metadata.google.internal",
    "[::1]:5000",
    "[::ffff:169.254.169.254]",
];

/// Names that no Secret and no `ConfigMap` has.
pub fn bad_object_names() -> Vec<String> {
    let bad = [
        "a/b", "../creds", "Creds", "a_b", "a..b", "-a", "a b", "$(X)", "a\n", "a\0",
    ];
    let mut names: Vec<String> = bad.map(Into::into).into();
    names.push("x".repeat(254));
    names
}

/// The team with a pull secret of the name at this index of [`bad_object_names`].
pub fn team_with_bad_secret(index: usize) -> String {
    format!("bad-secret-{index}")
}

/// A skill that its agent must not get.
pub struct BadSkill {
    /// The row of the catalogue.
    pub row: u8,
    /// The agent of [`BAD`] that has it.
    pub agent: String,
    /// As it stands in the team.
    pub skill: Value,
}

/// Every bad skill.
pub fn bad_skills() -> Vec<BadSkill> {
    let from = |source: Value| json!({"name": "web", "source": source});
    let oci = |reference: &str| from(json!({"oci": reference}));
    let named = |name: &str| json!({"name": name, "source": {"configMap": "skills"}});
    let mut bad = Vec::new();
    let mut add = |row: u8, skill: Value| {
        let agent = format!("row-{row}-{}", bad.len());
        bad.push(BadSkill { row, agent, skill });
    };
    for source in [
        json!({}),
        json!({"configMap": "c", "oci": "ghcr.io/example/x:1"}),
        json!({"configMap": "", "oci": ""}),
        json!({"configMap": null}),
        json!({"git": "https://github.com/example/x"}),
    ] {
        add(44, from(source));
    }
    for name in [
        "../x", "/x", "a/b", ".", "..", "", "A_B", "аgent", "%2e%2e", "a b", "a\0", "-a", "a-",
        "$(X)", "a\n",
    ] {
        add(45, named(name));
    }
    add(45, named(&"x".repeat(65)));
    for reference in [
        "-T",
        "--allow-path-traversal",
        "--from-file",
        "-T/x:1",
        "--config/x:1",
    ] {
        add(46, oci(reference));
    }
    for character in [
        ';', '`', ' ', '\n', '\r', '\0', '|', '&', '\'', '"', '\\', '\t',
    ] {
        add(47, oci(&format!("ghcr.io/example/x:1{character}id")));
    }
    for variable in ["$(TOKEN)", "$$(X)", "${X}", "$X"] {
        add(48, oci(variable));
        add(48, oci(&format!("ghcr.io/example/{variable}:1")));
        add(48, oci(&format!("ghcr.io/example/x:{variable}")));
    }
    for reference in [
        "user:hunter2@ghcr.io/example/x:1",
        "//user:hunter2@ghcr.io/example/x:1",
        "https://user:hunter2@ghcr.io/example/x:1",
        "https:/user:hunter2@ghcr.io/example/x:1",
        "https://user:p/hunter2@ghcr.io/example/x:1",
        "https://ghcr.io/example/x:1",
        "oci://ghcr.io/example/x:1",
        "./dir",
        "../dir/x:1",
        "/dir/x:1",
        "skills/web:v1",
        "ghcr.io",
        "ghcr.io/example/x",
        "ghcr.io/Example/x:1",
        "ghcr.io/example/x@sha256:abc",
        "ghcr.io/example/x@md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        add(50, oci(reference));
    }
    add(50, oci(&format!("ghcr.io/example/x:{}", "t".repeat(129))));
    for name in bad_object_names() {
        add(52, from(json!({"configMap": name})));
    }
    bad
}

/// Two names of 64 characters that differ in the last.
pub fn long_names() -> [String; 2] {
    ["a", "b"].map(|last| "x".repeat(63) + last)
}

/// Writes the teams into a new directory, one file each, as a cluster has one object each.
pub fn write(directory: &Path) {
    fs::create_dir(directory).unwrap();
    let mut teams = vec![
        (GOOD.to_owned(), good()),
        (BAD.to_owned(), bad()),
        (LONG.to_owned(), long()),
        (HUNDRED.to_owned(), hundred()),
        (SPECIAL.to_owned(), special()),
    ];
    for (index, name) in bad_object_names().into_iter().enumerate() {
        let skills = [skill("web", "ghcr.io/example/web:v1")];
        let spec = json!({"imagePullSecrets": [{"name": name}], "lead": {"skills": skills}});
        teams.push((team_with_bad_secret(index), spec));
    }
    for (name, spec) in teams {
        write_team(directory, NAMESPACE, &name, &spec);
    }
    write_team(directory, "other", ELSEWHERE, &good());
}

fn write_team(directory: &Path, namespace: &str, name: &str, spec: &Value) {
    let team = json!({
        "apiVersion": "kagents.dev/v1alpha1",
        "kind": "AgentTeam",
        "metadata": {"name": name, "namespace": namespace, "generation": 3},
        "spec": spec,
    });
    fs::write(directory.join(format!("{name}.json")), team.to_string()).unwrap();
}

fn skill(name: &str, reference: &str) -> Value {
    json!({"name": name, "source": {"oci": reference}})
}

fn good() -> Value {
    let plan = skill("plan", "ghcr.io/example/skills/plan:v2");
    let style = json!({"name": "style", "source": {"configMap": "house-style"}});
    let pinned = skill("pinned", &format!("ghcr.io/example/skills/pinned@{DIGEST}"));
    json!({
        "imagePullSecrets": [{"name": "ghcr-creds"}],
        "lead": {"skills": [plan]},
        "teammates": [
            {"name": "mixed", "skills": [style, plan]},
            {"name": "files", "skills": [style]},
            {"name": "pinned", "skills": [pinned]},
            {"name": "idle"},
        ],
    })
}

fn bad() -> Value {
    let agent = |bad: BadSkill| json!({"name": bad.agent, "skills": [bad.skill]});
    let mut teammates: Vec<Value> = bad_skills().into_iter().map(agent).collect();
    let skills = [skill("plan", "ghcr.io/example/skills/plan:v2")];
    teammates.push(json!({"name": "fine", "skills": skills}));
    json!({"teammates": teammates})
}

fn long() -> Value {
    let oci = long_names().map(|name| skill(&name, "ghcr.io/example/skills/long:v1"));
    let files = long_names().map(|name| json!({"name": name, "source": {"configMap": "long"}}));
    json!({"teammates": [{"name": "oci", "skills": oci}, {"name": "files", "skills": files}]})
}

fn hundred() -> Value {
    let skills: Vec<Value> = (0..100)
        .map(|index| {
            skill(
                &format!("skill-{index}"),
                &format!("ghcr.io/example/skills/s{index}:v1"),
            )
        })
        .collect();
    json!({"lead": {"skills": skills}})
}

fn special() -> Value {
    let agent = |(index, host): (usize, &str)| {
        let reference = format!("{host}/skills/x@{DIGEST}");
        json!({"name": format!("host-{index}"), "skills": [skill("x", &reference)]})
    };
    let teammates: Vec<Value> = SPECIAL_HOSTS.into_iter().enumerate().map(agent).collect();
    json!({"teammates": teammates})
}
