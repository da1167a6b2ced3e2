//! A chart as SVG: lines over a few named places, on a logarithmic scale.

use std::fmt::Write;

/// The width of a chart, and its height, in pixels.
pub const SIZE: (u32, u32) = (920, 330);
/// The edges of the place for lines; the legend is to its right.
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 660.0;
const BOTTOM: f64 = 280.0;
/// Colours that people tell apart who see few of them.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// How lines of one colour differ.
const DASHES: [&str; 4] = ["none", "7 4", "2 4", "9 3 2 3"];

/// One line of a chart.
#[derive(Debug)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Lines of the same thing have the same colour, and those of the same kind the same dashes.
    pub colour: usize,
    /// Which dashes.
    pub dash: usize,
    /// A value for each place, where there is one.
    pub values: Vec<Option<f64>>,
}

/// Lines over places.
#[derive(Debug)]
pub struct Chart {
    /// What is above it.
    pub title: String,
    /// What the places are, and what the values.
    pub axes: [&'static str; 2],
    /// What the places are called.
    pub places: Vec<String>,
    /// The lines.
    pub series: Vec<Series>,
}

impl Chart {
    /// The chart, `above` pixels below the top of the picture.
    #[must_use]
    pub fn draw(&self, above: u32) -> String {
        let mut svg = format!("<g transform=\"translate(0 {above})\">\n");
        let (decades, scale) = (self.decades(), self.scale());
        text(&mut svg, LEFT, 24.0, "start", "bold", &self.title);
        for decade in decades.0..=decades.1 {
            let y = scale(10_f64.powi(decade));
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
            );
            text(&mut svg, LEFT - 8.0, y + 4.0, "end", "normal", &label(10_f64.powi(decade)));
        }
        for (number, place) in self.places.iter().enumerate() {
            text(&mut svg, self.x(number), BOTTOM + 18.0, "middle", "normal", place);
        }
        text(&mut svg, f64::midpoint(LEFT, RIGHT), BOTTOM + 38.0, "middle", "normal", self.axes[0]);
        text(&mut svg, RIGHT, 24.0, "end", "normal", self.axes[1]);
        for (number, series) in self.series.iter().enumerate() {
            self.draw_series(&mut svg, series, number, &scale);
        }
        svg + "</g>\n"
    }

    fn draw_series(&self, svg: &mut String, series: &Series, number: usize, scale: &impl Fn(f64) -> f64) {
        let colour = COLOURS[series.colour % COLOURS.len()];
        let dash = DASHES[series.dash % DASHES.len()];
        let stroke = format!("stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"");
        let values = series.values.iter().enumerate();
        let drawn = values.filter_map(|(place, value)| Some((self.x(place), scale((*value)?))));
        let points: Vec<(f64, f64)> = drawn.collect();
        let line: String = points.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        let _ = writeln!(svg, "<polyline fill=\"none\" {stroke} points=\"{}\"/>", line.trim_end());
        for (x, y) in points {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let y = TOP + 8.0 + 20.0 * number.min(64).try_into().map_or(0.0, |number: u8| f64::from(number));
        let (x1, x2) = (RIGHT + 20.0, RIGHT + 50.0);
        let _ = writeln!(svg, "<line x1=\"{x1}\" x2=\"{x2}\" y1=\"{y}\" y2=\"{y}\" {stroke}/>");
        text(svg, x2 + 8.0, y + 4.0, "start", "normal", &series.name);
    }

    /// Where the place of that number is.
    fn x(&self, number: usize) -> f64 {
        let float = |number: usize| u32::try_from(number).map_or(0.0, f64::from);
        LEFT + (RIGHT - LEFT) * (float(number) + 0.5) / float(self.places.len().max(1))
    }

    /// The powers of ten below and above all values.
    fn decades(&self) -> (i32, i32) {
        let values = self.series.iter().flat_map(|series| series.values.iter().flatten());
        let positive = values.copied().filter(|value| *value > 0.0 && value.is_finite());
        let (least, most) =
            positive.fold((f64::MAX, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        // No number that can be measured has more digits.
        let below = (-9..=15).rev().find(|&decade| 10_f64.powi(decade) <= least).unwrap_or(-9);
        let above = (-9..=15).find(|&decade| 10_f64.powi(decade) >= most).unwrap_or(15);
        (below, above.max(below + 1))
    }

    /// Where a value is, from the top.
    fn scale(&self) -> impl Fn(f64) -> f64 {
        let (below, above) = self.decades();
        move |value| {
            let share = (value.max(1e-9).log10() - f64::from(below)) / f64::from(above - below);
            BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
        }
    }
}

/// A number on the axis.
fn label(value: f64) -> String {
    if value < 1.0 { format!("{value}") } else { scaled(value).replace(".0", "").trim().to_owned() }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, weight: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\">{text}</text>"
    );
}

/// `text` with nothing in it that means something in SVG and HTML.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `15.2 M`: a rate for people.
#[must_use]
pub fn scaled(rate: f64) -> String {
    let (divisor, unit) = match rate {
        1e9.. => (1e9, "G"),
        1e6.. => (1e6, "M"),
        1e3.. => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{:.1} {unit}", rate / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_values_are_higher_and_gaps_are_left_out() {
        let values = vec![Some(10.0), None, Some(1000.0)];
        let series = vec![Series { name: "a<b".to_owned(), colour: 0, dash: 0, values }];
        let places = ["x", "y", "z"].map(str::to_owned).to_vec();
        let chart = Chart { title: String::new(), axes: ["", ""], places, series };
        assert_eq!(chart.decades(), (1, 3));
        let scale = chart.scale();
        assert!(scale(10.0) > scale(100.0) && scale(100.0) > scale(1000.0));
        assert_eq!((scale(10.0), scale(1000.0)), (BOTTOM, TOP));
        let svg = chart.draw(0);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
    }
}
