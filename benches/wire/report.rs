//! The figures: noted round by round, shown as a table, judged, and written down.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write};
use std::fs;
use std::path::Path;

use serde_json::json;

use super::chart;
use super::growth::Growth;

pub const PRODUCT: &str = "agentteam-webhook";
pub const NOOP: &str = "no-op";
pub const MANY_REQUESTS: &str = "resident after 1,000,000 requests of 10 teams, MiB";

/// Every sample of every figure of every server.
#[derive(Default)]
pub struct Results {
    figures: Vec<String>,
    samples: BTreeMap<(String, &'static str), Vec<f64>>,
}

/// What the samples of a figure say.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = *self;
        let digits = usize::from(median < 1_000.0);
        write!(formatter, "{median:.digits$}")?;
        if least < most {
            write!(formatter, " ({least:.digits$}–{most:.digits$})")?;
        }
        Ok(())
    }
}

impl Results {
    pub fn note(&mut self, figure: &str, server: &'static str, value: f64) {
        if !self.figures.iter().any(|known| known == figure) {
            self.figures.push(figure.to_owned());
        }
        self.samples
            .entry((figure.to_owned(), server))
            .or_default()
            .push(value);
    }

    pub fn spread(&self, figure: &str, server: &'static str) -> Option<Spread> {
        let mut samples = self.samples.get(&(figure.to_owned(), server))?.clone();
        samples.sort_by(f64::total_cmp);
        Some(Spread {
            median: samples[samples.len() / 2],
            least: samples[0],
            most: samples[samples.len() - 1],
        })
    }

    fn median(&self, figure: &str, server: &'static str) -> f64 {
        self.spread(figure, server)
            .map_or(f64::NAN, |spread| spread.median)
    }

    /// Medians, with the least and the most, as Markdown.
    pub fn table(&self, servers: &[&'static str]) -> String {
        let mut table = format!(
            "| | {} |\n|---|{}\n",
            servers.join(" | "),
            "---|".repeat(servers.len())
        );
        for figure in &self.figures {
            let cell = |server: &&'static str| {
                self.spread(figure, server)
                    .map_or(String::new(), |spread| spread.to_string())
            };
            let cells: Vec<_> = servers.iter().map(cell).collect();
            writeln!(table, "| {figure} | {} |", cells.join(" | ")).unwrap();
        }
        table
    }
}

/// The figure of CPU that aims are about.
pub fn cpu(size: &str) -> String {
    format!("{size}, HTTP/1.1, 8 connections: CPU ms per 1,000")
}

/// The aims, and whether they are met, as Markdown.
pub fn aims(results: &Results) -> String {
    let mut table = String::from("\n| aim | measured | |\n|---|---|---|\n");
    let mut line = |aim: &str, measured: f64, met: bool| {
        writeln!(
            table,
            "| {aim} | {measured:.2} | {} |",
            if met { "met" } else { "missed" }
        )
        .unwrap();
    };
    let ratio = |figure: &str, above: &'static str, below: &'static str| {
        results.median(figure, above) / results.median(figure, below)
    };
    for size in ["small", "large"] {
        let times = ratio(&cpu(size), PRODUCT, NOOP);
        line(
            &format!("CPU, {size}: at most 1.7 × the no-op"),
            times,
            times <= 1.7,
        );
        let times = ratio(&cpu(size), "kube-rs", PRODUCT);
        line(
            &format!("CPU, {size}: kube-rs takes at least 5 ×"),
            times,
            times >= 5.0,
        );
        let least = if size == "small" { 25.0 } else { 60.0 };
        let times = ratio(&cpu(size), "controller-runtime", PRODUCT);
        line(
            &format!("CPU, {size}: controller-runtime takes at least {least} ×"),
            times,
            times >= least,
        );
    }
    let times = ratio("200 requests/s, p99, µs", PRODUCT, NOOP);
    line(
        "p99 at 200 requests/s: at most 1.25 × the no-op",
        times,
        times <= 1.25,
    );
    let times = ratio("new connections/s", PRODUCT, NOOP);
    line(
        "new connections/s: at least 0.9 × the no-op",
        times,
        times >= 0.9,
    );
    let times = ratio("exec to first answer, ms", PRODUCT, NOOP);
    line(
        "exec to first answer: at most 1.3 × the no-op",
        times,
        times <= 1.3,
    );
    let resident = results.median(MANY_REQUESTS, PRODUCT);
    line(
        &format!("{MANY_REQUESTS}: at most 16"),
        resident,
        resident <= 16.0,
    );
    table
}

/// Writes the JSON into `target/bench/` and the charts into the docs.
pub fn write(results: &Results, growth: &Growth, table: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/bench");
    fs::create_dir_all(&target).unwrap();
    let figures: Vec<_> = results
        .samples
        .iter()
        .map(|((figure, server), samples)| json!({"figure": figure, "server": server, "samples": samples}))
        .collect();
    let all = json!({"figures": figures, "growth": growth});
    fs::write(
        target.join("wire.json"),
        serde_json::to_vec_pretty(&all).unwrap(),
    )
    .unwrap();
    fs::write(
        target.join("wire.md"),
        format!("{table}\n{}", growth.table()),
    )
    .unwrap();
    let docs = root.join("docs/reference");
    fs::write(docs.join("performance.svg"), chart::bars(results)).unwrap();
    fs::write(docs.join("growth.svg"), chart::lines(growth)).unwrap();
}
