//! How `top` looks: a line of numbers for each queue, and how long it has been, drawn beside them.

use ipcq_cli::measure::chart::scaled;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, RenderDirection, Sparkline};

use super::sample::{Look, Row};

/// What stands over the columns, and how wide they are; the name takes what it needs, and the graph the rest.
const COLUMNS: [(&str, u16); 7] =
    [("on", 4), ("len", 8), ("capacity", 8), ("puts/s", 7), ("gets/s", 7), ("waiting", 7), ("", 6)];
/// The widest that a name is shown.
const WIDEST_NAME: usize = 24;
/// The narrowest graph that says something: narrower terminals have none.
const NARROWEST_GRAPH: u16 = 8;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, look: &Look, colours: bool) {
    let rows = &look.rows;
    let [title, head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let height = height(rows.len(), body.height);
    let shown = rows.len().min(usize::from(body.height / height));
    let widths = widths(rows, frame.area().width);
    frame.render_widget(Line::styled(summary(rows), Modifier::BOLD), title);
    let heads = ["queue"].into_iter().chain(COLUMNS.map(|(title, _)| title)).chain(["len over time"]);
    for (area, text) in split(head, &widths).into_iter().zip(heads) {
        frame.render_widget(Line::styled(text, Modifier::UNDERLINED), area);
    }
    for (number, row) in rows.iter().take(shown).enumerate() {
        let above = u16::try_from(number).unwrap_or(u16::MAX).saturating_mul(height);
        let area = Rect { y: body.y + above, height, ..body };
        draw_row(frame, row, &split(area, &widths), colours);
    }
    let more = match rows.len() - shown {
        0 => String::new(),
        more => format!("; {more} more, for which the terminal has too few lines"),
    };
    let unopened = match look.failures.len() {
        0 => String::new(),
        count => format!("; {count} cannot be opened, see `ipcq ls`"),
    };
    frame.render_widget(Line::styled(format!("q: quit{more}{unopened}"), Modifier::DIM), foot);
}

fn draw_row(frame: &mut Frame<'_>, row: &Row, areas: &[Rect], colours: bool) {
    let state = match (row.closed, row.len >= row.capacity) {
        (true, _) => Span::styled("closed", style(colours, Color::Magenta)),
        (false, true) => Span::styled("full", style(colours, Color::Red)),
        _ => Span::raw(""),
    };
    let rate = |rate: Option<f64>| Span::raw(rate.map_or_else(|| "-".to_owned(), scaled));
    let waiting = format!("{}p {}g", row.waiting_putters, row.waiting_getters);
    let cells = [
        Span::styled(row.name.clone(), Modifier::BOLD),
        Span::raw(row.transport),
        Span::raw(row.len.to_string()),
        Span::raw(row.capacity.to_string()),
        rate(row.puts_per_second),
        rate(row.gets_per_second),
        Span::raw(waiting),
        state,
    ];
    for (area, cell) in areas.iter().zip(cells) {
        frame.render_widget(Paragraph::new(Line::from(cell)), *area);
    }
    let Some(area) = areas.get(COLUMNS.len() + 1) else { return };
    let newest_first: Vec<u64> = row.depths.iter().rev().copied().collect();
    let highest = newest_first.iter().take(usize::from(area.width)).max().copied().unwrap_or(0).max(1);
    let graph = Sparkline::default().data(&newest_first).max(highest).direction(RenderDirection::RightToLeft);
    frame.render_widget(graph.style(style(colours, Color::Cyan)), *area);
}

/// Two lines a queue draw a better graph, where there is room for them.
fn height(rows: usize, room: u16) -> u16 {
    if rows.saturating_mul(2) <= usize::from(room) { 2 } else { 1 }
}

/// How wide the columns are on a terminal of `width` columns: the name, the numbers, and the graph if there is room.
fn widths(rows: &[Row], width: u16) -> Vec<u16> {
    let name = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(5, WIDEST_NAME);
    let numbers = COLUMNS.map(|(_, width)| width);
    let gaps = u16::try_from(COLUMNS.len() + 1).unwrap_or(0);
    let least = numbers.iter().sum::<u16>() + gaps + NARROWEST_GRAPH;
    let name = u16::try_from(name).unwrap_or(5).min(width.saturating_sub(least).max(5));
    let rest = width.saturating_sub(name + numbers.iter().sum::<u16>() + gaps);
    let graph = (rest >= NARROWEST_GRAPH).then_some(rest);
    std::iter::once(name).chain(numbers).chain(graph).collect()
}

/// `area` cut into columns with a gap between; those that do not fit are empty.
fn split(area: Rect, widths: &[u16]) -> Vec<Rect> {
    let mut x = area.x;
    let cut = |&width: &u16| {
        let left = area.right().saturating_sub(x);
        let column = Rect { x: x.min(area.right()), width: width.min(left), ..area };
        x = x.saturating_add(width + 1);
        column
    };
    widths.iter().map(cut).collect()
}

fn summary(rows: &[Row]) -> String {
    let all: usize = rows.iter().map(|row| row.len).sum();
    let sum =
        |of: fn(&Row) -> Option<f64>| scaled(rows.iter().filter_map(of).fold(0.0, |sum, rate| sum + rate));
    let (puts, gets) = (sum(|row| row.puts_per_second), sum(|row| row.gets_per_second));
    let queues = if rows.len() == 1 { "1 queue".to_owned() } else { format!("{} queues", rows.len()) };
    format!("ipcq: {queues}, {all} messages, {} puts/s, {} gets/s", puts.trim_end(), gets.trim_end())
}

fn style(colours: bool, colour: Color) -> Style {
    if colours { Style::new().fg(colour) } else { Style::new() }
}
