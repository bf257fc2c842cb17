//! The charts of the docs, as SVG.

use std::fmt::Write;

use super::growth::{Growth, Series};
use super::report::{NOOP, PRODUCT, Results, cpu};

const INK: &str = "#24292f";
const GRID: &str = "#d0d7de";
const COLOURS: [(&str, &str); 2] = [("small", "#4c8eda"), ("large", "#1f4e8c")];

fn open(width: u32, height: u32) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"{INK}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    )
}

/// CPU per 1,000 requests of every server, on a logarithmic scale.
pub fn bars(results: &Results) -> String {
    let servers = [NOOP, PRODUCT, "kube-rs", "controller-runtime"];
    let (left, right, top, row) = (150.0, 640.0, 56.0, 52.0);
    let x = |value: f64| left + (right - left) * value.max(1.0).log10() / 4.0;
    let mut svg = open(720, 300);
    text(
        &mut svg,
        16.0,
        24.0,
        "start",
        "Server CPU per 1,000 admissions, milliseconds (logarithmic)",
    );
    for power in 0..=4 {
        let at = x(10_f64.powi(power));
        writeln!(svg, "<path d=\"M{at:.1} {top} V270\" stroke=\"{GRID}\"/>").unwrap();
        text(
            &mut svg,
            at,
            286.0,
            "middle",
            &10_i32.pow(power.unsigned_abs()).to_string(),
        );
    }
    for (index, server) in servers.into_iter().enumerate() {
        let y = top + 4.0 + row * index as f64;
        text(&mut svg, left - 8.0, y + 26.0, "end", server);
        for (offset, (size, colour)) in COLOURS.into_iter().enumerate() {
            let Some(spread) = results.spread(&cpu(size), server) else {
                continue;
            };
            let (y, end) = (y + 22.0 * offset as f64, x(spread.median));
            writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" height=\"19\" fill=\"{colour}\"/>",
                end - left
            )
            .unwrap();
            text(
                &mut svg,
                end + 6.0,
                y + 14.0,
                "start",
                &format!("{:.1} {size}", spread.median),
            );
        }
    }
    svg + "</svg>\n"
}

/// What grows, one panel each, on logarithmic scales: a straight line that rises no faster than the diagonal is linear.
pub fn lines(growth: &Growth) -> String {
    let mut svg = open(720, 755);
    text(
        &mut svg,
        16.0,
        24.0,
        "start",
        "Server CPU per 1,000 admissions in milliseconds, as things grow (logarithmic)",
    );
    for (index, series) in growth.0.iter().enumerate() {
        let (left, top) = (
            60.0 + 350.0 * (index % 2) as f64,
            50.0 + 235.0 * (index / 2) as f64,
        );
        panel(&mut svg, series, left, top);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, series: &Series, left: f64, top: f64) {
    let (width, height) = (270.0, 170.0);
    let most = series
        .points
        .iter()
        .map(|point| point.of.max(1))
        .max()
        .unwrap() as f64;
    let least = series
        .points
        .iter()
        .map(|point| point.of.max(1))
        .min()
        .unwrap() as f64;
    let x = |of: usize| left + width * (of.max(1) as f64 / least).ln() / (most / least).ln();
    let y = |cpu: f64| top + height - height * (cpu / 10.0).max(1.0).log10() / 3.0;
    for power in 1..=4 {
        let at = y(10_f64.powi(power));
        writeln!(
            svg,
            "<path d=\"M{left} {at:.1} h{width}\" stroke=\"{GRID}\"/>"
        )
        .unwrap();
        text(
            svg,
            left - 6.0,
            at + 4.0,
            "end",
            &10_i32.pow(power.unsigned_abs()).to_string(),
        );
    }
    let mut path = String::new();
    for (index, point) in series.points.iter().enumerate() {
        let (x, y) = (x(point.of), y(point.cpu));
        write!(path, "{}{x:.1} {y:.1} ", if index == 0 { "M" } else { "L" }).unwrap();
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{}\"/>",
            COLOURS[1].1
        )
        .unwrap();
        text(svg, x, top + height + 16.0, "middle", &short(point.of));
    }
    writeln!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
        COLOURS[1].1
    )
    .unwrap();
    text(
        svg,
        left + width / 2.0,
        top + height + 34.0,
        "middle",
        series.name,
    );
}

fn short(number: usize) -> String {
    if number >= 1_000 && number.is_multiple_of(1_000) {
        format!("{}k", number / 1_000)
    } else {
        number.to_string()
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    )
    .unwrap();
}
