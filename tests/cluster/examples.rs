//! The examples, applied as a person applies them, and their Pods through the webhook.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentteam_webhook::yaml;
use serde_json::{Value, json};

use crate::scene::{Scene, find};

/// The directories of `examples/` that hold a team.
fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("workloads.yaml").exists())
        .collect();
    found.sort();
    assert!(found.len() >= 2, "{found:?}");
    found
}

/// The Pods that the workloads of an example would make, by the name of the workload.
async fn pods(example: &Path) -> BTreeMap<String, Value> {
    let scene = Scene::new("examples", &[]).await;
    let path = example.display().to_string();
    let args = ["apply", "-n", &scene.namespace, "-f", &path, "-o", "json"];
    let applied: Value = serde_json::from_str(&scene.rig.kubectl(&args, "").success()).unwrap();
    let mut pods = BTreeMap::new();
    for object in applied["items"].as_array().unwrap() {
        let template = match object["kind"].as_str().unwrap() {
            "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
            _ => &object["spec"]["template"],
        };
        if template.is_null() {
            continue;
        }
        let mut pod = template.clone();
        pod["metadata"]["generateName"] = json!("agent-");
        let name = object["metadata"]["name"].as_str().unwrap();
        pods.insert(name.to_owned(), scene.create(&pod).await.unwrap());
    }
    pods
}

/// The skills that are mounted in a container, in order.
fn mounted(pod: &Value, container: &str) -> Vec<String> {
    let container = find(&pod["spec"]["containers"], container);
    let mounts = container["volumeMounts"].as_array().unwrap();
    mounts
        .iter()
        .filter_map(|mount| {
            mount["mountPath"]
                .as_str()?
                .strip_prefix("/var/claude-skills/")
        })
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_public_skill_and_a_private_one() {
    let pods = pods(&examples()[1]).await;
    let (researcher, report) = (&pods["researcher"], &pods["weekly-report"]);

    assert_eq!(
        mounted(researcher, "claude-code"),
        ["report-writing", "web-research"]
    );
    assert_eq!(mounted(report, "claude-code"), ["report-writing"]);
    for pod in [researcher, report] {
        assert_eq!(
            find(&pod["spec"]["volumes"], "skill-auth")["secret"]["secretName"],
            "registry-example-com"
        );
        assert_eq!(
            pod["spec"]["imagePullSecrets"],
            json!([{"name": "registry-example-com"}])
        );
    }
    // Both pullers are told of the Secret; a registry is sent no more than is for it.
    for (skill, reference) in [
        ("web-research", "ghcr.io/example/skills/web-research:v1"),
        (
            "report-writing",
            "registry.example.com/research/report-writing:v1",
        ),
    ] {
        let puller = find(
            &researcher["spec"]["initContainers"],
            &format!("pull-skill-{skill}"),
        );
        assert_eq!(
            puller["command"].as_array().unwrap().last().unwrap(),
            reference
        );
        assert_eq!(
            find(&puller["env"], "DOCKER_CONFIG")["value"],
            "/auth/.docker"
        );
    }
}

#[tokio::test]
async fn a_skill_from_a_config_map_and_one_from_a_registry() {
    let pods = pods(&examples()[0]).await;
    let reviewer = &pods["reviewer"];

    assert_eq!(mounted(reviewer, "agent"), ["house-style", "code-review"]);
    assert!(
        find(&reviewer["spec"]["containers"], "clock")["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|mount| !mount["name"].as_str().unwrap().starts_with("skill-"))
    );
    let volumes = &reviewer["spec"]["volumes"];
    assert_eq!(
        find(volumes, "skill-house-style")["configMap"]["name"],
        "house-style"
    );
    assert!(find(volumes, "skill-code-review")["emptyDir"].is_object());
    assert!(find(volumes, "skill-auth").is_null());
}

/// Every skill that a team names has its source beside it, as a skill has to be.
#[test]
fn the_sources_of_the_skills_are_there() {
    for example in examples() {
        let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
        let team: Value = yaml::parse(&read("team.yaml")).unwrap();
        let teammates = team["spec"]["teammates"].as_array().unwrap();
        let lists = [&team["spec"]["skills"], &team["spec"]["lead"]["skills"]];
        let lists = lists
            .into_iter()
            .chain(teammates.iter().map(|agent| &agent["skills"]));
        let mut named: Vec<_> = lists.filter_map(Value::as_array).flatten().collect();
        named.sort_by_key(|skill| skill["name"].as_str());
        let mut sources: Vec<_> = std::fs::read_dir(example.join("skills"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        sources.sort();
        assert_eq!(
            named
                .iter()
                .map(|skill| skill["name"].as_str().unwrap())
                .collect::<Vec<_>>(),
            sources
        );
        for skill in named {
            let name = skill["name"].as_str().unwrap();
            let text = read(&format!("skills/{name}/SKILL.md"));
            let front_matter: Value = yaml::parse(text.split("---\n").nth(1).unwrap()).unwrap();
            assert_eq!(front_matter["name"], name);
            assert!(front_matter["description"].as_str().unwrap().len() <= 1024);
            if skill["source"]["configMap"].is_string() {
                let map: Value = yaml::parse(&read(&format!("{name}.yaml"))).unwrap();
                assert_eq!(map["data"], json!({"SKILL.md": text}));
            }
        }
    }
}
