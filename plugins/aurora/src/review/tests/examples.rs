//! For each rule code that breaks it, and code like it that does not.

/// Rules whose examples are built in the tests, because they are long.
pub(super) const BUILT: &[&str] = &[
    "common/long-function",
    "common/deep-nesting",
    "common/many-parameters",
    "common/complex-function",
];

type Examples = &'static [(&'static str, &'static str, &'static str)];

pub(super) const RUST: Examples = &[
    (
        "common/secret",
        "const API_KEY: &str = \"a8f3kd92jd83\";",
        "const API_KEY: &str = \"your-key-here-1\";",
    ),
    (
        "common/secret",
        "let k = \"AKIAABCDEFGHIJKLMNOP\";",
        "let k = \"AKIA is a prefix\";",
    ),
    (
        "common/todo",
        "// TODO: finish",
        "// TODOS are a kind of list",
    ),
    (
        "common/conflict-marker",
        "fn a() {}\n<<<<<<< HEAD\nfn b() {}",
        "fn a() {}\nlet x = y << 7;",
    ),
    ("common/unbalanced", "fn a() { (1 }", "fn a() { (1) }"),
    (
        "common/plain-http",
        "let u = \"http://api.acme.com/v1\";",
        "let u = \"http://localhost:8080\";",
    ),
    (
        "rust/unwrap",
        "fn f() { x.unwrap(); }",
        "fn f() { x.unwrap_or(1); unwrap(); }",
    ),
    (
        "rust/expect",
        "fn f() { x.expect(\"y\"); }",
        "fn f() { parser.expect(Token::If); }",
    ),
    (
        "rust/panic",
        "fn f() { panic!(\"x\"); }",
        "fn f() { std::panic::catch_unwind(g); }",
    ),
    (
        "rust/todo-macro",
        "fn f() { todo!() }",
        "fn f() { todo(); }",
    ),
    (
        "rust/dbg-macro",
        "fn f() { dbg!(x); }",
        "fn f() { dbg(x); }",
    ),
    (
        "rust/unsafe-without-reason",
        "fn f() { unsafe { g() } }",
        "fn f() {\n    // SAFETY: g has no condition.\n    unsafe { g() }\n}",
    ),
    (
        "rust/blocking-in-async",
        "async fn f() { std::thread::sleep(d); }",
        "fn f() { std::thread::sleep(d); }",
    ),
    (
        "rust/blocking-in-async",
        "pub async fn f() { let x = std::fs::read(p)?; }",
        "async fn f() { spawn_blocking(|| std::fs::read(p)).await; }",
    ),
    (
        "rust/lock-across-await",
        "async fn f() { let g = m.lock().unwrap(); h().await; }",
        "async fn f() { let g = m.lock().unwrap(); drop(g); h().await; }",
    ),
    (
        "rust/lock-across-await",
        "async fn f() { let mut g = m.lock(); h().await; }",
        "async fn f() { { let g = m.lock(); } let v = m.lock().unwrap().len(); h().await; }",
    ),
    (
        "rust/len-cast",
        "let n = v.len() as u32;",
        "let n = v.len() as u64;",
    ),
    (
        "rust/len-underflow",
        "let n = v[v.len() - 1];",
        "let n = v.len().checked_sub(1);",
    ),
    (
        "rust/transmute",
        "let x = mem::transmute::<A, B>(a);",
        "let transmute = 1;",
    ),
    (
        "rust/static-mut",
        "static mut X: u8 = 0;",
        "static X: AtomicU8 = AtomicU8::new(0);",
    ),
    (
        "rust/owned-reference",
        "fn f(x: &Vec<u8>) {}",
        "fn f(x: &[u8]) -> &Vec<u8> { g(&x) }",
    ),
    (
        "rust/owned-reference",
        "fn f(x: &String) {}",
        "fn f(x: &str, y: &mut String) {}",
    ),
    (
        "rust/dropped-result",
        "fn f() { let _ = send(x); }",
        "fn f() { let _ = write!(s, \"x\"); let _x = send(); }",
    ),
    (
        "rust/swallowed-error",
        "match f() { Ok(x) => g(x), Err(_) => {} }",
        "match f() { Ok(x) => g(x), Err(_) => return None }",
    ),
    (
        "rust/sql-format",
        "let q = format!(\"SELECT * FROM t WHERE id = {}\", id);",
        "let q = format!(\"Chose {} from the list\", id.len());",
    ),
    (
        "rust/shell",
        "Command::new(\"sh\").arg(\"-c\").arg(x);",
        "Command::new(\"git\").arg(\"-c\").arg(x);",
    ),
    (
        "rust/tls-off",
        "b.danger_accept_invalid_certs(true);",
        "b.danger_accept_invalid_certs(false);",
    ),
    (
        "rust/float-equality",
        "if x == 0.1 {}",
        "if x == 1 || y < 0.1 {}",
    ),
    ("rust/bool-comparison", "if x == true {}", "if x {}"),
    (
        "rust/allow-warnings",
        "#![allow(warnings)]",
        "#![allow(dead_code)]",
    ),
    ("rust/forget", "std::mem::forget(x);", "user.forget(x);"),
];

