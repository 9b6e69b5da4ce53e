//! Evidence over time: of a death, of a pause, and of a flood that nobody could answer.

use std::{error::Error, time::Duration};

use anycast_tests::simulation::Trace;
use anycast_user::{engine::Explanation, policy::Burst};
use anyhow::{Result, anyhow};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use super::{
    runs::{Panel, panels},
    style::{self, letters},
};

const SIZE: (u32, u32) = (860, 900);
/// Points of a line at most; of those that fall together the highest is drawn.
const POINTS: usize = 500;
/// The y axis, over the highest that is drawn.
const HEADROOM: f64 = 1.06;

/// Lines and marks, as the key names them.
const KEY: [(&str, RGBColor); 8] = [
    ("e1: silence", style::BLUE),
    ("e2: residual", style::GREEN),
    ("h1: suspicion", style::GREY),
    ("h: proof", style::BLACK),
    ("x  burst without an answer", style::ORANGE),
    ("o  burst that was answered", style::GREEN),
    ("the higher of e1 and e2, and 8 for each failed burst", style::ORANGE),
    ("withdrawn, and the floor before it", style::PURPLE),
];
/// Height of the key, and columns of it, which begin here.
const KEY_HEIGHT: u32 = 58;
const KEY_COLUMNS: [i32; 4] = [60, 190, 325, 535];
/// Height of the marks, as a share of the axis.
const MARKS: f64 = 0.05;
const FLOOR: f64 = 0.11;

/// Plays the runs and draws them.
pub(super) fn draw() -> Result<String> {
    let mut svg = String::new();
    figure(&mut svg).map_err(|error| anyhow!("cannot draw the evidence: {error}"))?;
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// What a line shows.
type Of = fn(&Explanation) -> f64;
type Drawn = Result<(), Box<dyn Error>>;

fn figure(svg: &mut String) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (key, charts) = area.split_vertically(KEY_HEIGHT);
    draw_key(&key)?;
    let panels = panels();
    for (panel, area) in panels.iter().zip(charts.split_evenly((panels.len(), 1))) {
        draw_panel(&area, panel, &panel.play())?;
    }
    area.present()?;
    Ok(())
}

fn draw_key(area: &Area<'_>) -> Drawn {
    let places = KEY_COLUMNS.into_iter().flat_map(|x| [(x, 14), (x, 36)]);
    for ((name, colour), (x, y)) in KEY.into_iter().zip(places) {
        area.draw(&PathElement::new([(x, y + 6), (x + 18, y + 6)], colour.stroke_width(3)))?;
        area.draw(&Text::new(name, (x + 24, y), letters(13)))?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, panel: &Panel, trace: &Trace) -> Drawn {
    let range = panel.range_ms();
    // What came after the decision is nobody's concern.
    let until = trace.withdrawn_ms.unwrap_or(range.end);
    let shown = || trace.moments.iter().filter(move |(at, _)| *at <= until);
    let threshold = shown().next().map_or(1.0, |(_, now)| now.assessment.threshold);
    let top = HEADROOM * shown().map(|(_, now)| with_bursts(now)).fold(threshold, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.caption, letters(17))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(range, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("time, ms")
        .y_desc("evidence, nats")
        .label_style(letters(13))
        .x_label_formatter(&|time| format!("{time:.0}"))
        .y_label_formatter(&|nats| format!("{nats:.0}"))
        .bold_line_style(style::PALE)
        .light_line_style(WHITE)
        .max_light_lines(1)
        .draw()?;
    let lines: [(RGBColor, u32, Of); 5] = [
        (style::BLACK, 1, |now| now.assessment.threshold),
        (style::GREY, 1, |now| now.assessment.suspicion_threshold),
        (style::ORANGE, 2, with_bursts),
        (style::GREEN, 2, |now| now.assessment.residual_evidence),
        (style::BLUE, 2, |now| now.assessment.silence_evidence),
    ];
    for (colour, width, of) in lines {
        let points: Vec<_> = shown().map(|(at, now)| (*at, of(now))).collect();
        chart.draw_series(LineSeries::new(thinned(&points), colour.stroke_width(width)))?;
    }
    draw_bursts(&mut chart, trace, until, top)?;
    draw_decision(&mut chart, trace, top)
}

fn with_bursts(now: &Explanation) -> f64 {
    now.assessment.evidence() + now.burst_nats
}

/// From the start of each burst to its end.
fn draw_bursts(chart: &mut Chart<'_, '_>, trace: &Trace, until: f64, top: f64) -> Drawn {
    let height = MARKS * top;
    for (at, burst) in trace.bursts.iter().filter(|(at, _)| *at <= until) {
        let colour = if burst.is_failed() { style::ORANGE } else { style::GREEN };
        let line = colour.stroke_width(2);
        chart.draw_series(LineSeries::new([(at - length_ms(burst), height), (*at, height)], line))?;
        if burst.is_failed() {
            chart.draw_series([Cross::new((*at, height), 5, line)])?;
        } else {
            chart.draw_series([Circle::new((*at, height), 4, line)])?;
        }
    }
    Ok(())
}

/// The decision, and the floor from the first burst that failed.
fn draw_decision(chart: &mut Chart<'_, '_>, trace: &Trace, top: f64) -> Drawn {
    let Some(decided) = trace.withdrawn_ms else {
        return Ok(());
    };
    chart.draw_series(LineSeries::new(
        [(decided, 0.0), (decided, top)],
        style::PURPLE.stroke_width(2),
    ))?;
    let floor = trace.moments.first().map_or(Duration::ZERO, |(_, now)| now.floor);
    if let Some((at, first)) = trace.bursts.iter().find(|(_, burst)| burst.is_failed()) {
        let (from, height) = (at - length_ms(first), FLOOR * top);
        let to = from + floor.as_secs_f64() * 1e3;
        chart.draw_series(LineSeries::new(
            [(from, height), (to, height)],
            style::PURPLE.stroke_width(4),
        ))?;
    }
    Ok(())
}

fn length_ms(burst: &Burst) -> f64 {
    burst.finished_at.since(burst.started_at).as_secs_f64() * 1e3
}

/// The highest of stretches of equal length.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(POINTS).max(1);
    let highest = |points: &[(f64, f64)]| points.iter().copied().max_by(|left, right| left.1.total_cmp(&right.1));
    points.chunks(stretch).filter_map(highest).collect()
}
