//! A plugin written with the SDK: it uses what only a component can show, such as the network, bodies that stream, and
//! failures. The operator's configuration names another server in `server`.

use coinslot_sdk::{
    Body, Context, Event, Multipart, Path, Refusal, Result, Sse, Text, config, endpoint, http, join, keyvalue, usage,
};

#[endpoint(post, "/author/files", free, summary = "Weighs the files of a form")]
async fn files(mut form: Multipart) -> Result<Text> {
    let mut report = String::new();
    while let Some(mut field) = form.next_field().await? {
        let name = field.file_name().unwrap_or(field.name()).to_owned();
        let mut bytes = 0;
        while let Some(chunk) = field.chunk().await? {
            bytes += chunk.len();
        }
        report += &format!("{name}: {bytes}\n");
    }
    Ok(Text(report))
}

#[endpoint(post, "/author/forward", free, summary = "Forwards a body while it arrives")]
async fn forward(body: Body) -> Result<Text> {
    let answer = http::post(&server("/forward")?).stream(body).send().await?.ok()?;
    Ok(Text(answer.text().await?))
}

#[endpoint(get, "/author/both", free, summary = "Asks twice at once, and again if it must")]
async fn both() -> Result<Text> {
    let (one, other) = (server("/one")?, server("/other")?);
    let (one, other) = join!(http::get(&one).retries(2).send(), http::get(&other).retries(2).send());
    Ok(Text(one?.ok()?.text().await? + &other?.ok()?.text().await?))
}

#[endpoint(get, "/author/fail/{how}", price = "0.01", summary = "Fails")]
fn fail(Path(how): Path<String>) -> Result<Text> {
    match how.as_str() {
        "refusal" => Err(Refusal::not_found("no_such_thing", "there is\nnone"))?,
        "panic" => panic!("asked to panic"),
        number => Ok(Text(number.parse::<u32>().context("the number of the path")?.to_string())),
    }
}

#[endpoint(get, "/author/charge", price = "0.01", summary = "Charges, though its price is fixed")]
fn charge() -> Result<Text> {
    usage::charge("0.001")?;
    Ok(Text::from("charged"))
}

#[endpoint(get, "/author/events", price = "0.01", summary = "Events")]
fn events() -> Sse {
    Sse::writer(async |mut events| {
        for number in 1..=3 {
            events.send(Event::data(number.to_string()).event("count")).await;
        }
        Ok(())
    })
}

#[endpoint(put, "/author/notes/{name}", free, summary = "Keeps words, and lists them")]
fn note(Path(name): Path<String>, word: String) -> Result<Text> {
    let notes = keyvalue::open("notes")?;
    let words = notes.update_json(&name, |words: Option<Vec<String>>| {
        let mut words = words.unwrap_or_default();
        words.push(word.clone());
        words
    })?;
    notes.set_many(&[("last", name.as_bytes())])?;
    let kept = notes.get_many(&["last", "none"])?;
    Ok(Text(format!("{} {:?}", words.join(" "), kept.iter().map(Option::is_some).collect::<Vec<_>>())))
}

/// An address of the other server.
fn server(path: &str) -> Result<String> {
    Ok(config::get("server").context("no `server` is configured")? + path)
}