pub(super) const PYTHON: Examples = &[
    (
        "common/secret",
        "password = \"hunter2hunter2\"",
        "password = os.environ[\"PASSWORD1\"]",
    ),
    (
        "common/secret",
        "c = {\"api_key\": \"a8f3kd92jd83\"}",
        "c = {\"api_key\": \"${API_KEY_1}\"}",
    ),
    ("common/todo", "# FIXME later", "# fixed it"),
    (
        "python/mutable-default",
        "def f(a, b=[]):\n    pass",
        "def f(a, b=None, c=()):\n    d = []\n",
    ),
    (
        "python/mutable-default",
        "def f(a: list[int] = list()):\n    pass",
        "def f(a: list[int] | None = None):\n    pass",
    ),
    (
        "python/bare-except",
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept ValueError:\n    g()",
    ),
    (
        "python/swallowed-exception",
        "try:\n    f()\nexcept OSError as e:\n    pass\nx = 1",
        "try:\n    f()\nexcept OSError as e:\n    log(e)\n",
    ),
    (
        "python/eval",
        "x = eval(y)",
        "x = ast.literal_eval(y); model.eval()",
    ),
    (
        "python/none-comparison",
        "if x == None:\n    pass",
        "if x is None:\n    pass",
    ),
    (
        "python/bool-comparison",
        "if x == True:\n    pass",
        "if x:\n    pass",
    ),
    (
        "python/is-literal",
        "if x is 'a':\n    pass",
        "if x is None or x is not y:\n    pass",
    ),
    (
        "python/sql-injection",
        "db.execute(f\"SELECT * FROM t WHERE id = {i}\")",
        "db.execute(\"SELECT * FROM t WHERE id = %s\", (i,))",
    ),
    (
        "python/sql-injection",
        "db.execute(\"DELETE FROM t WHERE id = \" + i)",
        "db.execute(f\"VACUUM {i}\")",
    ),
    (
        "python/shell",
        "subprocess.run(c, shell=True)",
        "subprocess.run([\"ls\"], shell=False)",
    ),
    ("python/shell", "os.system(c)", "os.path.join(c)"),
    (
        "python/unsafe-load",
        "x = pickle.loads(b)",
        "x = json.loads(b)",
    ),
    (
        "python/unsafe-load",
        "x = yaml.load(f)",
        "x = yaml.load(f, Loader=yaml.SafeLoader)",
    ),
    (
        "python/request-without-timeout",
        "requests.get(u, headers=h)",
        "requests.get(u, timeout=5)",
    ),
    (
        "python/tls-off",
        "requests.get(u, timeout=1, verify=False)",
        "requests.get(u, timeout=1, verify=True)",
    ),
    (
        "python/star-import",
        "from os import *",
        "from os import path\nx = a * b",
    ),
    (
        "python/weak-hash",
        "hashlib.md5(x)",
        "hashlib.md5(x, usedforsecurity=False)",
    ),
    ("python/debugger", "breakpoint()", "set_breakpoint()"),
    (
        "python/blocking-in-async",
        "async def f():\n    time.sleep(1)",
        "async def f():\n    await asyncio.sleep(1)\n\ndef g():\n    time.sleep(1)",
    ),
    (
        "python/assert-tuple",
        "assert (x, \"no\")",
        "assert (x == 1), \"no\"",
    ),
    (
        "python/open-without-with",
        "f = open(p)",
        "with open(p) as f:\n    pass",
    ),
    (
        "python/open-without-with",
        "x = json.loads(open(p).read())",
        "x = webbrowser.open(p)",
    ),
    (
        "python/weak-random",
        "token = random.choice(abc)",
        "colour = random.choice(abc)",
    ),
    (
        "python/return-in-finally",
        "def f():\n    try:\n        g()\n    finally:\n        return 1",
        "def f():\n    try:\n        g()\n    finally:\n        h()\n    return 1",
    ),
    (
        "python/type-comparison",
        "if type(x) == int:\n    pass",
        "if isinstance(x, int):\n    pass",
    ),
    (
        "python/debug-server",
        "app.run(host=h, debug=True)",
        "settings(debug=True)",
    ),
    (
        "python/naive-time",
        "t = datetime.utcnow()",
        "t = datetime.now(timezone.utc)",
    ),
    (
        "python/shadowed-builtin",
        "list = [1]",
        "f(\n    id=1,\n    type=2,\n)\nx.id = 3",
    ),
];

