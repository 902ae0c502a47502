//! Turns the answer to a request into the result of the call that meant it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject, ResourceContents};
use serde_json::{Value, json};

use super::MessageHold;
use super::answer_head::{ANSWER, RECEIPT, meta, required, text_of};
use super::large_answer::{AnswerFacts, LargeAnswer};
use super::progress::Progress;
use super::tool_server::ToolServer;
use crate::discover::EndpointTool;
use crate::payment;
use crate::respond::{self, Reply, ReplyBody};
use crate::schema::{essence, is_text};

/// The largest answer that a result takes, in bytes. A larger one is to be had over HTTP, with the same payment.
const MAX_ANSWER: usize = 16 << 20;
/// An answer is in memory as it came, as a string of JSON and in the result.
const COPIES: usize = 3;
/// The largest answer that is built as a tree, in bytes. A larger one is put into the result as a text.
const MAX_TREE: usize = 100 << 10;
/// The most values of an answer that is compared with its schema, and the bytes that one takes.
const MAX_COMPARED: usize = 200_000;
const OF_VALUE: usize = 128;
/// The answer to a call, on its way to a result.
pub(super) struct CallAnswer<'c> {
    server: &'c ToolServer,
    tool: &'c Arc<EndpointTool>,
    /// The address of what was asked.
    url: String,
    hold: &'c MessageHold,
}

/// The text of an answer, and its structure.
struct ShownAnswer {
    content: Option<ContentBlock>,
    structure: Option<Value>,
    facts: AnswerFacts,
}

/// The reason why an answer could not be read whole.
enum Unread {
    /// A guest answers with something that clients would take for payment requirements.
    AsksForPayment,
    TooLarge,
    Overloaded,
    BrokenOff,
}

impl<'c> CallAnswer<'c> {
    pub(super) fn new(server: &'c ToolServer, tool: &'c Arc<EndpointTool>, url: String) -> Self {
        Self { server, tool, url, hold: &server.hold }
    }

