//! How soon a dead service is found, over its rate.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::style::{self, letters, short};
use crate::detect::{
    delays::{Method, RATES, Row},
    report::t1_ms,
};

const SIZE: (u32, u32) = (860, 540);
const DELAYS_MS: std::ops::Range<f64> = 0.3..10_000.0;

pub(super) fn draw(rows: &[Row]) -> Result<String> {
    let mut svg = String::new();
    chart(rows, &mut svg).map_err(|error| anyhow!("cannot draw the delays: {error}"))?;
    Ok(svg)
}

fn chart(rows: &[Row], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (least, most) = (
        RATES.first().copied().unwrap_or(1.0),
        RATES.last().copied().unwrap_or(10.0),
    );
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "From the death of a service to the decision to withdraw it",
            letters(20),
        )
        .margin(14)
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale(), DELAYS_MS.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("queries a second, all answered until then")
        .y_desc("delay, ms: median, and up to the 99th percentile")
        .label_style(letters(14))
        .x_label_formatter(&|rate| short(*rate))
        .y_label_formatter(&|delay| short(*delay))
        .bold_line_style(style::PALE)
        .light_line_style(WHITE)
        .max_light_lines(1)
        .draw()?;
    let limit = RATES.map(|rate| (rate, t1_ms(rate)));
    let limit = limit.into_iter().filter(|(_, delay)| *delay >= DELAYS_MS.start);
    chart
        .draw_series(DashedLineSeries::new(limit, 7, 5, style::GREY.stroke_width(2)))?
        .label("limit T1 of answers alone")
        .legend(|at| key(at, style::GREY));
    for (method, colour) in Method::ALL.into_iter().zip([style::PURPLE, style::BLUE, style::ORANGE]) {
        let of_method = || rows.iter().filter(move |row| row.method == method);
        let medians: Vec<_> = of_method()
            .filter_map(|row| Some((row.queries_per_s, row.delay_p50_ms?)))
            .collect();
        let slowest = of_method().filter_map(|row| Some((row.queries_per_s, row.delay_p99_ms?)));
        let mut band = medians.clone();
        band.extend(slowest.collect::<Vec<_>>().into_iter().rev());
        chart.draw_series([Polygon::new(band, colour.mix(0.15))])?;
        chart
            .draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))?
            .label(method.name())
            .legend(move |at| key(at, colour));
        chart.draw_series(medians.into_iter().map(|at| Circle::new(at, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(letters(14))
        .background_style(WHITE)
        .border_style(style::PALE)
        .draw()?;
    area.present()?;
    Ok(())
}

/// A piece of the line, for the legend.
fn key((x, y): (i32, i32), colour: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3))
}
