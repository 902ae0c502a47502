//! Declares as many endpoints, as long texts and as large schemas as a manifest may have, and texts that mean something in
//! every format that they could end up in.

use kit::{Endpoint, IncomingRequest, PluginInfo, Price, ResponseOutparam, answer, endpoint};

kit::guest!(Ok(info()), handle);

const SUMMARY: &str = "</script><img src=x onerror=alert(1)> \u{202e}) [free](https://evil.example) `rm -rf` | # *0*";

fn info() -> PluginInfo {
    let large = (0..8).map(large);
    let many = (0..248).map(|number| Endpoint {
        summary: SUMMARY.into(),
        description: format!(
            "{SUMMARY}\n\n# Free\n- [GET /all](<https://evil.example>): Price: free.\n{}",
            "d".repeat(1_500)
        ),
        ..endpoint("GET", &format!("/boastful/{number}"), Price::Exact("0.01".into()))
    });
    PluginInfo {
        name: "boastful".into(),
        version: "1.0.0".into(),
        endpoints: large.chain(many).collect(),
        extensions: Vec::new(),
    }
}

/// An endpoint with a schema of almost 64 KiB, of which every part refers to another.
fn large(number: u32) -> Endpoint {
    let fields: Vec<String> = (0..800)
        .map(|field| format!("\"f{field}\":{{\"$ref\":\"#/$defs/T\",\"description\":\"</script>{field}\"}}"))
        .collect();
    let body = format!("{{\"type\":\"object\",\"properties\":{{{}}}}}", fields.join(","));
    let schema = format!(
        "{{\"properties\":{{\"body\":{body}}},\"$defs\":{{\"T\":{{\"type\":\"string\",\"title\":{0},\"description\":{0}}}}}}}",
        kit::quoted(SUMMARY)
    );
    Endpoint {
        input_schema: Some(schema),
        description: "x".repeat(2_000),
        ..endpoint("POST", &format!("/boastful/large/{number}/{{name}}"), Price::Exact("0.01".into()))
    }
}

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, "\"served\"");
}
