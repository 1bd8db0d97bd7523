//! The gateway on the page: who may ask, how much was asked, and what failed last.

use super::html::Html;
use super::sections::{begin, end, none};
use crate::gateway::meters::GatewayStatus;

pub fn gateway(html: &mut Html, status: &GatewayStatus) {
    begin(html, "Models for programs");
    if status.keys.is_empty() {
        none(html, "Nobody has a key. Make one with duet keys add NAME on the boot server.");
        end(html);
        return;
    }
    html.raw("<p class=\"figure\">").live("gateway.requests", "text", &status.requests.to_string());
    html.raw(" <small>requests at <code>/v1</code>, ");
    html.live("gateway.in_flight", "text", &status.in_flight.to_string()).raw(" in work, ");
    html.live("gateway.failed", "text", &status.failed.to_string()).raw(" attempts failed, ");
    html.live("gateway.handovers", "text", &status.handovers.to_string())
        .raw(" streams went on elsewhere</small></p>\n");
    html.raw("<div class=\"scroll\" role=\"region\" aria-label=\"Keys\" tabindex=\"0\"><table>\n");
    html.raw(
        "<tr><th>key</th><th>voice</th><th>requests</th><th>at once</th><th>tokens in a day</th></tr>\n",
    );
    for (idx, key) in status.keys.iter().enumerate() {
        let path = |end: &str| format!("gateway.keys.{idx}.{end}");
        html.raw("<tr><td>").text(&key.name).raw("</td><td>").raw(if key.voice { "yes" } else { "no" });
        html.raw("</td><td>");
        html.live(&path("requests"), "text", &key.requests.to_string()).raw("</td><td>");
        html.live(&path("at_once"), "text", &key.at_once.to_string()).raw("</td><td>");
        html.live(&path("tokens_today"), "text", &key.tokens_today.to_string()).raw("</td></tr>\n");
    }
    html.raw("</table></div>\n");
    if !status.failures.is_empty() {
        html.raw("<ul class=\"story\">");
        for failure in status.failures.iter().rev() {
            html.raw("<li>").text(failure).raw("</li>");
        }
        html.raw("</ul>\n");
    }
    end(html);
}
