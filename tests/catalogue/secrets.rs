//! What is in Pods, teams and requests stays out of the log, whatever the log's level.

use serde_json::{Value, json};

use super::client::{Client, SECRET, post, review_request};
use super::review::{pod, response, review};
use super::server::Server;
use super::teams::{BAD, GOOD, bad_skills};

fn planted() -> Vec<Value> {
    let mut pods = vec![
        pod(GOOD, "mixed"),
        pod(GOOD, "nobody"),
        pod("nobody", "lead"),
        pod(BAD, "fine"),
    ];
    pods.extend(
        bad_skills()
            .iter()
            .filter(|bad| bad.row == 50)
            .map(|bad| pod(BAD, &bad.agent)),
    );
    for (pointer, value) in [
        ("/spec/containers/0/args", json!("--token=hunter2")),
        ("/spec/containers/0/command", json!({"hunter2": "hunter2"})),
        ("/spec/hostNetwork", json!("hunter2")),
        ("/spec/volumes", json!({"hunter2": []})),
        ("/metadata/annotations", json!("hunter2")),
        ("/metadata/namespace", json!(["hunter2"])),
    ] {
        let mut odd = pod(GOOD, "lead");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        odd.pointer_mut(parent).unwrap()[key] = value;
        pods.push(odd);
    }
    for pod in &mut pods {
        if pod["metadata"]["annotations"].is_null() {
            pod["metadata"]["annotations"] = json!({"example.com/token": SECRET, SECRET: "x"});
        }
        if pod["spec"]["volumes"].is_null() {
            let attributes = json!({"volumeAttributes": {"password": SECRET}});
            pod["spec"]["volumes"] = json!([{"name": "disk", "csi": attributes}]);
        }
    }
    pods
}

/// Objects are seen before their names are judged, so a name may be anything.
#[test]
fn names_of_any_length_and_kind_make_short_lines() {
    let server = Server::start(&[]);
    let containers = |count: usize, name: &str| {
        let mut pod = pod(GOOD, "lead");
        let containers = (0..count).map(|index| json!({"name": format!("{name}{index}")}));
        pod["spec"]["containers"] = containers.collect();
        pod
    };
    let long = "x".repeat(1 << 20);
    let mut mounted = pod(GOOD, "lead");
    let mount = json!({"name": long, "mountPath": "/var/claude-skills/plan/".to_owned() + &long});
    mounted["spec"]["containers"][0] = json!({"name": long, "volumeMounts": [mount]});
    let mut reviews: Vec<Value> = [
        containers(5_000, "c"),
        containers(2, &long),
        containers(2, "a\nb: "),
        mounted,
    ]
    .iter()
    .map(review)
    .collect();
    for pointer in ["/request/object/metadata/name", "/request/namespace"] {
        for name in [&long, "\r\nlevel: ERROR", "\0"] {
            let mut review = review(&pod("nobody", "lead"));
            *review.pointer_mut(pointer).unwrap() = json!(name);
            reviews.push(review);
        }
    }
    let mut annotated = pod(GOOD, "lead");
    annotated["metadata"]["annotations"] = json!({"kagents.dev/skill-container": long});
    reviews.push(review(&annotated));
    for review in reviews {
        let request = review_request(&serde_json::to_vec(&review).unwrap());
        let answer = Client::connect(&server).exchange(&request).unwrap();
        let response = response(&answer, &review);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(
            message.len() < 1024 && !message.contains(['\n', '\r', '\0']),
            "{message}"
        );
    }
    server.assert_well();
}

#[test]
fn secrets_stay_out_of_the_log_and_out_of_answers() {
    for level in ["info", "agentteam_webhook=trace,debug"] {
        let server = Server::start(&["--log", level]);
        let mut bodies: Vec<Value> = planted().iter().map(review).collect();
        let mut malformed = review(&pod(GOOD, "lead"));
        malformed["request"]["userInfo"] = json!({"extra": SECRET});
        malformed["request"]["kind"] = json!(SECRET);
        bodies.push(malformed);
        bodies.push(json!(SECRET));
        let mut requests: Vec<Vec<u8>> = bodies
            .iter()
            .map(|body| review_request(&serde_json::to_vec(body).unwrap()))
            .collect();
        let authorized =
            format!("content-type: application/json\r\nauthorization: Bearer {SECRET}\r\n");
        requests.push(post("/mutate", &authorized, b"{}"));
        // Fewer than are logged a second, so each of them would be.
        assert!(requests.len() < 50);
        for request in requests {
            let answer = Client::connect(&server).exchange(&request).unwrap();
            if !answer.text().contains("\"patch\"") {
                assert!(!answer.text().contains(SECRET), "{}", answer.text());
            }
        }
        server.assert_well();
        assert!(
            server
                .log()
                .iter()
                .any(|line| line.contains("InvalidSkill"))
        );
        assert!(
            server
                .log()
                .iter()
                .any(|line| line.contains("MalformedPod"))
        );
    }
}
