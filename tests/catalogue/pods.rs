//! Rows 22–26, 28 and 30–38: Pods of every shape, and what they get.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};

use super::review::{Patched, Session, only_grew, pod, review};
use super::teams::{GOOD, HUNDRED, LONG};

const RECORD: &str = "kagents.dev/skills";

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

fn injected(agent: &str) -> Patched {
    Session::open().patched(&review(&pod(GOOD, agent)))
}

#[test]
fn row_22_absent_null_and_empty() {
    let mut session = Session::open();
    let fields = [
        ("/spec", "initContainers", json!([])),
        ("/spec", "volumes", json!([])),
        ("/spec", "imagePullSecrets", json!([])),
        ("/spec/containers/0", "volumeMounts", json!([])),
        ("/spec/containers/0", "env", json!([])),
        ("/metadata", "annotations", json!({})),
    ];
    // Every field in each of three states, in every combination.
    for combination in 0..3_usize.pow(6) {
        let mut pod = pod(GOOD, "mixed");
        for (index, (parent, key, empty)) in fields.iter().enumerate() {
            let parent = pod.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match combination / 3_usize.pow(u32::try_from(index).unwrap()) % 3 {
                0 => parent.remove(*key),
                1 => parent.insert((*key).to_owned(), json!(null)),
                _ => parent.insert((*key).to_owned(), empty.clone()),
            };
        }
        session.patched(&review(&pod));
    }
}

#[test]
fn row_23_no_containers() {
    let mut session = Session::open();
    let mut pod = pod(GOOD, "lead");
    for containers in [json!(null), json!([])] {
        pod["spec"]["containers"] = containers;
        let denial = session.denied(&review(&pod), 422);
        assert_eq!(denial.word, "NoContainers");
    }
    pod["spec"].as_object_mut().unwrap().remove("containers");
    session.denied(&review(&pod), 422);
    pod["spec"] = json!(null);
    session.denied(&review(&pod), 422);
}

#[test]
fn row_24_fields_of_the_future() {
    let future = json!({"a": [1, null, {"b/~c": 1.5e300, "": "ü\u{0}"}], "$patch": "delete"});
    let mut pod = pod(GOOD, "mixed");
    pod["spec"]["initContainers"] = json!([{"name": "first", "image": "x"}]);
    pod["spec"]["volumes"] = json!([{"name": "disk", "futureKind": {"x": 1}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "disk", "mountPath": "/disk"}]);
    for pointer in [
        "",
        "/metadata",
        "/spec",
        "/spec/containers/0",
        "/spec/containers/0/env/0",
        "/spec/containers/0/volumeMounts/0",
        "/spec/initContainers/0",
        "/spec/volumes/0",
    ] {
        pod.pointer_mut(pointer).unwrap()["future"] = future.clone();
    }
    let patched = Session::open().patched(&review(&pod));
    for operation in patched.operations {
        assert_eq!(operation["op"], "add", "{operation}");
    }
}

#[test]
fn row_25_our_own_output() {
    // `patched` sends every output again; here both ways of saying the team, and a third round.
    let mut session = Session::open();
    let mut pod = pod(GOOD, "mixed");
    pod["metadata"]["labels"]["kagents.dev/team"] = json!(GOOD);
    let mut patched = session.patched(&review(&pod)).pod;
    patched["metadata"]["namespace"] = json!("agents");
    session.allowed(&review(&patched));
}

#[test]
fn row_26_our_container_with_another_image() {
    let mut session = Session::open();
    let ours = injected("lead").pod;
    let puller = || ours["spec"]["initContainers"][0].clone();
    assert_eq!(puller()["name"], "pull-skill-plan");
    let mut other_image = puller();
    other_image["image"] = json!("registry.example/oras:v9");
    let mut other_command = puller();
    other_command["command"] = json!(["oras", "pull", "ghcr.io/example/skills/plan:v3"]);
    for other in [other_image, other_command] {
        let mut complete = ours.clone();
        complete["spec"]["initContainers"][0] = other.clone();
        let response = session.response(&review(&complete));
        assert_eq!(response["allowed"], true, "{response}");
        assert!(
            response["warnings"][0]
                .as_str()
                .unwrap()
                .contains("pull-skill-plan"),
            "{response}"
        );

        // The container alone, of an operator that has its own volumes to come: it stays as it is.
        let mut bare = pod(GOOD, "lead");
        bare["spec"]["initContainers"] = json!([other]);
        let patched = session.patched_anyhow(&review(&bare));
        assert_eq!(only_grew(&bare, &patched.pod), Ok(()));
        assert_eq!(patched.pod["spec"]["initContainers"], json!([other]));
        assert!(
            patched.warnings[0].contains("pull-skill-plan"),
            "{:?}",
            patched.warnings
        );
    }
}

#[test]
fn row_28_forged_record() {
    let mut session = Session::open();
    let truth = injected("lead").pod;
    for forged in [
        "",
        "true",
        "{\"team\":\"good\",\"agent\":\"lead\",\"skills\":[]}",
        truth["metadata"]["annotations"][RECORD].as_str().unwrap(),
    ] {
        let mut pod = pod(GOOD, "lead");
        pod["metadata"]["annotations"] = json!({RECORD: forged, "other": "kept"});
        let patched = session.patched_anyhow(&review(&pod)).pod;
        assert_eq!(patched["spec"], truth["spec"]);
        assert_eq!(
            patched["metadata"]["annotations"][RECORD],
            truth["metadata"]["annotations"][RECORD]
        );
        assert_eq!(patched["metadata"]["annotations"]["other"], "kept");
    }
}

