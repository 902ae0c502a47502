//! Runs `coinslot test`: a plugin's own tests, and the contract of its endpoints.

use std::fs;
use std::path::Path;
use std::process::Output;

use coinslot_tests::{altered, component, run};
use serde_json::Value;

/// A plugin that keeps what it promises, in every kind of price.
const SHOP: &str = r#"
import { config, get, post } from 'coinslot';

const text = { type: 'object', properties: { text: { type: 'string', minLength: 2 } }, required: ['text'] };
const times = { type: 'object', properties: { times: { type: 'integer', maximum: 9 } }, required: ['times'] };
const shout = { type: 'object', properties: { shout: { type: 'string' } }, required: ['shout'] };

get('/hello/{name}', { price: '0.001', summary: 'Says hello', query: times }, ({ path, query }) =>
  `Hello, ${path.name}!\n`.repeat(query.times));
post('/shout', { price: '0.002', summary: 'Shouts', body: text, returns: shout }, ({ body }) =>
  ({ shout: body.text.toUpperCase() + Math.random() }));
post('/long', { quoted: '0.50', quote: ({ body }) => (body.length * 0.001).toFixed(3), body: 'text' }, ({ body }) => body);
get('/ticks', { price: '0.002', upfront: true }, async function* () { yield { data: 1 }; yield { data: 2 }; });
get('/free', { free: true, returns: { type: 'object' }, query: times }, () => ({ rate: config('rate') ?? null }));
"#;

const SHOP_TESTS: &str = r#"
import { call, describe, expect, test } from 'coinslot/test';
import './plugin.ts';

describe('shout', () => {
  test('is loud', async () => {
    const answer = await call('POST /shout', { body: { text: 'hey' } });
    expect((await answer.json()).shout).toMatch(/^HEY/);
    expect(answer.charged).toBe('0.002');
  });
});
test('the clock runs', async () => {
  const before = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(Date.now()).toBeGreaterThan(before);
});
test.skip('later', () => {});
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }
}

/// Runs `coinslot test --json` on files, and gives the document and the exit code.
fn tested(files: &[(&str, &str)], arguments: &[&str]) -> (Value, Option<i32>) {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), files);
    tested_in(dir.path(), arguments)
}

