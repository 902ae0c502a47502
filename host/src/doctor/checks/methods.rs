//! Checks whether, where and how fast the endpoint asks for money.

use std::time::Duration;

use http::Method;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::facts::Reach;
use crate::doctor::observation::Observed;

/// The time after which directories and clients begin to give up.
const SLOW: Duration = Duration::from_secs(3);

pub(super) const ANSWERS: Check<Observed> = Check {
    name: "answers",
    why: "a server that does not answer sells nothing",
    advice: "start the server, and see that its name, port and certificate are right from outside",
    judge: answers,
};

pub(super) const SERVED: Check<Observed> = Check {
    name: "served",
    why: "an address at which nothing is served sells nothing",
    advice: "name the address of an endpoint, with the path under which its plugin is mounted",
    judge: |observed| match observed.probes.iter().all(|(_, probe)| probe.is_err()) {
        true => Verdict::skipped("there is no answer"),
        false => Verdict::ok("the path is served"),
    },
};

pub(super) const CHECKS: &[Check<Observed>] = &[
    ANSWERS,
    SERVED,
    Check {
        name: "challenge",
        why: "directories and clients ask without a payment and without input first: what does not answer 402 is \
              not listed and not paid",
        advice: "answer 402 to every request without a payment, before authentication and before the input is \
              checked",
        judge: challenge,
    },
    Check {
        name: "methods",
        why: "directories probe every method without a body: an error of the server there is taken for the endpoint",
        advice: "answer methods that are not served with 405, and every other one without an error",
        judge: methods,
    },
    Check {
        name: "redirects",
        why: "clients do not send a payment to another address, and 301, 302 and 303 turn POST into GET and lose \
              the body",
        advice: "publish the address to which the redirect leads, and serve it without one",
        judge: redirects,
    },
    Check {
        name: "https",
        why: "on a connection without TLS everybody on the way can change the receiver and the amount, and \
              directories refuse it",
        advice: "serve the endpoint over https, with a certificate that clients trust",
        judge: https,
    },
    Check {
        name: "response-time",
        why: "probes of directories give up after a few seconds, so that a server which starts slowly is not listed",
        advice: "make the challenge without asking a facilitator or a node first, and keep the server warm",
        judge: response_time,
    },
];

fn answers(observed: &Observed) -> Verdict {
    match observed.probes.iter().find(|(_, exchange)| exchange.is_ok()) {
        Some(_) => Verdict::ok("the server answers"),
        None => match observed.probes.first() {
            Some((_, Err(error))) => Verdict::failed(error.to_string()),
            _ => Verdict::skipped("nothing was asked"),
        },
    }
}

/// The status of a probe, in words.
fn said(observed: &Observed, method: &Method) -> String {
    let probe = observed.probes.iter().find(|(probed, _)| probed == method);
    match probe {
        Some((_, Ok(answer))) => answer.status.to_string(),
        Some((_, Err(error))) => error.to_string(),
        None => "not asked".to_owned(),
    }
}

fn challenge(observed: &Observed) -> Verdict {
    let method = &observed.target.request.method;
    let bare =
        observed.probes.iter().find(|(probed, _)| probed == method).and_then(|(_, exchange)| exchange.as_ref().ok());
    let is_bare = bare.is_some_and(|answer| answer.status == 402);
    if is_bare {
        return Verdict::ok(format!("{method} without input is 402"));
    }
    let bare = said(observed, method);
    match &observed.challenged {
        None if observed.is_free() => {
            Verdict::ok(format!("it is free: /openapi.json names no price, and {method} is {bare}"))
        }
        Some(_) => Verdict::warning(format!("{method} is 402 with input alone; without input it is {bare}")),
        None => {
            let all = observed.probes.iter().map(|(method, _)| format!("{method} is {}", said(observed, method)));
            Verdict::failed(format!("nothing asks for money: {}", all.collect::<Vec<_>>().join(", ")))
        }
    }
}

fn methods(observed: &Observed) -> Verdict {
    let (mut failures, mut seen) = (Vec::new(), Vec::new());
    for (method, exchange) in &observed.probes {
        match exchange {
            Ok(answer) if answer.status >= 500 => failures.push(format!("{method} is {}", answer.status)),
            Ok(answer) => seen.push(format!("{method} {}", answer.status)),
            Err(error) => failures.push(format!("{method}: {error}")),
        }
    }
    Verdict::of(failures, Vec::new(), seen.join(", "))
}

fn redirects(observed: &Observed) -> Verdict {
    for (method, exchange) in &observed.probes {
        let Ok(answer) = exchange else { continue };
        if !answer.is_redirect() {
            continue;
        }
        let target = answer.header("location").unwrap_or_default();
        let becomes_get = *method == Method::POST && matches!(answer.status, 301..=303);
        let lost = if becomes_get { ", where clients send GET without the body" } else { "" };
        return Verdict::failed(format!("{method} is redirected ({}) to {target}{lost}", answer.status));
    }
    Verdict::ok("none")
}

fn https(observed: &Observed) -> Verdict {
    let is_https = observed.url().scheme() == "https";
    match (is_https, observed.reach) {
        (true, _) => Verdict::ok("TLS with a certificate that this machine trusts"),
        (false, Reach::Public) => Verdict::failed("the endpoint is served over http"),
        (false, Reach::Local | Reach::Private) => {
            Verdict::skipped("the server is on this machine or in a private network")
        }
    }
}

fn response_time(observed: &Observed) -> Verdict {
    let times = observed.probes.iter().filter_map(|(_, exchange)| Some(exchange.as_ref().ok()?.took));
    let Some(longest) = times.max() else { return Verdict::skipped("there is no answer") };
    let shown = format!("{} ms", longest.as_millis());
    if longest > SLOW {
        Verdict::warning(format!("a probe took {shown}"))
    } else {
        Verdict::ok(format!("at most {shown}"))
    }
}