#[test]
fn row_30_long_names() {
    let mut session = Session::open();
    for agent in ["oci", "files"] {
        let pod = session.patched(&review(&pod(LONG, agent))).pod;
        let lists = ["initContainers", "volumes"].map(|list| names(&pod["spec"][list]));
        for list in lists {
            let distinct: HashSet<_> = list.iter().collect();
            assert_eq!(distinct.len(), list.len(), "{list:?}");
            assert!(list.iter().all(|name| name.len() <= 63), "{list:?}");
        }
        let mounts = pod["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap();
        let paths: HashSet<_> = mounts
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        assert_eq!(paths.len(), 2, "{paths:?}");
        let whole = |path: &&str| Path::new(path).file_name().unwrap().len() == 64;
        assert!(paths.iter().all(whole), "{paths:?}");
    }
}

#[test]
fn row_31_a_hundred_skills_and_fifty_containers() {
    let mut large = pod(HUNDRED, "lead");
    for index in 1..50 {
        let name = format!("c{index}");
        large["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": name, "image": "x"}));
    }
    let patched = Session::open().patched(&review(&large));
    assert!(patched.length < 1 << 20, "{}", patched.length);
    assert_eq!(names(&patched.pod["spec"]["initContainers"]).len(), 100);
}

#[test]
fn row_32_windows() {
    let mut session = Session::open();
    for spec in [
        json!({"os": {"name": "windows"}}),
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
    ] {
        let mut windows = pod(GOOD, "lead");
        for (key, value) in spec.as_object().unwrap() {
            windows["spec"][key] = value.clone();
        }
        assert_eq!(session.denied(&review(&windows), 422).word, "WindowsPod");
    }
    let mut linux = pod(GOOD, "lead");
    linux["spec"]["os"] = json!({"name": "linux"});
    linux["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    session.patched(&review(&linux));
}

#[test]
fn row_33_host_network() {
    let mut on_host = pod(GOOD, "lead");
    on_host["spec"]["hostNetwork"] = json!(true);
    let warned = |patched: &Patched| {
        patched
            .warnings
            .iter()
            .any(|warning| warning.contains("hostNetwork"))
    };
    assert!(warned(&Session::open().patched(&review(&on_host))));
    assert!(!warned(&injected("lead")));
}

#[test]
fn row_34_user_namespace() {
    let mut isolated = pod(GOOD, "mixed");
    isolated["spec"]["hostUsers"] = json!(false);
    Session::open().patched(&review(&isolated));
}

#[test]
fn row_35_order_of_init_containers() {
    let mut session = Session::open();
    for (before, after) in [
        (json!([]), json!([{"name": "migrate"}])),
        (
            json!([{"name": "proxy", "restartPolicy": "Always"}]),
            json!([]),
        ),
        (
            json!([{"name": "istio-init"}, {"name": "istio-proxy", "restartPolicy": "Always"}, {"name": "vpn", "restartPolicy": "Always"}]),
            json!([{"name": "migrate"}, {"name": "wait", "restartPolicy": "OnFailure"}]),
        ),
    ] {
        let mut meshed = pod(GOOD, "lead");
        let all = [
            before.as_array().unwrap().clone(),
            after.as_array().unwrap().clone(),
        ]
        .concat();
        meshed["spec"]["initContainers"] = json!(all);
        let patched = session.patched(&review(&meshed)).pod;
        let expected = [names(&before), vec!["pull-skill-plan"], names(&after)].concat();
        assert_eq!(names(&patched["spec"]["initContainers"]), expected);
    }
}

/// That the Pod is then admitted is seen in `tests/cluster`.
#[test]
fn row_37_restricted_and_with_limits() {
    let pod = injected("lead").pod;
    let puller = &pod["spec"]["initContainers"][0];
    let context = &puller["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert!(context["runAsUser"].as_i64().unwrap() > 0);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
    for kind in ["requests", "limits"] {
        assert!(
            puller["resources"][kind]["cpu"].is_string()
                && puller["resources"][kind]["memory"].is_string()
        );
    }
}

/// What the `ServiceAccount` brings is seen in `tests/cluster`.
#[test]
fn row_38_pull_secrets() {
    let mut session = Session::open();
    for (listed, expected) in [
        (json!([{"name": "ghcr-creds"}]), vec!["ghcr-creds"]),
        (
            json!([{"name": "mine"}, {"name": "ghcr-creds"}]),
            vec!["mine", "ghcr-creds"],
        ),
        (
            json!([{"name": "mine"}, {"name": "other"}]),
            vec!["mine", "other", "ghcr-creds"],
        ),
        (json!([]), vec!["ghcr-creds"]),
    ] {
        let mut pod = pod(GOOD, "lead");
        pod["spec"]["imagePullSecrets"] = listed;
        let patched = session.patched(&review(&pod)).pod;
        assert_eq!(names(&patched["spec"]["imagePullSecrets"]), expected);
    }
}