fn tested_in(dir: &Path, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = run(dir, &[&["test", "--json"], arguments].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", both(&output)));
    (document, output.status.code())
}

fn both(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The checks as lines: `contract GET /free: free passed`.
fn lines(document: &Value) -> Vec<String> {
    let of = |check: &Value, member: &str| check[member].as_str().expect("text").to_owned();
    let checks = document["checks"].as_array().expect("a list");
    let line = |check: &Value| {
        let [suite, group, name, outcome] = ["suite", "group", "name", "outcome"].map(|member| of(check, member));
        format!("{suite} {group}: {name} {outcome}")
    };
    checks.iter().map(line).collect()
}

#[test]
fn a_plugin_that_keeps_its_promises_passes_every_check() {
    let (document, code) = tested(&[("plugin.ts", SHOP), ("plugin.test.ts", SHOP_TESTS)], &[]);
    assert_eq!(code, Some(0), "{document:#}");
    assert_eq!(
        lines(&document),
        [
            "unit plugin.test.ts: shout > is loud passed",
            "unit plugin.test.ts: the clock runs passed",
            "unit plugin.test.ts: later skipped",
            "contract GET /hello/{name}: unpaid passed",
            "contract GET /hello/{name}: forbidden passed",
            "contract GET /hello/{name}: paid passed",
            "contract GET /hello/{name}: again passed",
            "contract POST /shout: unpaid passed",
            "contract POST /shout: forbidden passed",
            "contract POST /shout: paid passed",
            "contract POST /shout: again passed",
            "contract POST /long: unpaid passed",
            "contract POST /long: paid passed",
            "contract POST /long: again passed",
            "contract GET /ticks: unpaid passed",
            "contract GET /ticks: paid passed",
            "contract GET /ticks: again passed",
            "contract GET /free: free passed",
            "contract GET /free: forbidden passed",
        ]
    );
    assert_eq!((&document["passed"], &document["skipped"]), (&18.into(), &1.into()));
    let detail = |line: usize| document["checks"][line]["detail"].as_str().expect("text").to_owned();
    assert!(detail(7).contains("0.002 USDC"), "{}", detail(7));
    assert!(detail(8).contains("400, nothing charged, /body"), "{}", detail(8));
    assert!(detail(9).contains("200 application/json, fits its schema, 0.002 USDC charged"), "{}", detail(9));
    assert!(detail(11).contains("quotes 0.007 USDC, at most 0.5"), "{}", detail(11));
}

#[test]
fn a_report_for_people_has_a_line_for_each_check_and_the_sums() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[("plugin.ts", SHOP), ("plugin.test.ts", SHOP_TESTS)]);
    let output = run(dir.path(), &["test", ".", "--filter", "shout"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", both(&output));
    for part in
        ["unit      plugin.test.ts\n", "  ok      shout > is loud", "contract  POST /shout", "5 passed, 0 failed, in "]
    {
        assert!(said.contains(part), "{part:?} in:\n{said}");
    }
    assert!(!said.contains("/hello") && !said.contains("the clock"), "others are filtered:\n{said}");
    assert_eq!(text(&output.stderr), "", "the host is quiet");
}

/// Declarations of a module, the check that fails by them, and its reason.
const BROKEN: &[(&str, &str, &str)] = &[
    (
        "get('/a', { price: '0.01', returns: { type: 'object', required: ['n'] } }, () => new Response('{}', { headers: { 'content-type': 'application/json' } }));",
        "contract GET /a: paid failed",
        "does not fit its output schema: at `/n`: it is missing (0.01 USDC was charged)",
    ),
    (
        "get('/a', { free: true, returns: { type: 'integer' } }, () => new Response('1', { headers: { 'content-type': 'text/csv' } }));",
        "contract GET /a: free failed",
        "its media type is text/csv, and application/json is declared",
    ),
    (
        "get('/a', { price: '0.01' }, () => { throw new Error('broken'); });",
        "contract GET /a: paid failed",
        "(nothing was charged)",
    ),
    (
        "get('/a', { price: '0.01', upfront: true }, () => { throw new Error('broken'); });",
        "contract GET /a: paid failed",
        "(0.01 USDC was charged)",
    ),
    (
        "get('/a', { quoted: '0.01', quote: () => '0.02' }, () => 'a');",
        "contract GET /a: unpaid failed",
        "no price was asked: 50",
    ),
    (
        "const any = { '~standard': { version: 1, vendor: 'mine', validate: (value) => ({ value }) } };\n\
         const query = withJsonSchema(any, { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] });\n\
         get('/a', { price: '0.01', query }, () => 'a');",
        "contract GET /a: forbidden failed",
        "a price is asked for an input that the schema forbids (/query",
    ),
    (
        "get('/a/{id}', { price: '0.01', check: ({ path }) => { if (path.id !== '7') throw new Refusal(404, 'gone', 'no such id'); } }, () => 'a');",
        "contract GET /a/{id}: unpaid failed",
        "404 gone: no such id: give an input that it accepts as `examples`",
    ),
    (
        "get('/a', { price: '0.01', query: { type: 'object', properties: { a: { type: 'string', not: { minLength: 1 } } }, required: ['a'] } }, () => 'a');",
        "contract GET /a: example failed",
        "no input that fits its schema could be made (at `/query/a`",
    ),
    (
        "get('/a', { price: '0.01' }, async () => { await new Promise((resolve) => setTimeout(resolve, 60_000)); return 'a'; });",
        "contract GET /a: paid failed",
        "no complete answer came within 1 seconds",
    ),
];

#[test]
fn a_plugin_that_breaks_a_promise_fails_the_check_of_it() {
    for (declarations, failed, reason) in BROKEN {
        let module = format!("import {{ get, Refusal, withJsonSchema }} from 'coinslot';\n{declarations}\n");
        let timeout = if declarations.contains("60_000") { "1" } else { "30" };
        let (document, code) = tested(&[("plugin.ts", &module)], &["--timeout", timeout]);
        assert_eq!(code, Some(1), "{declarations}: {document:#}");
        let at = lines(&document).iter().position(|line| line == failed);
        let at = at.unwrap_or_else(|| panic!("{declarations}: {document:#}"));
        let said = document["checks"][at]["detail"].as_str().expect("text");
        assert!(said.contains(reason), "{declarations}\nshould say {reason:?}:\n{said}");
        assert_eq!(document["failed"], 1, "one fault is one failure: {document:#}");
    }
}

#[test]
fn an_example_that_the_author_gives_is_sent() {
    let module = "import { get, Refusal } from 'coinslot';\n\
        get('/a/{id}', { price: '0.01', examples: { path: { id: '7' } }, check: ({ path }) => {\n\
        if (path.id !== '7') throw new Refusal(404, 'gone', 'no such id'); } }, ({ path }) => path.id);\n";
    let (document, code) = tested(&[("plugin.ts", module)], &[]);
    assert_eq!(code, Some(0), "{document:#}");
}

/// A plugin of forms: one with a file, as zod describes it, one of parts, one whose handler reads the form itself, and
/// one that takes nothing that is made up.
const FORMS: &str = r#"
import { post, Refusal, withJsonSchema } from 'coinslot';

const file = { type: 'string', format: 'binary', contentMediaType: 'image/png' };
const form = (properties, more) => ({ type: 'object', properties, required: Object.keys(properties), ...more });
const validate = (value) =>
  value.picture instanceof File ? { value } : { issues: [{ message: 'expected file', path: ['picture'] }] };
const Picture = withJsonSchema({ '~standard': { version: 1, vendor: 'test', validate } }, form({ picture: file }));
const Parts = form({ a: { type: 'string' } }, { contentMediaType: 'multipart/form-data' });

post('/file', { price: '0.01', body: Picture }, ({ body }) => `${body.picture.name} ${body.picture.type}`);
post('/parts', { price: '0.01', body: Parts }, ({ request, body }) => {
  if (!request.headers.get('content-type').startsWith('multipart/')) throw new Error('expected parts');
  return body.a;
});
post('/own', { price: '0.01' }, async ({ request }) => [...(await request.formData()).keys()].join());
post('/picky', { price: '0.01' }, () => { throw new Refusal(415, 'not_a_picture', 'send a picture'); });
"#;

/// An endpoint of a form got JSON or a text, and answered `415 not_a_form` or `expected file`.
#[test]
fn an_endpoint_that_reads_a_form_or_a_file_gets_one() {
    let (document, code) = tested(&[("plugin.ts", FORMS)], &["--only", "contract"]);
    assert_eq!(code, Some(1), "{document:#}");
    let lines = lines(&document);
    for path in ["/file", "/parts", "/own"] {
        for check in ["paid", "again"] {
            assert!(lines.contains(&format!("contract POST {path}: {check} passed")), "{path}: {document:#}");
        }
    }
    let failed = lines.iter().position(|line| line == "contract POST /picky: paid failed");
    let said = document["checks"][failed.expect("it fails")]["detail"].as_str().expect("text");
    assert!(said.contains("it declares nothing of its body, and neither a text nor a form"), "{said}");
    assert_eq!(document["failed"], 1, "{document:#}");
}

/// A test that waits was given ten seconds, whatever `--timeout` said.
#[test]
fn a_test_that_waits_has_the_time_of_the_command_line_and_those_after_it_run() {
    let tests = "import { test } from 'coinslot/test';\n\
        const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));\n\
        test('waits', () => wait(3_600_000));\ntest('is short', () => wait(10));\n";
    let module = "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n";
    let files = [("plugin.ts", module), ("plugin.test.ts", tests)];
    let (document, code) = tested(&files, &["--only", "unit", "--timeout", "0.5"]);
    assert_eq!(code, Some(1), "{document:#}");
    assert_eq!(lines(&document), ["unit plugin.test.ts: waits failed", "unit plugin.test.ts: is short passed"]);
    let said = document["checks"][0]["detail"].as_str().expect("text");
    assert!(said.contains("it did not end within 0.5 seconds"), "{said}");
}

#[test]
fn a_test_that_fails_is_told_with_its_place_and_what_it_printed() {
    let tests = "import { expect, test } from 'coinslot/test';\n\
        test('adds', () => {\n  console.log('nearly');\n  expect(1 + 1).toBe(3);\n});\n\
        test('waits', () => { for (;;) {} });\ntest('never runs', () => {});\n";
    let module = "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n";
    let files = [("plugin.ts", module), ("tests/plugin.test.ts", tests)];
    let (document, code) = tested(&files, &["--only", "unit", "--timeout", "0.5"]);
    assert_eq!(code, Some(1), "{document:#}");
    assert_eq!(lines(&document), ["unit tests/plugin.test.ts: adds failed", "unit tests/plugin.test.ts: waits failed"]);
    let [adds, waits] = [0, 1].map(|at| &document["checks"][at]);
    let said = adds["detail"].as_str().expect("text");
    assert!(said.contains("expected 2 to be 3") && said.contains("tests/plugin.test.ts:4:"), "{said}");
    assert!(adds["output"].as_str().expect("text").contains("nearly"), "{adds}");
    let said = waits["detail"].as_str().expect("text");
    assert!(said.contains("it did not end within 0.5 seconds"), "{said}");
}

/// No code runs while a test waits, so nothing could be interrupted: the run waited for as long as the test.
#[test]
fn a_test_that_waits_for_longer_than_its_time_is_stopped() {
    let tests = "import { test } from 'coinslot/test';\n\
        test('sleeps', async () => { await new Promise((resolve) => setTimeout(resolve, 3_600_000)); });\n";
    let module = "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n";
    let files = [("plugin.ts", module), ("plugin.test.ts", tests)];
    let (document, code) = tested(&files, &["--only", "unit", "--timeout", "0.5"]);
    assert_eq!((code, lines(&document)), (Some(1), vec!["unit plugin.test.ts: sleeps failed".to_owned()]));
    let said = document["checks"][0]["detail"].as_str().expect("text");
    assert!(said.contains("it did not end within 0.5 seconds"), "{said}");
}

/// A terminal obeys escape codes, and the output of a dependency is not the author's.
#[test]
fn what_a_test_prints_cannot_control_the_terminal() {
    let tests = "import { test } from 'coinslot/test';\n\
        test('is \\x1b[31mred', () => { console.log('a\\x1b]0;title\\x07b'); throw new Error('c\\x1b[2Jd'); });\n";
    let module = "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n";
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[("plugin.ts", module), ("plugin.test.ts", tests)]);
    let output = run(dir.path(), &["test", "--only", "unit"]);
    let said = both(&output);
    assert!(said.contains("title") && said.contains("[2Jd") && said.contains("red"), "{said}");
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said:?}");
}