pub(super) const SCRIPT: Examples = &[
    (
        "common/secret",
        "const c = { password: 'hunter2hunter2' };",
        "const c = { password: process.env.PASSWORD };",
    ),
    ("common/todo", "/* HACK */", "// hackathon"),
    (
        "js/loose-equality",
        "if (a == 1) b();",
        "if (a === 1 || a == null) b();",
    ),
    ("js/var", "var a = 1;", "let a = 1; x.var = 2;"),
    ("js/console", "console.log(a);", "console.error(a);"),
    (
        "js/inner-html",
        "el.innerHTML = a;",
        "el.textContent = a; el.innerHTML = '';",
    ),
    ("js/inner-html", "document.write(a);", "stream.write(a);"),
    (
        "js/eval",
        "setTimeout('f()', 1);",
        "setTimeout(f, 1); model.eval();",
    ),
    (
        "js/eval",
        "const f = new Function(a);",
        "const f = new Functor(a);",
    ),
    (
        "js/floating-promise",
        "async function f() {}\nf();",
        "async function f() {}\nawait f();\nf().catch(g);\nconst x = f();\nvoid f();",
    ),
    (
        "js/floating-promise",
        "const f = async (x) => {\n  g(x);\n};\nf(1);\n",
        "function f() {}\nf();",
    ),
    (
        "js/then-without-catch",
        "a.b().then(c);",
        "a.b().then(c).catch(d);\nreturn a.then(b);\nconst x = a.then(b);\na.then(b, c);",
    ),
    (
        "js/empty-catch",
        "try { a(); } catch (e) {}",
        "try { a(); } catch (e) { /* it is optional */ }",
    ),
    (
        "js/async-foreach",
        "a.forEach(async (x) => { await b(x); });",
        "a.map(async (x) => b(x));",
    ),
    ("js/debugger", "debugger;", "const o = { debugger: 1 };"),
    (
        "js/sql-injection",
        "db.query(`SELECT * FROM t WHERE id = ${id}`);",
        "db.query(sql`SELECT * FROM t WHERE id = ${id}`);",
    ),
    (
        "js/sql-injection",
        "db.query('DELETE FROM t WHERE id = ' + id);",
        "db.query('SELECT * FROM t WHERE id = $1', [id]);",
    ),
    (
        "js/shell",
        "exec(`ls ${d}`);",
        "execFile('ls', [d]); pattern.exec(`a${d}`);",
    ),
    ("js/parse-int-radix", "parseInt(a);", "parseInt(a, 10);"),
    (
        "js/nan-comparison",
        "if (a === NaN) b();",
        "if (Number.isNaN(a)) b();",
    ),
    (
        "js/assignment-in-condition",
        "if (a = b) c();",
        "if (a === b) c();\nwhile ((m = r.exec(s))) d(m);",
    ),
    (
        "js/weak-random",
        "const token = Math.random();",
        "const x = Math.random();",
    ),
    (
        "js/tls-off",
        "const o = { rejectUnauthorized: false };",
        "const o = { rejectUnauthorized: true };",
    ),
    (
        "js/await-in-loop",
        "async function f() { for (const a of b) { await c(a); } }",
        "async function f() { for await (const a of b) { c(a); } await d(); }",
    ),
    ("js/throw-literal", "throw 'x';", "throw new Error('x');"),
    (
        "js/async-executor",
        "new Promise(async (a) => a());",
        "new Promise((a) => a());",
    ),
    (
        "js/weak-hash",
        "crypto.createHash('md5');",
        "crypto.createHash('sha256');",
    ),
    (
        "js/token-in-storage",
        "localStorage.setItem('access_token', t);",
        "localStorage.setItem('theme', t);",
    ),
    (
        "js/post-message-any",
        "w.postMessage(a, '*');",
        "w.postMessage(a, origin);",
    ),
    (
        "js/for-in-array",
        "for (const a in b) c(a);",
        "for (const a of b) c(a);",
    ),
];

