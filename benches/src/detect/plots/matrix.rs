//! What came of every scenario, as a coloured table.

use std::collections::BTreeSet;

use anycast_tests::simulation::{Kind, LatencyModel};
use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::style::{letters, short};
use crate::detect::matrix::Row;

const ROW: i32 = 17;
const NAMES: i32 = 500;
const CELL: i32 = 58;
const HEAD: i32 = 92;
const MARGIN: i32 = 12;
const WIDTH_LEAST: i32 = 880;

/// As it should be.
const GOOD: RGBColor = RGBColor(200, 230, 215);
/// Later than its bar.
const LATE: RGBColor = RGBColor(255, 225, 150);
/// Not withdrawn, or not told.
const MISSED: RGBColor = RGBColor(240, 160, 70);
/// Withdrawn although it was alive.
const WRONG: RGBColor = RGBColor(215, 80, 70);

/// What a row of the table shows of one server and rate.
struct Cell {
    colour: RGBColor,
    text: String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

pub(super) fn draw(rows: &[Row]) -> Result<String> {
    let mut svg = String::new();
    figure(rows, &mut svg).map_err(|error| anyhow!("cannot draw the scenarios: {error}"))?;
    Ok(svg)
}

fn figure(rows: &[Row], svg: &mut String) -> Drawn {
    let mut names: Vec<(&str, Kind)> = rows.iter().map(|row| (row.scenario, row.kind)).collect();
    names.dedup();
    let rates: BTreeSet<u64> = rows.iter().map(|row| row.queries_per_s as u64).collect();
    let columns: Vec<_> = [LatencyModel::Authoritative, LatencyModel::Resolver]
        .into_iter()
        .flat_map(|latency| rates.iter().map(move |rate| (latency, *rate)))
        .collect();
    let width = (2 * MARGIN + NAMES + pixels(columns.len(), CELL)).max(WIDTH_LEAST);
    let groups = [
        (Kind::MustNot, "alive: must not be withdrawn"),
        (Kind::Must, "dead: must be withdrawn; median delay in ms"),
        (Kind::AlertOnly, "alive, if not well: must be told, and not withdrawn"),
    ];
    let height = HEAD + pixels(names.len() + 2 * groups.len(), ROW) + MARGIN;
    let area = SVGBackend::with_string(svg, (width as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    head(&area, rows, &columns)?;
    let mut y = HEAD;
    for (kind, title) in groups {
        y += ROW / 2;
        text(&area, title, (MARGIN, y), 14, HPos::Left)?;
        y += ROW + ROW / 4;
        for (name, _) in names.iter().filter(|(_, of)| *of == kind) {
            text(&area, name, (MARGIN + 10, y), 12, HPos::Left)?;
            for (column, (latency, rate)) in (0_i32..).zip(&columns) {
                let of_cell = rows.iter().filter(|row| {
                    row.scenario == *name && row.latency == *latency && row.queries_per_s as u64 == *rate
                });
                if let Some(cell) = Cell::of(of_cell) {
                    draw_cell(&area, &cell, (MARGIN + NAMES + column * CELL, y))?;
                }
            }
            y += ROW;
        }
    }
    area.present()?;
    Ok(())
}

fn head(area: &Area<'_>, rows: &[Row], columns: &[(LatencyModel, u64)]) -> Drawn {
    let seeds = rows.iter().map(|row| row.seeds.len()).max().unwrap_or_default();
    let title = format!("Simulated scenarios: {seeds} seeds each, with latencies known and unknown");
    text(area, &title, (MARGIN, MARGIN), 18, HPos::Left)?;
    let legend = [
        (GOOD, "as it should be"),
        (LATE, "later than its bar"),
        (MISSED, "missed"),
        (WRONG, "withdrawn wrongly, in so many runs"),
        (WHITE, "blank: makes no sense there"),
    ];
    let mut x = MARGIN;
    for (colour, name) in legend {
        area.draw(&Rectangle::new(
            [(x, MARGIN + 30), (x + 14, MARGIN + 42)],
            colour.filled(),
        ))?;
        text(area, name, (x + 20, MARGIN + 30), 13, HPos::Left)?;
        x += 40 + pixels(name.len(), 7);
    }
    for (column, (latency, rate)) in (0_i32..).zip(columns) {
        let x = MARGIN + NAMES + column * CELL + CELL / 2;
        let server = match latency {
            LatencyModel::Authoritative => "auth.",
            LatencyModel::Resolver => "resolver",
        };
        text(area, server, (x, HEAD - 32), 12, HPos::Center)?;
        text(
            area,
            &format!("{}/s", short(*rate as f64)),
            (x, HEAD - 17),
            12,
            HPos::Center,
        )?;
    }
    Ok(())
}

impl Cell {
    /// Of the rows of one scenario, server and rate. `None` where it makes no sense.
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<Self> {
        let rows: Vec<&Row> = rows.collect();
        let sum = |of: fn(&Row) -> usize| rows.iter().map(|row| of(row)).sum::<usize>();
        let (runs, wrong) = (sum(|row| row.runs), sum(|row| row.wrong_withdrawals));
        let missed = sum(|row| row.missed) + sum(|row| row.unarmed);
        let slowest = rows.iter().filter_map(|row| row.delay_p50_ms).reduce(f64::max);
        let text = slowest.map(|delay| format!("{delay:.0}")).unwrap_or_default();
        let (colour, text) = if runs == 0 {
            return None;
        } else if wrong > 0 {
            (WRONG, format!("{wrong} of {runs}"))
        } else if missed > 0 {
            (MISSED, format!("{missed} of {runs}"))
        } else if rows.iter().any(|row| !row.met) {
            (LATE, text)
        } else {
            (GOOD, text)
        };
        Some(Self { colour, text })
    }
}

fn draw_cell(area: &Area<'_>, cell: &Cell, (x, y): (i32, i32)) -> Drawn {
    let corners = [(x + 1, y - 2), (x + CELL - 1, y + ROW - 3)];
    area.draw(&Rectangle::new(corners, cell.colour.filled()))?;
    if cell.text.is_empty() {
        return Ok(());
    }
    text(area, &cell.text, (x + CELL / 2, y + 1), 12, HPos::Center)
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), size: u32, anchor: HPos) -> Drawn {
    let style = letters(size).pos(Pos::new(anchor, VPos::Top));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// What so many things take that are this large each.
fn pixels(many: usize, each: i32) -> i32 {
    i32::try_from(many).map_or(0, |many| many.saturating_mul(each))
}