/// What the host does not enforce it does not refuse: a check of it would say nothing, and its absence must not look
/// like a success.
#[test]
fn a_schema_that_the_host_does_not_enforce_is_named_with_the_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("schemas.wasm"), altered("schemas", "#/$defs/Item", "file:///a/bc")).expect("written");
    let (document, _) = tested_in(dir.path(), &["--only", "contract", "schemas.wasm"]);
    let checks = document["checks"].as_array().expect("a list").iter();
    let skipped = checks.filter(|check| check["name"] == "schema" && check["outcome"] == "skipped");
    let told: Vec<_> = skipped.map(|check| format!("{}: {}", check["group"], check["detail"])).collect();
    assert_eq!(told.len(), 1, "{document:#}");
    let of_endpoint =
        told[0].starts_with("\"POST /schemas/order\": \"input-schema is not enforced: at `/properties/body`");
    assert!(of_endpoint && told[0].contains("outside of the schema"), "{told:?}");
}

/// One was written round by round, a million times a million, and the other resolved twelve times at each of sixteen
/// levels: no `--timeout` ended the run.
#[test]
fn schemas_that_ask_for_more_than_any_machine_has_end_their_check_alone() {
    let module = r##"
import { get } from 'coinslot';
const field = (name, schema) => ({ type: 'object', properties: { [name]: schema }, required: [name] });
get('/pattern', { free: true, query: field('x', { type: 'string', pattern: '((a?){1000000}){1000000}' }) }, () => 'a');
const whole = Array.from({ length: 12 }, () => ({ $ref: '#' }));
get('/parts', { free: true, query: { type: 'object', required: ['x'], allOf: whole } }, () => 'a');
get('/other', { free: true }, () => 'a');
"##;
    let (document, code) = tested(&[("plugin.js", module)], &["--only", "contract"]);
    let found = lines(&document);
    assert_eq!(code, Some(1), "{document:#}");
    assert!(found.contains(&"contract GET /pattern: example failed".to_owned()), "{document:#}");
    assert!(found.contains(&"contract GET /other: free passed".to_owned()), "{document:#}");
}

