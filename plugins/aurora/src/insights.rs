//! Selects practices for running autonomous agents: short insights, each with one thing to do.
//!
//! The data is `insights/insights.txt`: `# topic` opens a topic and `@ Title` an insight. The next line is its text,
//! and the line with `>` the thing to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DATA: &str = include_str!("insights/insights.txt");

/// The wanted insights.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// One topic, or several with commas; all topics if absent. Known: payments, budgets, retries, context,
    /// tooling, monitoring, safety, collaboration, quality, revenue.
    #[serde(default)]
    pub topic: Option<String>,
    /// At most this many, from 1 to 100; all if absent. Without a topic they are taken from all topics in turn.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// The selected insights.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Insights {
    /// The number of insights that fit the filter, before `limit`.
    pub total: usize,
    /// Every topic, with the number of its insights.
    pub topics: std::collections::BTreeMap<String, usize>,
    pub insights: Vec<Insight>,
}

/// One practice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Insight {
    pub topic: &'static str,
    pub title: &'static str,
    pub insight: &'static str,
    /// One thing to do.
    #[serde(rename = "do")]
    pub action: &'static str,
}

/// A reason for which a filter is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    UnknownTopic(String),
    Limit(u32),
}

impl Problem {
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTopic(_) => "unknown_topic",
            Self::Limit(_) => "invalid_limit",
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownTopic(topic) => write!(f, "Unknown topic `{topic}`. Topics: {}.", topics().join(", ")),
            Self::Limit(limit) => write!(f, "`limit` is {limit}; it must be from 1 to 100."),
        }
    }
}

/// Every insight in order.
pub fn all() -> impl Iterator<Item = Insight> {
    DATA.split("# ").skip(1).flat_map(|section| {
        let (topic, body) = section.split_once('\n').unwrap_or((section, ""));
        body.split("@ ").skip(1).filter_map(move |block| {
            let mut lines = block.lines();
            let (title, insight) = (lines.next()?, lines.next()?);
            let action = lines.next()?.strip_prefix("> ")?;
            Some(Insight { topic, title, insight, action })
        })
    })
}

/// Every topic once, in order.
pub fn topics() -> Vec<&'static str> {
    DATA.lines().filter_map(|line| line.strip_prefix("# ")).collect()
}

/// Selects by topic and limit.
pub fn select(filter: &Filter) -> Result<Insights, Problem> {
    let wanted = wanted(filter.topic.as_deref().unwrap_or(""))?;
    let limit = match filter.limit {
        Some(limit @ (0 | 101..)) => return Err(Problem::Limit(limit)),
        Some(limit) => limit as usize,
        None => usize::MAX,
    };
    let chosen: Vec<Insight> = all().filter(|insight| wanted.is_empty() || wanted.contains(&insight.topic)).collect();
    let mut counts = std::collections::BTreeMap::new();
    for insight in all() {
        *counts.entry(insight.topic.to_owned()).or_insert(0) += 1;
    }
    let total = chosen.len();
    let insights = if limit < total { in_turn(&chosen, limit) } else { chosen };
    Ok(Insights { total, topics: counts, insights })
}

fn wanted(list: &str) -> Result<Vec<&'static str>, Problem> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            topics()
                .into_iter()
                .find(|topic| topic.eq_ignore_ascii_case(name))
                .ok_or_else(|| Problem::UnknownTopic(name.chars().take(60).collect()))
        })
        .collect()
}

/// One of each topic, then the second of each, and so on.
fn in_turn(insights: &[Insight], limit: usize) -> Vec<Insight> {
    let mut ranked: Vec<(usize, usize, Insight)> = Vec::new();
    let mut place = 0;
    for (at, insight) in insights.iter().enumerate() {
        place = if at > 0 && insights[at - 1].topic == insight.topic { place + 1 } else { 0 };
        ranked.push((place, at, *insight));
    }
    ranked.sort_by_key(|(place, at, _)| (*place, *at));
    ranked.into_iter().take(limit).map(|(.., insight)| insight).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pick(topic: Option<&str>, limit: Option<u32>) -> Result<Insights, Problem> {
        select(&Filter { topic: topic.map(Into::into), limit })
    }

    #[test]
    fn at_least_forty_insights_each_whole_and_its_own() {
        let all: Vec<_> = all().collect();
        assert!(all.len() >= 40, "{}", all.len());
        assert_eq!(all.len(), DATA.lines().filter(|line| line.starts_with("@ ")).count(), "a block is malformed");
        assert_eq!(all.iter().map(|insight| insight.title).collect::<BTreeSet<_>>().len(), all.len());
        for insight in &all {
            assert!(insight.insight.len() > 40 && insight.action.len() > 40, "{insight:?}");
        }
    }

    #[test]
    fn every_topic_has_at_least_three_and_stands_in_the_schema() {
        let schema = serde_json::to_string(&schemars::schema_for!(Filter)).expect("a schema");
        for topic in topics() {
            assert!(pick(Some(topic), None).expect("known").total >= 3, "{topic}");
            assert!(schema.contains(topic), "{topic} is not in the description");
        }
    }

    #[test]
    fn a_filter_keeps_its_topics_and_a_limit_takes_topics_in_turn() {
        let chosen = pick(Some("Retries, budgets"), None).expect("known");
        assert!(chosen.insights.iter().all(|insight| matches!(insight.topic, "retries" | "budgets")));
        assert_eq!(chosen.total, chosen.insights.len());
        let few = pick(None, Some(topics().len() as u32)).expect("valid");
        assert_eq!(few.insights.iter().map(|insight| insight.topic).collect::<Vec<_>>(), topics());
        assert!(few.total > few.insights.len());
    }

    #[test]
    fn an_unknown_topic_or_limit_is_refused_with_what_is_known() {
        let problem = pick(Some("astrology"), None).expect_err("unknown");
        assert_eq!(problem.code(), "unknown_topic");
        assert!(problem.to_string().contains("payments, budgets"));
        assert_eq!(pick(None, Some(0)).expect_err("zero"), Problem::Limit(0));
        assert!(pick(None, Some(101)).is_err());
    }
}
