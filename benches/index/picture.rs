//! Recall against queries a second, drawn as SVG: a panel for each set, a line for each index.

use std::fmt::Write as _;

use crate::measure::Curve;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 320.0;
/// Room for the numbers at the left and below, and for the title.
const MARGIN: f64 = 56.0;
const PANELS_A_ROW: usize = 2;
/// What is below is of no interest.
const LEAST_RECALL: f64 = 0.85;
/// Marks at recalls.
const RECALLS: [f64; 5] = [0.85, 0.90, 0.95, 0.97, 0.99];
/// Colours that people with any kind of sight tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

/// The picture.
pub(crate) fn draw(measured: &[(String, Vec<Curve>)]) -> String {
    let (columns, rows) = (PANELS_A_ROW.min(measured.len()), measured.len().div_ceil(PANELS_A_ROW));
    let (width, height) = (columns as f64 * WIDTH, rows as f64 * HEIGHT);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
"##
    );
    // An index has its colour in all panels.
    let mut names: Vec<&str> = Vec::new();
    for curve in measured.iter().flat_map(|(_, curves)| curves) {
        if !names.contains(&curve.name.as_str()) {
            names.push(&curve.name);
        }
    }
    for (at, (name, curves)) in measured.iter().enumerate() {
        let (left, top) = ((at % PANELS_A_ROW) as f64 * WIDTH, (at / PANELS_A_ROW) as f64 * HEIGHT);
        let _ = writeln!(svg, r#"<g transform="translate({left} {top})">"#);
        panel(&mut svg, name, curves, &names);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, name: &str, curves: &[Curve], names: &[&str]) {
    let rates: Vec<f64> = curves.iter().flat_map(points).map(|(_, rate)| rate).collect();
    let least = 10_f64.powf(rates.iter().copied().fold(f64::INFINITY, f64::min).log10().floor());
    let most = 10_f64.powf(rates.iter().copied().fold(1.0, f64::max).log10().ceil());
    let x = |recall: f64| MARGIN + (recall - LEAST_RECALL) / (1.0 - LEAST_RECALL) * (WIDTH - 1.5 * MARGIN);
    let y = |rate: f64| HEIGHT - MARGIN - (rate / least).log10() / (most / least).log10() * (HEIGHT - 2.0 * MARGIN);
    let (middle, bottom) = ((x(LEAST_RECALL) + x(1.0)) / 2.0, HEIGHT - MARGIN);
    let _ = writeln!(svg, r#"<text x="{middle}" y="22" text-anchor="middle" font-size="13">{name}</text>"#);
    let _ = writeln!(svg, r#"<text x="{middle}" y="{}" text-anchor="middle">recall@10</text>"#, bottom + 34.0);
    let _ = writeln!(svg, r#"<text x="{MARGIN}" y="40" text-anchor="middle">QPS, one thread</text>"#);
    for recall in RECALLS {
        let at = x(recall);
        line(svg, (at, MARGIN), (at, bottom));
        let _ = writeln!(svg, r#"<text x="{at:.1}" y="{}" text-anchor="middle">{recall:.2}</text>"#, bottom + 16.0);
    }
    let mut rate = least;
    while rate <= most * 1.01 {
        let at = y(rate);
        line(svg, (x(LEAST_RECALL), at), (x(1.0), at));
        let _ = writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{rate:.0}</text>"#, MARGIN - 6.0, at + 4.0);
        rate *= 10.0;
    }
    for (at, curve) in curves.iter().enumerate() {
        let place = names.iter().position(|name| *name == curve.name).unwrap_or(0);
        let colour = COLOURS[place % COLOURS.len()];
        let path: Vec<String> =
            points(curve).map(|(recall, rate)| format!("{:.1},{:.1}", x(recall), y(rate))).collect();
        let _ =
            writeln!(svg, r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#, path.join(" "));
        for point in &path {
            let (left, top) = point.split_once(',').unwrap();
            let _ = writeln!(svg, r#"<circle cx="{left}" cy="{top}" r="2.5" fill="{colour}"/>"#);
        }
        let top = bottom - 10.0 - 14.0 * (curves.len() - 1 - at) as f64;
        let _ = writeln!(svg, r#"<text x="{}" y="{top}" fill="{colour}">{}</text>"#, MARGIN + 8.0, curve.name);
    }
}

/// What is drawn of a curve: recall and queries a second.
fn points(curve: &Curve) -> impl Iterator<Item = (f64, f64)> {
    curve.points.iter().filter(|point| point.recall >= LEAST_RECALL).map(|point| (point.recall, 1e6 / point.times.cpu))
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        r##"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="#dddddd"/>"##,
        from.0, from.1, to.0, to.1
    );
}