/// A plugin that sees that it is tested can keep its promises just then.
#[test]
fn a_test_looks_to_a_plugin_like_any_payer() {
    let module = "import { get } from 'coinslot';\n\
        get('/who', { price: '0.001', returns: { type: 'object', properties: { agent: { pattern: '^coinslot/[0-9.]+$' } },\n\
        required: ['agent'] } }, ({ headers }) => ({ agent: headers.get('user-agent') }));\n";
    let (document, code) = tested(&[("plugin.js", module)], &["--only", "contract"]);
    assert_eq!(code, Some(0), "{document:#}");
}

#[test]
fn a_file_of_tests_that_cannot_be_loaded_is_a_failure_and_a_plugin_that_cannot_be_built_is_another() {
    let module = "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n";
    let files = [("plugin.ts", module), ("plugin.test.ts", "import './missing';\n")];
    let (document, code) = tested(&files, &["--only", "unit"]);
    assert_eq!((code, lines(&document)), (Some(1), vec!["unit plugin.test.ts: it cannot be loaded failed".to_owned()]));
    let said = document["checks"][0]["detail"].as_str().expect("text");
    assert!(said.contains("plugin.test.ts:1:8: there is no file `./missing`"), "{said}");

    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[("plugin.ts", "const a = (;\n")]);
    let output = run(dir.path(), &["test"]);
    assert_eq!(output.status.code(), Some(65), "{}", both(&output));
    assert!(text(&output.stderr).contains("plugin.ts:1:12"), "{}", both(&output));
    assert_eq!(run(dir.path(), &["test", "nowhere"]).status.code(), Some(2));
    assert_eq!(run(dir.path(), &["test", "--timeout", "0"]).status.code(), Some(2));
}