pub(super) const TYPED: Examples = &[
    (
        "ts/any",
        "function f(a: any) {}",
        "function f(a: unknown): boolean { return any(a); }",
    ),
    ("ts/any", "const a = b as any;", "const o = { any: 1 };"),
    (
        "ts/any",
        "const m: Map<string, any> = x;",
        "const m: Map<string, Any> = x;",
    ),
    (
        "ts/suppressed",
        "// @ts-ignore\na();",
        "// @ts-expect-error: the types lag\na();",
    ),
    (
        "ts/non-null",
        "a!.b();",
        "if (!a.b) c(); const x = a != b; const y = !z;",
    ),
    (
        "ts/double-assertion",
        "const a = b as unknown as C;",
        "const a = b as C;",
    ),
    (
        "ts/wrapper-type",
        "function f(a: String) {}",
        "function f(a: string) { return String(a); }",
    ),
    (
        "ts/require",
        "const a = require('b');",
        "import a from 'b';",
    ),
    (
        "js/floating-promise",
        "class A {\n  m() {\n    fetch(u);\n  }\n}",
        "class A {\n  async m() {\n    return fetch(u);\n  }\n}",
    ),
];

pub(super) const GO: Examples = &[
    (
        "common/secret",
        "var apiKey = \"a8f3kd92jd83\"",
        "var apiKey = os.Getenv(\"API_KEY1\")",
    ),
    (
        "go/ignored-error",
        "func f() {\n\tx, _ := g()\n}",
        "func f() {\n\tfor _, x := range y {\n\t}\n\tvar _ I = T{}\n}",
    ),
    (
        "go/unchecked-error",
        "func f() {\n\tjson.Unmarshal(b, &x)\n}",
        "func f() {\n\tif err := json.Unmarshal(b, &x); err != nil {\n\t}\n\tfmt.Println(x)\n}",
    ),
    (
        "go/unchecked-error",
        "func f() {\n\tjson.NewDecoder(r).Decode(&x)\n}",
        "func f() {\n\terr := json.NewDecoder(r).Decode(&x)\n\tdefer w.Flush()\n}",
    ),
    (
        "go/defer-in-loop",
        "func f() {\n\tfor _, x := range y {\n\t\tdefer x.Close()\n\t}\n}",
        "func f() {\n\tfor _, x := range y {\n\t\tfunc() {\n\t\t\tdefer x.Close()\n\t\t}()\n\t}\n}",
    ),
    (
        "go/panic",
        "func f() {\n\tpanic(\"x\")\n}",
        "func main() {\n\tpanic(\"x\")\n}\nfunc MustF() {\n\tpanic(1)\n}",
    ),
    (
        "go/sql-injection",
        "q := fmt.Sprintf(\"SELECT * FROM t WHERE id = %s\", id)",
        "db.Query(\"SELECT * FROM t WHERE id = $1\", id)",
    ),
    (
        "go/sql-injection",
        "q := \"DELETE FROM t WHERE id = \" + id",
        "q := \"DELETE FROM t\"",
    ),
    (
        "go/shell",
        "c := exec.Command(\"sh\", \"-c\", x)",
        "c := exec.Command(\"git\", \"-c\", x)",
    ),
    (
        "go/tls-off",
        "c := &tls.Config{InsecureSkipVerify: true}",
        "c := &tls.Config{InsecureSkipVerify: false}",
    ),
    (
        "go/http-without-timeout",
        "func f() {\n\tr, err := http.Get(u)\n}",
        "c := &http.Client{Timeout: t}",
    ),
    (
        "go/http-without-timeout",
        "c := &http.Client{}",
        "m := http.MethodGet",
    ),
    (
        "go/error-text",
        "if err.Error() == \"x\" {\n}",
        "s := err.Error()",
    ),
    (
        "go/error-comparison",
        "if err == io.EOF {\n}",
        "if errors.Is(err, io.EOF) || err != nil {\n}",
    ),
    (
        "go/error-not-wrapped",
        "return fmt.Errorf(\"x: %v\", err)",
        "return fmt.Errorf(\"x: %w\", err)",
    ),
    (
        "go/waitgroup-add-inside",
        "func f() {\n\tgo func() {\n\t\twg.Add(1)\n\t}()\n}",
        "func f() {\n\twg.Add(1)\n\tgo func() {\n\t\tdefer wg.Done()\n\t}()\n}",
    ),
    (
        "go/weak-random",
        "token := rand.Int()",
        "delay := rand.Int()",
    ),
    ("go/weak-hash", "h := md5.New()", "h := sha256.New()"),
    (
        "go/context-dropped",
        "func f(ctx context.Context) {\n\tg(context.Background())\n}",
        "func f() {\n\tg(context.Background())\n}",
    ),
    (
        "go/timer-leak",
        "func f() {\n\tfor {\n\t\tselect {\n\t\tcase <-time.After(d):\n\t\t}\n\t}\n}",
        "func f() {\n\t<-time.After(d)\n}",
    ),
    (
        "go/mutex-copy",
        "func f(mu sync.Mutex) {\n}",
        "func f(mu *sync.Mutex) {\n}",
    ),
    (
        "go/empty-error-branch",
        "if err != nil {\n}",
        "if err != nil {\n\treturn err\n}",
    ),
    (
        "go/nil-for-error",
        "if err != nil {\n\treturn nil\n}",
        "if err != nil {\n\treturn nil, err\n}",
    ),
    (
        "go/exit-skips-defer",
        "func f() {\n\tdefer g()\n\tlog.Fatal(1)\n}",
        "func f() {\n\tlog.Fatal(1)\n}",
    ),
    (
        "go/body-not-closed",
        "func f() {\n\tresp, err := client.Do(r)\n\tg(resp.Body)\n}",
        "func f() {\n\tresp, err := client.Do(r)\n\tdefer resp.Body.Close()\n}",
    ),
];
