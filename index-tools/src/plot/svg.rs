//! A scene as SVG. Text stays text. Colors are attributes, which a page that shows the picture
//! overrides through the classes beside them; alone the picture is for light paper.

use std::fmt::Write as _;

use super::font::FAMILY;
use super::scene::{Anchor, Ink, Item, Marker, Scene, Shape, Text};
use super::style::COLORS;

/// The class of an ink, and its color on light paper.
pub(super) fn ink(ink: Ink) -> (String, &'static str) {
    let (class, color) = match ink {
        Ink::Paper => ("paper", "#ffffff"),
        Ink::Text => ("text", "#1a1a1a"),
        Ink::Muted => ("muted", "#5c5c5c"),
        Ink::Grid => ("grid", "#e4e4e4"),
        Ink::Series(at) => return (format!("s{at}"), COLORS[at % COLORS.len()].0),
    };
    (class.to_owned(), color)
}

/// `text` as XML and HTML take it, in attributes too. Characters that XML has no place for are
/// left out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The file of a picture.
pub(super) fn file(scene: &Scene) -> String {
    let mut svg = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (width, height) = (number(scene.width), number(scene.height));
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" "
    );
    inside(&mut svg, scene, "picture");
    svg
}

/// A picture in a page: it takes the width that it is given. `id` is its own in the page.
pub(super) fn inline(scene: &Scene, id: &str) -> String {
    let mut svg = String::from("<svg tabindex=\"0\" ");
    inside(&mut svg, scene, id);
    svg
}

/// The rest of the opening tag, and what follows.
fn inside(svg: &mut String, scene: &Scene, id: &str) {
    let (width, height) = (number(scene.width), number(scene.height));
    let (title, description) = (escape(&scene.title), escape(&scene.description));
    let (_, paper) = ink(Ink::Paper);
    // Writing to a string does not fail, here and below.
    let _ = write!(
        svg,
        "viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
         font-family=\"{FAMILY}\">\n<title id=\"{id}-t\">{title}</title>\n\
         <desc id=\"{id}-d\">{description}</desc>\n\
         <rect class=\"f-paper\" width=\"{width}\" height=\"{height}\" fill=\"{paper}\"/>\n"
    );
    for item in &scene.items {
        match item {
            Item::Line { points, ink: of, width, dash, opacity } => {
                let (class, color) = ink(*of);
                let places: Vec<String> =
                    points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
                let _ = write!(
                    svg,
                    "<polyline class=\"l-{class}\" points=\"{}\" fill=\"none\" stroke=\"{color}\" \
                     stroke-width=\"{}\" stroke-linejoin=\"round\"",
                    places.join(" "),
                    number(*width),
                );
                let pattern = dash.pattern();
                if !pattern.is_empty() {
                    let lengths: Vec<String> =
                        pattern.iter().map(|length| number(length * width)).collect();
                    let _ = write!(svg, " stroke-dasharray=\"{}\"", lengths.join(" "));
                }
                if *opacity < 1.0 {
                    let _ = write!(svg, " opacity=\"{}\"", number(*opacity));
                }
                svg.push_str("/>\n");
            }
            Item::Marker(marker) => write_marker(svg, marker),
            Item::Text(text) => write_text(svg, text),
        }
    }
    svg.push_str("</svg>\n");
}

fn write_marker(svg: &mut String, marker: &Marker) {
    let Marker { at: (x, y), shape, radius, ink: of, opacity, note } = marker;
    let (class, color) = ink(*of);
    let (_, paper) = ink(Ink::Paper);
    // A rim of paper parts markers that lie on each other.
    let look = match *opacity < 1.0 {
        true => format!("class=\"m f-{class}\" fill=\"{color}\" opacity=\"{}\"", number(*opacity)),
        false => format!(
            "class=\"m f-{class} l-paper\" fill=\"{color}\" stroke=\"{paper}\" stroke-width=\"0.8\""
        ),
    };
    let element = match shape {
        Shape::Circle => {
            let (x, y, radius) = (number(*x), number(*y), number(*radius));
            let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {look}");
            "circle"
        }
        shape => {
            let corners = shape.corners().into_iter();
            let places: Vec<String> = corners
                .map(|(dx, dy)| format!("{},{}", number(x + dx * radius), number(y + dy * radius)))
                .collect();
            let _ = write!(svg, "<polygon points=\"{}\" {look}", places.join(" "));
            "polygon"
        }
    };
    match note {
        Some(note) => {
            let _ = writeln!(svg, "><title>{}</title></{element}>", escape(note));
        }
        None => svg.push_str("/>\n"),
    }
}

fn write_text(svg: &mut String, text: &Text) {
    let Text { at: (x, y), text, size, bold, anchor, ink: of, upward } = text;
    let (class, color) = ink(*of);
    let (x, y, size) = (number(*x), number(*y), number(*size));
    let _ = write!(svg, "<text class=\"f-{class}\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\"");
    let _ = write!(svg, " fill=\"{color}\"");
    if *bold {
        svg.push_str(" font-weight=\"bold\"");
    }
    match anchor {
        Anchor::Start => {}
        Anchor::Middle => svg.push_str(" text-anchor=\"middle\""),
        Anchor::End => svg.push_str(" text-anchor=\"end\""),
    }
    if *upward {
        let _ = write!(svg, " transform=\"rotate(-90 {x} {y})\"");
    }
    let _ = writeln!(svg, ">{}</text>", escape(text));
}

/// Two decimals at most.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
