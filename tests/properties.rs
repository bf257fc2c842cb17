//! Properties of the patch, for Pods of every shape that a Pod can have.
//!
//! `PROPTEST_CASES` says how many; `make nightly` takes 100,000.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing"
)]

#[path = "common/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use agentteam_webhook::api::Group;
use agentteam_webhook::inject::delivery::Delivery;
use agentteam_webhook::inject::pod::Pod;
use agentteam_webhook::inject::{
    Fresh, Injection, Reason, ServerVersion, Settings, Target, inject,
};
use agentteam_webhook::json::reader::Reader;
use agentteam_webhook::skill::Source;
use agentteam_webhook::team::{Identity, Team};
use bumpalo::Bump;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Where a puller finds the keys that are asked for.
const KEY_FILE: &str = "/etc/agentteam-webhook/verify-key/signers/cosign.pub";

/// A team whose agents have every mixture of skills.
fn team() -> Team {
    team_asking(None)
}

/// The same, asking for signatures by the keys in a `ConfigMap`.
fn team_asking(verify_key: Option<&str>) -> Team {
    let long = "x".repeat(63);
    let spec = json!({
        "imagePullSecrets": [{"name": "first"}, {"name": "second"}],
        "skills": [{"name": "shared", "source": {"configMap": "shared"}}],
        "lead": {"skills": [{"name": "plan", "source": {"oci": "ghcr.io/x/plan:v1"}}]},
        "teammates": [
            {"name": "mixed", "skills": [
                {"name": "web", "source": {"oci": "ghcr.io/x/web:v1"}},
                {"name": "auth", "source": {"oci": "ghcr.io/x/auth:v1"}},
                {"name": "style", "source": {"configMap": "style"}},
                {"name": format!("{long}a"), "source": {"oci": "ghcr.io/x/long-a:v1"}},
                {"name": format!("{long}b"), "source": {"configMap": "long-b"}},
            ]},
            {"name": "idle"},
            {"name": "broken", "skills": [{"name": "none", "source": {}}]},
        ],
    });
    Team::read(
        Identity {
            namespace: "ns".into(),
            name: "team".into(),
            generation: 7,
            verify_key: verify_key.map(Into::into),
            ..Identity::default()
        },
        &spec,
    )
}

/// A value that no type of ours knows.
fn unknown() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9_f64..1e9).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z/~]{1,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// `fields`, and perhaps one of the future among them.
fn object(fields: Vec<(&'static str, Value)>, future: Option<Value>) -> Value {
    let mut map: Map<_, _> = fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    if let Some(future) = future {
        map.insert("fieldOfTomorrow".into(), future);
    }
    Value::Object(map)
}

/// A list that may be absent, null or empty.
fn list(items: impl Strategy<Value = Vec<Value>>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!([]))),
        5 => items.prop_map(|items| Some(Value::from(items))),
    ]
}

fn mount() -> impl Strategy<Value = Value> {
    let names = select(vec![
        "data",
        "skill-web",
        "skill-style",
        "skill-shared",
        "token",
    ]);
    let paths = select(vec![
        "/data",
        "/var",
        "/var/claude-skills",
        "/var/claude-skills/web",
        "/var//claude-skills/style/",
        "/var/claude-skills/web/sub",
        "/var/claude-skills/shared",
    ]);
    (names, paths, prop::option::weighted(0.2, unknown())).prop_map(|(name, path, future)| {
        object(
            vec![("name", json!(name)), ("mountPath", json!(path))],
            future,
        )
    })
}

fn container(names: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let policy = prop::option::weighted(0.3, select(vec!["Always", "OnFailure"]));
    let user = prop::option::of(select(vec![0_i64, 1000, 65532]));
    (
        select(names),
        policy,
        user,
        list(unique("mountPath", prop::collection::vec(mount(), 0..3))),
        prop::option::of(select(vec![
            "web=ghcr.io/x/web:v1",
            "web=other:2",
            "auth=x",
            "web",
            KEY_FILE,
        ])),
        prop::option::weighted(0.3, unknown()),
    )
        .prop_map(|(name, policy, user, mounts, word, future)| {
            let mut fields = vec![("name", json!(name)), ("image", json!("image:1"))];
            fields.extend(policy.map(|policy| ("restartPolicy", json!(policy))));
            fields.extend(user.map(|user| ("securityContext", json!({"runAsUser": user}))));
            fields.extend(word.map(|word| {
                let flag = if word == KEY_FILE {
                    "--verify-key"
                } else {
                    "--skill"
                };
                ("args", json!([flag, word]))
            }));
            fields.extend(mounts.map(|mounts| ("volumeMounts", mounts)));
            object(fields, future)
        })
}

