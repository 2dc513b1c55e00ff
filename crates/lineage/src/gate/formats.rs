//! The answer for CI systems: SARIF 2.1.0, which code hosts show beside changes, and JUnit XML, which build servers count.

use serde_json::{Value, json};

use super::{Finding, GateOutcome, GateReport};

const SARIF_SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Returns the report as SARIF; results point at `artifact`, the policy or a file of the repository.
pub fn sarif(report: &GateReport, artifact: &str) -> String {
    let rules: Vec<Value> = report
        .rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.rule,
                "shortDescription": {"text": rule.demands},
                "defaultConfiguration": {"level": "error"},
            })
        })
        .collect();
    let mut results = Vec::new();
    for (at, rule) in report.rules.iter().enumerate() {
        for finding in &rule.findings {
            let level = match finding.outcome {
                GateOutcome::Refused | GateOutcome::Tampered => "error",
                GateOutcome::Unknown => "warning",
                GateOutcome::Pass => "note",
            };
            results.push(json!({
                "ruleId": rule.rule,
                "ruleIndex": at,
                "level": level,
                "kind": "fail",
                "message": {"text": message(finding)},
                "locations": [{
                    "physicalLocation": {"artifactLocation": {"uri": artifact}, "region": {"startLine": 1}},
                    "logicalLocations": [{"fullyQualifiedName": finding.at.id.to_string(), "kind": "resource"}],
                }],
                "partialFingerprints": {"undertone/v1": format!("{}:{}", rule.rule, finding.at.id)},
                "properties": {"outcome": finding.outcome, "path": finding.path},
            }));
        }
    }
    let sarif = json!({
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "undertone gate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
            "properties": {"policy": report.policy, "target": report.target, "outcome": report.outcome},
        }],
    });
    format!("{sarif:#}\n")
}

fn message(finding: &Finding) -> String {
    match &finding.path {
        None => finding.message.clone(),
        Some(path) => format!("{}. Path: {}", finding.message, path.one_line()),
    }
}

/// Returns the report as JUnit XML: a test case a rule; unknown counts as an error, a broken rule as a failure.
pub fn junit(report: &GateReport) -> String {
    let count = |outcomes: &[GateOutcome]| {
        let rules = report.rules.iter();
        rules
            .filter(|rule| outcomes.contains(&rule.outcome))
            .count()
    };
    let failures = count(&[GateOutcome::Refused, GateOutcome::Tampered]);
    let errors = count(&[GateOutcome::Unknown]);
    let name = xml(&format!("undertone gate: {}", report.policy));
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\"",
        report.rules.len()
    );
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{name}\" {counts}>\n<testsuite name=\"{name}\" {counts}>\n"
    );
    for rule in &report.rules {
        let (class, title) = (xml(&report.target.to_string()), xml(&rule.rule));
        out.push_str(&format!(
            "<testcase classname=\"{class}\" name=\"{title}\">\n"
        ));
        let text: Vec<String> = rule.findings.iter().map(message).collect();
        let text = xml(&text.join("\n"));
        let demands = xml(&rule.demands);
        match rule.outcome {
            GateOutcome::Pass => {}
            GateOutcome::Unknown => {
                out.push_str(&format!(
                    "<error type=\"unknown\" message=\"{demands}\">{text}</error>\n"
                ));
            }
            outcome => {
                out.push_str(&format!(
                    "<failure type=\"{outcome}\" message=\"{demands}\">{text}</failure>\n"
                ));
            }
        }
        out.push_str("</testcase>\n");
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            // XML 1.0 has no way to write these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
