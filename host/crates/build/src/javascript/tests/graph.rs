//! Graphs of modules: names that are put together, circles, long chains, and too many modules.

use super::*;

#[test]
fn a_template_a_sum_of_texts_and_both_sides_of_a_condition_are_followed() {
    let told = printed(
        "import c from './c.cjs';\nconsole.log(c.all.join(), (await c.later(false)).default, (await c.later(true)).default);",
        &[
            (
                "c.cjs",
                "const of = (a) => require(a ? './a.cjs' : `./b.cjs`);\n\
                 exports.all = [of(true), of(false), require(`./a.cjs`), require('./' + 'b' + '.cjs')];\n\
                 exports.later = (a) => import(a ? ('./a.cjs') : process.env.NODE_ENV === 'production' ? `./b.cjs` : './no.cjs');\n",
            ),
            ("a.cjs", "module.exports = 'a';\n"),
            ("b.cjs", "module.exports = 'b';\n"),
        ],
    );
    assert_eq!(told, lines(&["a,b,a,b b a"]));
    let told = printed("import './c.cjs';", &[("c.cjs", "const r = require;\nr('./d.cjs');\n"), ("d.cjs", "")])
        .expect_err("another name");
    assert!(
        told.starts_with("c.cjs:2:1: require(\"./d.cjs\") cannot be followed: ") && told.contains("another function"),
        "{told}"
    );
}

#[test]
fn the_names_of_commonjs_are_exported_again_and_no_other() {
    let c = ("c.cjs", "exports.x = 1;\nexports.y = 2;\n");
    let told = printed(
        "import * as m from './m.mjs';\nimport * as n from './n.mjs';\n\
         console.log(Object.keys(m).join(), Object.keys(n).join(), n.all.y, n.own, Object.keys(await import('./c.cjs')).join());",
        &[
            c,
            ("m.mjs", "export * from './c.cjs';\n"),
            (
                "n.mjs",
                "import * as all from './c.cjs'; export * from './c.cjs'; import own, { x as z } from './c.cjs';\n\
                 export { all, z }; const one = own.x; export { one as own };\n",
            ),
        ],
    );
    assert_eq!(told, lines(&["x,y all,own,x,y,z 2 1 default,x,y"]));
}

/// Node.js refuses such circles. A name that the module has already works, and one that it has not is told with the
/// circle.
#[test]
fn a_circle_of_both_kinds_of_modules_works_as_far_as_it_has_run() {
    let b =
        "import a from './a.cjs';\nexport const late = () => a.before;\nexport function early() { return 'early' }\n";
    let told = printed(
        "import { late } from './b.mjs';\nimport a from './a.cjs';\nconsole.log(late(), a.early(), a.late());",
        &[
            (
                "a.cjs",
                "exports.before = 1;\nconst b = require('./b.mjs');\nexports.early = b.early;\nexports.late = () => b.late();\n",
            ),
            ("b.mjs", b),
        ],
    );
    assert_eq!(told, lines(&["1 early 1"]));
    let told = printed(
        "import a from './a.cjs';\nconsole.log(a.b);",
        &[("a.cjs", "exports.before = 1;\nexports.b = require('./b.mjs').late();\n"), ("b.mjs", b)],
    )
    .expect_err("it has not run");
    assert!(told.starts_with("a.cjs:2:") && told.contains("`late` of './b.mjs' has no value yet"), "{told}");
}

/// A hundred ended the engine, and the message asked for a function that calls itself.
#[test]
fn a_chain_of_many_modules_that_require_one_another_is_loaded() {
    let chain: Vec<_> =
        (0..500).map(|n| (format!("m{n}.cjs"), format!("exports.n = require('./m{}.cjs').n + 1;\n", n + 1))).collect();
    let mut files: Vec<_> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("m500.cjs", "exports.n = 0;\n"));
    assert_eq!(printed("import m from './m0.cjs';\nconsole.log(m.n);", &files), lines(&["500"]));
}

#[test]
fn a_function_that_calls_itself_without_end_is_told() {
    let told = printed("const f = (n: number): number => f(n + 1) + 1;\nf(0);", &[]).expect_err("no end");
    assert!(told.starts_with("plugin.ts"), "{told}");
    assert!(told.contains("a function that calls itself without end"), "{told}");
}