/// The API server lets no two items of a list have one name, or one path.
fn unique(
    key: &'static str,
    items: impl Strategy<Value = Vec<Value>>,
) -> impl Strategy<Value = Vec<Value>> {
    items.prop_map(move |items| {
        let mut seen = std::collections::HashSet::new();
        items
            .into_iter()
            .filter(|item| seen.insert(item[key].to_string()))
            .collect()
    })
}

fn volume() -> impl Strategy<Value = Value> {
    let names = select(vec![
        "data",
        "skill-web",
        "skill-style",
        "skill-shared",
        "skill-auth",
        "pull-skills-tmp",
        "pull-skills-key",
    ]);
    let source = select(vec![
        ("emptyDir", json!({})),
        ("configMap", json!({"name": "style"})),
        ("image", json!({"reference": "ghcr.io/x/web:v1"})),
        ("secret", json!({})),
        ("csi", json!({})),
    ]);
    (names, source).prop_map(|(name, (kind, source))| json!({"name": name, (kind): source}))
}

fn delivery() -> impl Strategy<Value = Delivery> {
    select(vec![Delivery::Oras, Delivery::Puller, Delivery::Image])
}

prop_compose! {
    fn labels()(
        agent in prop::option::weighted(0.9, select(vec!["mixed", "mixed", "mixed", "lead", "idle", "broken", "nobody"])),
        role in prop::option::weighted(0.2, select(vec!["lead", "teammate"])),
        other in prop::option::weighted(0.2, select(vec!["team", "another"])),
        inject in prop::option::weighted(0.05, Just("false")),
    ) -> Value {
        let mut labels = Map::from_iter([("kagents.dev/agent-team".to_owned(), json!("team"))]);
        let pairs = [("kagents.dev/agent", agent), ("kagents.dev/role", role), ("kagents.dev/team", other), ("kagents.dev/inject", inject)];
        labels.extend(pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))));
        Value::Object(labels)
    }
}

prop_compose! {
    fn pod()(
        labels in labels(),
        annotations in prop::option::of(prop_oneof![
            Just(Value::Null), Just(json!({})), Just(json!({"kagents.dev/skills": "forged"})), Just(json!({"a/b~c": "\u{2028}\""})),
        ]),
        containers in unique("name", prop::collection::vec(container(vec!["claude-code", "main", "log"]), 0..3)),
        init_containers in list(unique("name", prop::collection::vec(container(vec!["init", "mesh", "pull-skill-web", "pull-skills", "pull-skills-2"]), 0..5))),
        volumes in list(unique("name", prop::collection::vec(volume(), 0..3))),
        secrets in list(prop::collection::vec(select(vec!["first", "other"]).prop_map(|name| json!({"name": name})), 0..3)),
        restart_policy in prop::option::of(select(vec!["Always", "OnFailure", "Never"])),
        user in prop::option::weighted(0.3, select(vec![0_i64, 1000])),
        host_network in prop::option::weighted(0.3, any::<bool>()),
        future in prop::option::weighted(0.5, unknown()),
        spec_future in prop::option::weighted(0.5, unknown()),
    ) -> Value {
        let mut metadata = vec![("name", json!("pod")), ("labels", labels)];
        metadata.extend(annotations.map(|annotations| ("annotations", annotations)));
        let mut spec = vec![("containers", json!(containers))];
        spec.extend(init_containers.map(|list| ("initContainers", list)));
        spec.extend(volumes.map(|list| ("volumes", list)));
        spec.extend(secrets.map(|list| ("imagePullSecrets", list)));
        spec.extend(restart_policy.map(|policy| ("restartPolicy", json!(policy))));
        spec.extend(user.map(|user| ("securityContext", json!({"runAsUser": user}))));
        spec.extend(host_network.map(|host| ("hostNetwork", json!(host))));
        object(vec![("kind", json!("Pod")), ("metadata", object(metadata, None)), ("spec", object(spec, spec_future))], future)
    }
}