#[test]
fn a_run_that_tests_nothing_is_a_failure() {
    let module = "import { get } from 'coinslot';\nget('/a', { free: true }, () => 'a');\n";
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[("plugin.ts", module)]);
    for (arguments, expected) in [
        (["--only", "unit"], "no tests of its own: a test is in a file like plugin.test.ts"),
        (["--filter", "nothing"], "nothing was tested: no name contains `nothing`"),
    ] {
        let output = run(dir.path(), &[&["test"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", both(&output));
        assert!(text(&output.stderr).contains(expected), "{}", both(&output));
    }
}

#[test]
fn a_component_a_module_and_what_its_operator_grants_are_tested_alike() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("schemas.wasm"), component("schemas")).expect("written");
    let (document, code) = tested_in(dir.path(), &["schemas.wasm", "--filter", "/schemas/order"]);
    assert_eq!(code, Some(0), "{document:#}");
    assert_eq!(lines(&document).len(), 4, "{document:#}");

    let module = "import { config, get, plugin } from 'coinslot';\n\
        plugin({ onLoad() { if (!config('rate')) throw new Error('set rate'); } });\n\
        get('/rate', { price: '0.01' }, () => config('rate'));\n";
    let toml = "[plugin.rates.config]\nrate = \"7\"\n";
    write(dir.path(), &[("rates.ts", module), ("coinslot.toml", toml)]);
    let (document, code) = tested_in(dir.path(), &["rates.ts", "-c", "coinslot.toml"]);
    assert_eq!(code, Some(0), "{document:#}");
    let (document, code) = tested_in(dir.path(), &["rates.ts"]);
    assert_eq!((code, lines(&document)), (Some(1), vec!["contract rates.wasm: load failed".to_owned()]));
    assert!(document.to_string().contains("set rate"), "{document:#}");
}

