//! How the cost of an admission grows with what there is.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::common;
use super::contender::{Contender, Files, Running};
use super::load::{Amount, Connections, Protocol};
use super::report::Spread;
use super::shape::Shape;

const SKILLS: [usize; 8] = [0, 1, 2, 5, 10, 20, 50, 100];
const POD_KIB: [usize; 6] = [2, 8, 32, 128, 512, 1024];
const CONTAINERS: [usize; 7] = [1, 5, 10, 50, 100, 200, 500];
/// Pods of one workload have the same `managedFields` but for the time.
const WORKLOADS: [usize; 5] = [1, 10, 50, 100, 400];
const TEAMS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// How often each point is measured.
const SAMPLES: usize = 5;

/// How many of the teams are asked for.
const ASKED: usize = 1_000;

/// What grew, and what that cost.
#[derive(Serialize)]
pub struct Growth(pub Vec<Series>);

#[derive(Serialize)]
pub struct Series {
    pub name: &'static str,
    pub points: Vec<Point>,
}

#[derive(Serialize)]
pub struct Point {
    /// How much there is.
    pub of: usize,
    /// CPU of the server in milliseconds per 1,000 requests.
    pub cpu: f64,
    /// The resident memory in MiB.
    pub resident: f64,
    /// From exec to the first right answer in milliseconds, where each point has a server of its own.
    pub start: f64,
    /// The text of all teams in bytes.
    pub text: usize,
}

pub fn measure(runtime: &Runtime, product: &Contender, files: &Files, cell: Duration) -> Growth {
    let one = |running: &Running, shapes: &[Shape]| cpu(runtime, running, shapes, cell);
    let mut series = Vec::new();

    let teams: Vec<_> = SKILLS
        .iter()
        .map(|&count| common::with_skills(&format!("skills-{count}"), &skills(count)))
        .collect();
    common::write_teams(
        &files.directory,
        &[teams, vec![common::team_json("market-brief")]].concat(),
    );
    let shape = |review: &[u8]| Shape::new(review, &common::team(), &common::settings());
    let small = shape(common::SMALL);
    let (running, _) = product.start(files, &small);
    let point = |of, shapes: &[Shape]| Point {
        of,
        cpu: one(&running, shapes),
        resident: running.resident(),
        start: 0.0,
        text: 0,
    };
    let by_skills = |&count: &usize| {
        let team = common::read(&common::with_skills(
            &format!("skills-{count}"),
            &skills(count),
        ));
        let review = named(&format!("skills-{count}"));
        point(count, &[Shape::new(&review, &team, &common::settings())])
    };
    series.push(Series {
        name: "skills",
        points: SKILLS.iter().map(by_skills).collect(),
    });
    let by_size = |&kib: &usize| point(kib, &[shape(&pod_of(kib << 10))]);
    series.push(Series {
        name: "KiB of the Pod",
        points: POD_KIB.iter().map(by_size).collect(),
    });
    let by_containers = |&count: &usize| point(count, &[shape(&containers(count))]);
    series.push(Series {
        name: "containers and volumes",
        points: CONTAINERS.iter().map(by_containers).collect(),
    });
    let by_workloads = |&count: &usize| {
        let shapes: Vec<_> = (0..count).map(|number| shape(&workload(number))).collect();
        point(count, &shapes)
    };
    series.push(Series {
        name: "workloads of large Pods",
        points: WORKLOADS.iter().map(by_workloads).collect(),
    });
    drop(running);

    let by_teams = |&count: &usize| {
        let names: Vec<_> = (0..count)
            .map(|number| format!("brief-{number:06}"))
            .collect();
        let shapes = of_teams(files, &names);
        let (running, start) = product.start(files, &shapes[0]);
        let text = names
            .iter()
            .map(|name| common::team_json(name).to_string().len())
            .sum();
        Point {
            of: count,
            cpu: one(&running, &shapes),
            resident: running.resident(),
            start: start.as_secs_f64() * 1e3,
            text,
        }
    };
    series.push(Series {
        name: "teams",
        points: TEAMS.iter().map(by_teams).collect(),
    });
    Growth(series)
}

/// Milliseconds per 1,000 requests, in the median.
fn cpu(runtime: &Runtime, running: &Running, shapes: &[Shape], cell: Duration) -> f64 {
    let connect = || Connections::open(runtime, &running.target, Protocol::Http1, 8);
    let warm_up = Amount::Requests(u64::try_from(shapes.len()).unwrap().max(100));
    connect().closed(runtime, shapes, warm_up);
    let sample = |_| connect().cost(runtime, running, shapes, cell).cpu;
    Spread::of((0..SAMPLES).map(sample).collect())
        .unwrap()
        .median
}