/// What the product makes of a Pod; nothing where the Pod names no team.
fn injected(pod: &Value, delivery: Delivery) -> Option<Result<Injection, Reason>> {
    injected_by(&team(), pod, delivery).map(|made| made.map(|(injection, _)| injection))
}

/// The same by another team, and all that decided about it where the Pod had nothing of ours.
fn injected_by(
    team: &Team,
    pod: &Value,
    delivery: Delivery,
) -> Option<Result<(Injection, Option<Fresh>), Reason>> {
    let mut settings = Settings::new(&Group::default());
    settings.delivery = delivery;
    settings.puller.webhook_image = Some("ghcr.io/x/webhook:v1".parse().unwrap());
    let (text, arena) = (pod.to_string(), Bump::new());
    let pod = Pod::read(&mut Reader::new(&text, &arena)).unwrap();
    let target = match Target::of(&pod, &settings.keys) {
        Ok(target) => target?,
        Err(reason) => return Some(Err(reason)),
    };
    let server = Some(ServerVersion {
        major: 1,
        minor: 36,
    });
    let fresh = Fresh::of(&pod, &target, team, &settings, server);
    let injection = inject(&pod, &target, team, &settings, server);
    Some(injection.map(|injection| (injection, fresh)))
}

/// Whether `after` has all that `before` had: the same scalars, every key, and every item of a list in the same order.
fn only_added(before: &Value, after: &Value, path: &str) -> Result<(), String> {
    match (before, after) {
        _ if path == "/metadata/annotations/kagents.dev/skills" => Ok(()),
        (Value::Object(before), Value::Object(after)) => {
            before.iter().try_for_each(|(key, value)| {
                let path = format!("{path}/{key}");
                only_added(
                    value,
                    after.get(key).ok_or_else(|| format!("{path} is gone"))?,
                    &path,
                )
            })
        }
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            before.iter().try_for_each(|item| {
                let kept = rest.any(|candidate| only_added(item, candidate, path).is_ok());
                if kept {
                    Ok(())
                } else {
                    Err(format!("an item of {path} is gone"))
                }
            })
        }
        (Value::Null, Value::Array(_) | Value::Object(_)) => Ok(()),
        _ if before == after => Ok(()),
        _ => Err(format!("{path} was {before} and is {after}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases::cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_patch_applies_and_only_adds_and_twice_is_nothing(pod in pod(), first in delivery(), second in delivery()) {
        let Some(Ok(injection)) = injected(&pod, first) else { return Ok(()) };
        let mut once = pod.clone();
        injection.patch.apply(&mut once).expect("the patch applies");
        if let Err(problem) = only_added(&pod, &once, "") {
            return Err(TestCaseError::fail(problem));
        }
        // Also where the mode was changed meanwhile.
        let again = injected(&once, second).expect("it names a team").expect("and is allowed again");
        prop_assert!(again.skills.is_empty(), "{:?}", again.patch);
        prop_assert!(again.patch.is_empty() || first != second, "{:?}", again.patch);
        prop_assert_eq!(injection.patch.is_empty(), once == pod);
        // Another webhook adds a container, and ours is asked again.
        let mut later = once.clone();
        later["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late", "image": "late:1"}));
        if !injection.skills.is_empty() {
            prop_assert!(injected(&later, first).unwrap().unwrap().patch.is_empty());
        }
        complete(&once, &injection)?;
    }

    #[test]
    fn what_is_said_to_decide_about_a_pod_decides_alone(pod in pod(), delivery in delivery()) {
        static MADE: LazyLock<Mutex<BTreeMap<Fresh, Injection>>> = LazyLock::new(<_>::default);
        let Some(Ok((injection, Some(fresh)))) = injected_by(&team(), &pod, delivery) else { return Ok(()) };
        let mut made = MADE.lock().unwrap();
        let before = made.entry(fresh).or_insert_with(|| injection.clone());
        prop_assert_eq!(&before.patch, &injection.patch);
        prop_assert_eq!(&before.warnings, &injection.warnings);
        prop_assert_eq!((&before.agent, &before.skills), (&injection.agent, &injection.skills));
    }

    #[test]
    fn where_signatures_are_asked_for_nothing_comes_without(pod in pod(), delivery in delivery()) {
        let team = team_asking(Some("signers"));
        let Some(Ok((injection, _))) = injected_by(&team, &pod, delivery) else { return Ok(()) };
        let mut made = pod.clone();
        injection.patch.apply(&mut made).expect("the patch applies");
        let agent = team.agent(&injection.agent).unwrap();
        for skill in agent.skills().flatten() {
            if let Source::Oci(reference) = &skill.source {
                prop_assert!(is_checked(&made, skill.name.as_str(), reference.as_str()), "{}", skill.name);
            }
        }
        let again = injected_by(&team, &made, delivery).expect("it names a team").expect("and is allowed again");
        prop_assert!(again.0.patch.is_empty(), "{:?}", again.0.patch);
    }

    #[test]
    fn whatever_comes_there_is_an_answer(pod in unknown(), key in select(vec!["metadata", "spec", "kind"])) {
        let text = json!({(key): pod}).to_string();
        let arena = Bump::new();
        if let Ok(pod) = Pod::read(&mut Reader::new(&text, &arena)) {
            let settings = Settings::new(&Group::default());
            let _ = Target::of(&pod, &settings.keys);
        }
    }
}