    /// Reads the answer to its end and makes the result of it.
    pub(super) async fn read(self, reply: Reply, mut progress: Option<Progress>) -> CallToolResult {
        let (head, body) = reply.into_parts();
        let status = head.status.as_u16();
        let mut meta = meta(status, &head.headers);
        let mut result = match required(&head.headers).filter(|_| status >= 400) {
            Some(document) => failed(document),
            None => {
                let media_type = text_of(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
                let read = match self.body(body, &media_type, &mut progress).await {
                    Ok(body) => self.result(status, &media_type, body).await,
                    Err(unread) => Err(unread),
                };
                match read {
                    Ok(result) => result,
                    Err(unread) => {
                        if let (Unread::AsksForPayment, Some(answer)) = (&unread, meta.get_mut(ANSWER)) {
                            answer["status"] = respond::BROKEN_CONTRACT_STATUS.into();
                        }
                        let mut result = failed(self.unread(unread, &meta));
                        result.structured_content.take_if(|_| !self.promises_nothing());
                        result
                    }
                }
            }
        };
        // A client may handle the result before the last notices, and then knows what it has to wait for.
        let sent = progress.map_or(0, |progress| progress.sent);
        if let (1.., Some(Value::Object(answer))) = (sent, meta.get_mut(ANSWER)) {
            answer.insert("progress".to_owned(), sent.into());
        }
        result.meta = Some(meta);
        result
    }

    async fn body(
        &self,
        mut body: ReplyBody,
        media_type: &str,
        progress: &mut Option<Progress>,
    ) -> Result<Bytes, Unread> {
        let declared = body.size_hint().exact();
        if declared.is_some_and(|size| size > MAX_ANSWER as u64) {
            return Err(Unread::TooLarge);
        }
        let mut progress = progress.as_mut().filter(|_| {
            let kind = essence(media_type);
            kind == "text/event-stream" || declared.is_none() && !is_json(&kind)
        });
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(Unread::BrokenOff) };
            let Ok(piece) = frame.into_data() else { continue };
            if piece.len() > MAX_ANSWER - whole.len() {
                return Err(Unread::TooLarge);
            }
            let room = (whole.len() + piece.len()).saturating_mul(COPIES);
            self.hold.answer.lock().grow_to(room).map_err(|_| Unread::Overloaded)?;
            whole.extend_from_slice(&piece);
            if let Some(progress) = &mut progress {
                progress.send(&piece).await;
            }
        }
        Ok(whole.freeze())
    }

    async fn result(&self, status: u16, media_type: &str, body: Bytes) -> Result<CallToolResult, Unread> {
        let shown = self.shown(media_type, &body).await?;
        let misfit = if status < 400 { self.misfit(&shown, &body).await } else { None };
        let is_error = status >= 400 || misfit.is_some();
        // Stock clients pay for every failed result that looks so. The host's own is made of the header of its 402.
        if is_error && shown.facts.asks_for_payment {
            return Err(Unread::AsksForPayment);
        }
        let mut content: Vec<ContentBlock> = shown.content.into_iter().collect();
        if let Some(misfit) = misfit {
            content.insert(0, ContentBlock::text(misfit));
        }
        let mut result = CallToolResult::success(content);
        result.is_error = Some(is_error);
        // Clients throw a result away whose structure is not the promised one, and this one may be paid for. Without a
        // structure they take one that is marked.
        result.structured_content = shown.structure.filter(|_| !is_error || self.promises_nothing());
        Ok(result)
    }

    /// The answer as content of its kind, and its structure.
    async fn shown(&self, media_type: &str, body: &Bytes) -> Result<ShownAnswer, Unread> {
        let kind = essence(media_type);
        let is_json = is_json(&kind);
        if body.len() <= MAX_TREE || !(kind.is_empty() || is_json || is_text(&kind)) {
            let structure = is_json.then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
            let (content, facts) = (self.content(media_type, body), AnswerFacts::of(&body[..body.len().min(MAX_TREE)]));
            return Ok(ShownAnswer { content, structure: structure.filter(Value::is_object), facts });
        }
        let (text, size) = (body.clone(), body.len());
        let made = move || (LargeAnswer::new(&text, is_json), AnswerFacts::of(&text));
        let made = payment::work_on_message(self.server.handler.payments(), self.server.client, size, made).await;
        let (large, facts) = made.map_err(|_| Unread::Overloaded)?;
        let Some(large) = large else {
            return Ok(ShownAnswer { content: self.content(media_type, body), structure: None, facts });
        };
        self.hold.answer.lock().grow_to(size + large.size()).map_err(|_| Unread::Overloaded)?;
        let shown = ShownAnswer { content: Some(large.content()), structure: large.structure(), facts };
        // A message has one answer.
        let _ = self.hold.large.set(large);
        Ok(shown)
    }

    fn promises_nothing(&self) -> bool {
        self.tool.definition.output_schema.is_none()
    }

    /// The reason why an answer is not taken for what the tool promises.
    async fn misfit(&self, shown: &ShownAnswer, body: &Bytes) -> Option<String> {
        self.tool.definition.output_schema.as_ref()?;
        let misfit = |why: String| Some(format!("the answer does not fit its output schema: {why}"));
        let uncompared = |why: &str| Some(format!("the answer was not compared with its output schema: {why}"));
        if shown.structure.is_none() {
            return misfit("it is not a JSON object".to_owned());
        }
        let values = shown.facts.values;
        if values > MAX_COMPARED {
            return uncompared("it has too many values");
        }
        let room = body.len().saturating_mul(COPIES).saturating_add(values.saturating_mul(OF_VALUE));
        if self.hold.answer.lock().grow_to(room).is_err() {
            return uncompared("the server has no room for it now");
        }
        let (tool, body) = (Arc::clone(self.tool), body.clone());
        // Always on a thread: the schema is compiled first.
        let size = body.len().max(MAX_TREE);
        let compared = move || tool.misfit(&body);
        match payment::work_on_message(self.server.handler.payments(), self.server.client, size, compared).await {
            Ok(found) => found.and_then(misfit),
            Err(_) => uncompared("the server has no room for it now"),
        }
    }

    /// The body as content of its kind.
    fn content(&self, media_type: &str, body: &Bytes) -> Option<ContentBlock> {
        if body.is_empty() {
            return None;
        }
        let kind = essence(media_type);
        if kind.starts_with("image/") && kind != "image/svg+xml" {
            return Some(ContentBlock::image(STANDARD.encode(body), kind));
        }
        if kind.starts_with("audio/") {
            return Some(ContentBlock::audio(STANDARD.encode(body), kind));
        }
        match std::str::from_utf8(body) {
            Ok(text) if kind.is_empty() || is_json(&kind) || is_text(&kind) => Some(ContentBlock::text(text)),
            _ => {
                let blob = ResourceContents::blob(STANDARD.encode(body), &self.url);
                let kind = if kind.is_empty() { "application/octet-stream".to_owned() } else { kind.to_string() };
                Some(ContentBlock::resource(blob.with_mime_type(kind)))
            }
        }
    }

    /// The document about an answer that could not be read whole.
    fn unread(&self, why: Unread, meta: &MetaObject) -> Value {
        let is_paid = meta.contains_key(RECEIPT);
        let (code, what) = match why {
            Unread::TooLarge => ("answer_too_large", "the answer is larger than 16 MiB"),
            Unread::Overloaded => ("host_busy", "the server holds as many answers as it can"),
            Unread::BrokenOff => ("answer_broken_off", "the answer broke off"),
            Unread::AsksForPayment => {
                tracing::warn!(tool = %self.tool.definition.name, "a plugin's error asks for a payment");
                ("plugin_broke_contract", "the endpoint misbehaved: its error looks like a request for a payment")
            }
        };
        let advice = match (is_paid, &why) {
            (true, Unread::TooLarge) => format!("it is paid: fetch it over HTTP at {} with the same payment", self.url),
            (true, _) => "it is paid: call again with the same payment and the same arguments".to_owned(),
            (false, Unread::TooLarge) => format!("fetch it over HTTP at {}", self.url),
            (false, Unread::AsksForPayment) => "pay nothing for it".to_owned(),
            (false, _) => "call again".to_owned(),
        };
        let said = meta.get(ANSWER).and_then(|answer| answer.get("charged")?.as_str());
        let charged = if is_paid { "yes" } else { said.unwrap_or("no") };
        json!({ "error": code, "message": format!("{what}: {advice}"), "charged": charged })
    }
}

/// A failed result of one document, as a value and as the same text.
fn failed(document: Value) -> CallToolResult {
    let mut result = CallToolResult::error(vec![ContentBlock::text(document.to_string())]);
    result.structured_content = Some(document);
    result
}

fn is_json(kind: impl AsRef<str>) -> bool {
    let kind = kind.as_ref();
    kind == "application/json" || kind.ends_with("+json")
}
