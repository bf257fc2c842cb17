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
pub const MAIN_WAY: &str = "HTTP/1.1, 8 connections";
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

impl Spread {
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        Some(Self {
            median: *samples.get(samples.len() / 2)?,
            least: *samples.first()?,
            most: *samples.last()?,
        })
    }
}

impl Display for Spread {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = *self;
        let digits = formatter
            .precision()
            .unwrap_or(usize::from(median < 1_000.0));
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

    /// The samples of a figure, one a round.
    fn samples(&self, figure: &str, server: &'static str) -> &[f64] {
        self.samples
            .get(&(figure.to_owned(), server))
            .map_or(&[], Vec::as_slice)
    }

    pub fn spread(&self, figure: &str, server: &'static str) -> Option<Spread> {
        Spread::of(self.samples(figure, server).to_vec())
    }

    /// How many times one server's figure is the other's, by rounds: what disturbed a round disturbed both.
    fn ratio(&self, figure: &str, above: &'static str, below: &'static str) -> Spread {
        let rounds = self.samples(figure, above).iter();
        let ratios = rounds.zip(self.samples(figure, below)).map(|(a, b)| a / b);
        Spread::of(ratios.collect()).unwrap()
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
    format!("{size}, {MAIN_WAY}: CPU ms per 1,000")
}

/// The aims, and whether they are met, as Markdown.
pub fn aims(results: &Results) -> String {
    let mut table = String::from("\n| aim | measured | |\n|---|---|---|\n");
    let mut line = |aim: &str, measured: Spread, met: bool| {
        let met = if met { "met" } else { "missed" };
        writeln!(table, "| {aim} | {measured:.2} | {met} |").unwrap();
    };
    for (size, controller_runtime) in [("small", 25.0), ("large", 60.0)] {
        let figure = cpu(size);
        let times = results.ratio(&figure, PRODUCT, NOOP);
        line(
            &format!("CPU, {size}: at most 1.7 × the no-op"),
            times,
            times.median <= 1.7,
        );
        for (peer, least) in [("kube-rs", 5.0), ("controller-runtime", controller_runtime)] {
            let times = results.ratio(&figure, peer, PRODUCT);
            line(
                &format!("CPU, {size}: {peer} takes at least {least} ×"),
                times,
                times.median >= least,
            );
        }
    }
    for (aim, figure, most) in [
        ("p99 at 200 requests/s", "200 requests/s, p99, µs", 1.25),
        ("exec to first answer", "exec to first answer, ms", 1.3),
    ] {
        let times = results.ratio(figure, PRODUCT, NOOP);
        line(
            &format!("{aim}: at most {most} × the no-op"),
            times,
            times.median <= most,
        );
    }
    let times = results.ratio("new connections/s", PRODUCT, NOOP);
    line(
        "new connections/s: at least 0.9 × the no-op",
        times,
        times.median >= 0.9,
    );
    let resident = results.spread(MANY_REQUESTS, PRODUCT).unwrap();
    line(
        &format!("{MANY_REQUESTS}: at most 16"),
        resident,
        resident.median <= 16.0,
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