/// Writes teams of these names, and gives shapes of Pods of up to 1,000 of them.
pub fn of_teams(files: &Files, names: &[String]) -> Vec<Shape> {
    let teams: Vec<_> = names.iter().map(|name| common::team_json(name)).collect();
    common::write_teams(&files.directory, &teams);
    let step = names.len().div_ceil(ASKED);
    let shape = |name: &String| {
        Shape::new(
            &named(name),
            &common::read(&common::team_json(name)),
            &common::settings(),
        )
    };
    names.iter().step_by(step).map(shape).collect()
}

/// The small review with another team.
fn named(team: &str) -> Vec<u8> {
    changed(common::SMALL, |pod| {
        pod["metadata"]["labels"]["kagents.dev/agent-team"] = json!(team);
    })
}

/// The large review with a label, and with it `managedFields`, that Pods of other workloads have not.
fn workload(number: usize) -> Vec<u8> {
    let label = format!("workload-{number:06}");
    changed(common::LARGE, |pod| {
        let metadata = &mut pod["metadata"];
        metadata["labels"][&label] = json!("");
        metadata["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"][format!("f:{label}")] =
            json!({});
    })
}

fn changed(review: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(review).unwrap();
    change(&mut review["request"]["object"]);
    review.to_string().into_bytes()
}

fn skills(count: usize) -> Vec<Value> {
    let skill = |number| json!({"name": format!("skill-{number}"), "source": {"oci": format!("ghcr.io/example/skills/skill-{number}:v1")}});
    (0..count).map(skill).collect()
}

/// A Pod of that many bytes, of variables and `managedFields` in equal parts.
fn pod_of(bytes: usize) -> Vec<u8> {
    let variable = |number: usize| json!({"name": format!("SETTING_{number:06}"), "value": format!("the value of setting {number:06}")});
    let field = |number: usize| {
        (
            format!("k:{{\"name\":\"SETTING_{number:06}\"}}"),
            json!({".": {}, "f:name": {}, "f:value": {}}),
        )
    };
    let grown = |count: usize| {
        changed(common::SMALL, |pod| {
            pod["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("managedFields");
            if count > 0 {
                pod["spec"]["containers"][0]["env"] = (0..count).map(variable).collect();
                let fields: serde_json::Map<_, _> = (0..count).map(field).collect();
                pod["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:env": fields}}]);
            }
        })
    };
    let (none, thousand) = (grown(0).len(), grown(1_000).len());
    grown(bytes.saturating_sub(none) * 1_000 / (thousand - none))
}

/// A Pod of that many containers, each with a volume of its own.
fn containers(count: usize) -> Vec<u8> {
    changed(common::SMALL, |pod| {
        let first = pod["spec"]["containers"][0].clone();
        for number in 1..count {
            let mut container = first.clone();
            container["name"] = json!(format!("sidecar-{number}"));
            container["volumeMounts"] =
                json!([{"name": format!("data-{number}"), "mountPath": format!("/data/{number}")}]);
            pod["spec"]["containers"]
                .as_array_mut()
                .unwrap()
                .push(container);
            pod["spec"]["volumes"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": format!("data-{number}"), "emptyDir": {}}));
        }
    })
}

impl Growth {
    /// The points as Markdown.
    pub fn table(&self) -> String {
        let mut table =
            String::from("| what grows | how much: CPU ms per 1,000 requests |\n|---|---|\n");
        for series in &self.0 {
            let points: Vec<_> = series
                .points
                .iter()
                .map(|point| format!("{}: {:.1}", point.of, point.cpu))
                .collect();
            writeln!(table, "| {} | {} |", series.name, points.join(" · ")).unwrap();
        }
        let teams = &self.0.last().unwrap().points;
        let (few, many) = (teams.first().unwrap(), teams.last().unwrap());
        let text = (many.text / many.of) as f64;
        let each = (many.resident - few.resident) * 1_048_576.0 / (many.of - few.of) as f64;
        writeln!(
            table,
            "\n{} teams of {text:.0} bytes of text each: {:.1} MiB resident, {each:.0} bytes a team (aim: at most {:.0})",
            many.of, many.resident, text + 1024.0
        )
        .unwrap();
        let start = |point: &Point| format!("{} teams: {:.0} ms", point.of, point.start);
        writeln!(
            table,
            "exec to first answer: {}",
            teams.iter().map(start).collect::<Vec<_>>().join(" · ")
        )
        .unwrap();
        table
    }
}