/// Each skill of the agent is mounted in its container, from a volume that is there, with a puller where it needs one.
fn complete(pod: &Value, injection: &Injection) -> Result<(), TestCaseError> {
    let team = team();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let spec = &pod["spec"];
    let containers = items(&spec["containers"]);
    let agent = containers
        .iter()
        .find(|container| container["name"] == injection.container.as_str())
        .unwrap();
    for skill in team.agent(&injection.agent).unwrap().skills() {
        let path = format!("/var/claude-skills/{}", skill.as_ref().unwrap().name);
        let mounts = items(&agent["volumeMounts"]);
        let mount = mounts.iter().find(|mount| {
            mount["mountPath"]
                .as_str()
                .unwrap()
                .replace("//", "/")
                .trim_end_matches('/')
                == path
        });
        let Some(mount) = mount else {
            return Err(TestCaseError::fail(format!("{path} is not mounted")));
        };
        let volumes = items(&spec["volumes"]);
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"]);
        prop_assert!(volume.is_some(), "{} has no volume", mount["name"]);
        if volume.is_some_and(|volume| volume["emptyDir"].is_object()) {
            let fills = |container: &Value| {
                items(&container["volumeMounts"])
                    .iter()
                    .any(|inner| inner["name"] == mount["name"])
            };
            let ours = |container: &Value| {
                let name = container["name"].as_str().unwrap();
                let prefix = format!("{}=", skill.as_ref().unwrap().name);
                let words = [items(&container["command"]), items(&container["args"])].concat();
                name.starts_with("pull-skill-")
                    || (name.starts_with("pull-skills")
                        && words
                            .iter()
                            .any(|word| word.as_str().unwrap().starts_with(&prefix)))
            };
            prop_assert!(
                items(&spec["initContainers"])
                    .iter()
                    .any(|container| fills(container) || ours(container))
            );
        }
    }
    Ok(())
}

/// Whether exactly one container of our image pulls the skill, and looks for signatures by the team's keys.
fn is_checked(pod: &Value, skill: &str, reference: &str) -> bool {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let named =
        |list: &Value, name: &str| items(list).into_iter().find(|item| item["name"] == name);
    let prefix = format!("{skill}=");
    let pullers: Vec<_> = items(&pod["spec"]["initContainers"])
        .into_iter()
        .map(|container| {
            let words = [items(&container["command"]), items(&container["args"])].concat();
            let words = words
                .into_iter()
                .map(|word| word.as_str().unwrap().to_owned());
            (words.collect::<Vec<_>>(), container)
        })
        .filter(|(words, container)| {
            let name = container["name"].as_str().unwrap();
            let pulls = words.iter().any(|word| word.starts_with(&prefix));
            name == format!("pull-skill-{skill}") || name.starts_with("pull-skills") && pulls
        })
        .collect();
    let [(words, puller)] = pullers.as_slice() else {
        return false;
    };
    let keys = named(&pod["spec"]["volumes"], "pull-skills-key").unwrap_or_default();
    let mount = named(&puller["volumeMounts"], "pull-skills-key").unwrap_or_default();
    puller["image"] == "ghcr.io/x/webhook:v1"
        && words.contains(&format!("{skill}={reference}"))
        && words
            .windows(2)
            .filter(|pair| pair[0] == "--verify-key")
            .eq([["--verify-key", KEY_FILE]])
        && mount["mountPath"] == "/etc/agentteam-webhook/verify-key/signers"
        && keys["configMap"]["name"] == "signers"
}
