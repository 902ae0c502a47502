//! Drives the official client of MCP for TypeScript, in a process of its own: see `mcp/drive.mjs`.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::packages::mcp_scripts;

/// A client of MCP. Dropping it ends the process.
#[derive(Debug)]
pub struct McpClient {
    child: Child,
    /// Taken when the client ends.
    stdin: Mutex<ChildStdin>,
    next: AtomicUsize,
    waiting: Arc<Mutex<HashMap<usize, oneshot::Sender<Value>>>>,
}

impl McpClient {
    /// Connects to a server over HTTP.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn connect(url: &str) -> Self {
        let client = Self::start();
        client.ask(json!({ "do": "connect", "url": url })).await.expect("a server of MCP");
        client
    }

    /// Starts a command that is a server on its standard streams, and connects to it. Fails with its words.
    pub async fn spawn(command: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let client = Self::start();
        let environment: HashMap<_, _> = environment.iter().copied().collect();
        let connect = json!({ "do": "connect", "command": command, "args": arguments, "env": environment });
        client.ask(connect).await.map(|_| client)
    }

    fn start() -> Self {
        let mut node = Command::new("node");
        node.arg("drive.mjs").current_dir(mcp_scripts()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node.spawn().expect("node: install Node.js 20 or newer");
        let stdin = Mutex::new(child.stdin.take().expect("a pipe"));
        let waiting = Arc::<Mutex<HashMap<usize, oneshot::Sender<Value>>>>::default();
        let (answers, told) = (child.stdout.take().expect("a pipe"), Arc::clone(&waiting));
        std::thread::spawn(move || {
            use std::io::BufRead as _;
            for line in std::io::BufReader::new(answers).lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).expect("JSON of the driver");
                let number = answer["number"].as_u64().and_then(|number| usize::try_from(number).ok());
                let waiter = number.and_then(|number| told.lock().expect("not poisoned").remove(&number));
                waiter.into_iter().for_each(|waiter| drop(waiter.send(answer.clone())));
            }
            // Those that still wait hear that the client has ended.
            told.lock().expect("not poisoned").clear();
        });
        Self { child, stdin, next: AtomicUsize::new(0), waiting }
    }

    /// Sends one command of the driver. Fails with the error of the client.
    pub async fn ask(&self, command: Value) -> Result<Value, String> {
        use std::io::Write as _;
        let (sender, answer) = oneshot::channel();
        {
            // One after the other, because the driver counts lines.
            let mut stdin = self.stdin.lock().expect("not poisoned");
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            self.waiting.lock().expect("not poisoned").insert(number, sender);
            writeln!(stdin, "{command}").expect("the driver");
        }
        let mut answer = answer.await.map_err(|_| "the client has ended".to_owned())?;
        match answer["ok"].take() {
            Value::Null => Err(answer["error"].as_str().unwrap_or_default().to_owned()),
            ok => Ok(ok),
        }
    }

    /// The tools, of all pages, by name.
    pub async fn tools(&self) -> HashMap<String, Value> {
        let listed = self.ask(json!({ "do": "list" })).await.expect("a list");
        let tools = listed["tools"].as_array().expect("a list").clone();
        tools.into_iter().map(|tool| (tool["name"].as_str().expect("a name").to_owned(), tool)).collect()
    }

    /// Calls a tool. Returns the result.
    ///
    /// # Panics
    /// If there is an error of the protocol.
    pub async fn call(&self, name: &str, arguments: Value, meta: Option<Value>) -> Value {
        let call = json!({ "do": "call", "name": name, "arguments": arguments, "meta": meta });
        self.ask(call).await.expect("a result")["result"].take()
    }
}

impl Drop for McpClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