#[test]
fn tests_in_python_run_by_unittest_with_the_sdk() {
    let tests = "import unittest\n\nimport app\nfrom coinslot.testing import call\n\n\n\
        class Hello(unittest.TestCase):\n\
        \x20   def test_it_greets(self):\n        self.assertEqual(call('GET', '/hello/Ada').text, 'Hello, Ada!')\n\n\
        \x20   def test_it_is_wrong(self):\n        self.assertEqual(call('GET', '/hello/Ada').status, 201)\n";
    let module = "from coinslot import get\n\n\n@get('/hello/{name}', price='0.001', summary='Says hello')\n\
        def hello(name: str) -> str:\n    return f'Hello, {name}!'\n";
    let (document, code) = tested(&[("app.py", module), ("test_app.py", tests)], &["--only", "unit"]);
    assert_eq!(code, Some(1), "{document:#}");
    let found = lines(&document);
    assert!(found.iter().any(|line| line.contains("test_it_greets passed")), "{document:#}");
    assert!(found.iter().any(|line| line.contains("test_it_is_wrong failed")), "{document:#}");
    assert!(document.to_string().contains("AssertionError: 200 != 201"), "{document:#}");
}

/// The process ended with 0, and the tests that had not run were not missed.
#[test]
fn a_test_in_python_that_ends_the_process_has_failed() {
    let tests = "import os\nimport unittest\n\n\nclass Hello(unittest.TestCase):\n\
        \x20   def test_it_leaves(self):\n        os._exit(0)\n\n\
        \x20   def test_then_it_fails(self):\n        self.fail()\n";
    let module = "from coinslot import get\n\n\n@get('/a', price='0.001')\ndef a() -> str:\n    return 'a'\n";
    let (document, code) = tested(&[("app.py", module), ("test_app.py", tests)], &["--only", "unit"]);
    assert_eq!(code, Some(1), "{document:#}");
    assert!(lines(&document).iter().any(|line| line.contains("test_it_leaves failed")), "{document:#}");
}

/// The run read stderr until the process that was left behind had ended, also when its own time was over.
#[test]
fn a_test_in_python_that_leaves_a_process_behind_does_not_hold_up_the_run() {
    let tests = "import subprocess\nimport unittest\n\n\nclass Hello(unittest.TestCase):\n\
        \x20   def test_it_leaves_one(self):\n        subprocess.Popen(['sleep', '300'], start_new_session=True)\n";
    let module = "from coinslot import get\n\n\n@get('/a', price='0.001')\ndef a() -> str:\n    return 'a'\n";
    let begun = std::time::Instant::now();
    let (document, code) = tested(&[("app.py", module), ("test_app.py", tests)], &["--only", "unit"]);
    assert_eq!(code, Some(0), "{document:#}");
    assert!(begun.elapsed().as_secs() < 200, "{:?}", begun.elapsed());
}

#[test]
fn a_crate_is_tested_by_cargo() {
    let manifest = "[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    let source = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n        assert_eq!(1 + 1, 2);\n    }\n\
        \x20   #[test]\n    fn breaks() {\n        assert_eq!(1 + 1, 3);\n    }\n}\n";
    let files = [("Cargo.toml", manifest), ("src/lib.rs", source)];
    let (document, code) = tested(&files, &["--only", "unit"]);
    assert_eq!(code, Some(1), "{document:#}");
    assert_eq!(lines(&document), ["unit cargo test: tests::adds passed", "unit cargo test: tests::breaks failed"]);
    assert!(document["checks"][1]["detail"].as_str().expect("text").contains("left: 2"), "{document:#}");
    let broken = [("Cargo.toml", manifest), ("src/lib.rs", "fn a() -> u8 { \"a\" }\n")];
    let (document, code) = tested(&broken, &["--only", "unit"]);
    assert_eq!((code, lines(&document)), (Some(1), vec!["unit cargo test: it does not compile failed".to_owned()]));
    assert!(document.to_string().contains("mismatched types"), "{document:#}");
}
