//! A paper as one HTML file that needs nothing from elsewhere: no script, no font, no picture but its own.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html::push_html};

use super::Part;

/// How it looks, on paper too.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --line: #d0d7de; --page: #fff; --gap: #fff4e5; --edge: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #3d444d; --page: #0d1117; --gap: #2b1d0e; } }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.5rem 4rem; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page); }
h1 { font-size: 1.9rem; line-height: 1.2; } h2 { margin-top: 2.6rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { margin-top: 1.8rem; font-size: 1.05rem; } h4, h5, h6 { margin-top: 1.3rem; font-size: 1rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; overflow-wrap: normal; white-space: nowrap; } td a { white-space: nowrap; } thead:not(:has(th:not(:empty))) { display: none; }
code { font: .86em ui-monospace, monospace; } pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: 6px; max-height: 24rem; }
a { color: #0072b2; } @media (prefers-color-scheme: dark) { a { color: #56b4e9; } }
.gap { margin: .6rem 0; padding: .5rem .8rem; border-left: 4px solid var(--edge); background: var(--gap); }
.gap::before { content: \"Missing: \"; font-weight: 600; } .gap p { display: inline; margin: 0; }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; background: #fff; } figcaption { color: var(--dim); font-size: .9rem; }
nav { columns: 2; font-size: .92rem; } @media print { body { max-width: none; } pre { max-height: none; } }
";

/// The paper as HTML.
pub fn page(title: &str, parts: &[Part]) -> String {
    let mut body = String::new();
    let mut contents = String::new();
    for part in parts {
        match part {
            Part::Text(text) => {
                if let Some(heading) = text.strip_prefix("## ") {
                    let heading = heading.trim();
                    let id: String = heading
                        .chars()
                        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
                        .collect();
                    contents.push_str(&format!("<a href=\"#{id}\">{}</a><br>\n", escape(heading)));
                    body.push_str(&format!("<h2 id=\"{id}\">{}</h2>\n", escape(heading)));
                } else {
                    body.push_str(&html(text));
                }
                if text.starts_with("# ") {
                    body.push_str("<nav>CONTENTS</nav>\n");
                }
            }
            Part::Words(words) => body.push_str(&html(words)),
            Part::Gap(text) => body.push_str(&format!("<div class=\"gap\">{}</div>\n", html(text))),
            Part::Picture(svg, shows) => {
                let svg = svg.find("<svg").map_or("", |at| &svg[at..]);
                body.push_str(&format!("<figure>{svg}<figcaption>{}</figcaption></figure>\n", escape(shows)));
            }
        }
    }
    let body = body.replacen("<nav>CONTENTS</nav>", &format!("<nav>\n{contents}</nav>"), 1);
    // Nothing is fetched and nothing runs, whatever found its way in.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// Markdown as HTML. HTML in it is shown as text, and links lead only to pages, mail and files beside it.
fn html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(markdown, options).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: harmless(dest_url), title, id })
        }
        // A picture from elsewhere would tell somebody who reads; its words stay.
        Event::Start(Tag::Image { .. }) => Event::Start(Tag::Emphasis),
        Event::End(pulldown_cmark::TagEnd::Image) => Event::End(pulldown_cmark::TagEnd::Emphasis),
        other => other,
    });
    let mut written = String::new();
    push_html(&mut written, events);
    written.replace("<table>", "<div class=\"table\"><table>").replace("</table>", "</table></div>")
}

fn harmless(address: CowStr<'_>) -> CowStr<'_> {
    let scheme = address.split(['/', '?', '#']).next().unwrap_or_default();
    let known =
        |scheme: &str| ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    match scheme.split_once(':') {
        Some((scheme, _)) if !known(scheme) => "#".into(),
        _ => address,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
