//! Reads a page of the dashboard as its reader does: tables by their names, figures by their titles; and keeps account
//! of the numbers that a story has compared.

use std::cell::RefCell;
use std::collections::BTreeSet;

use coinslot_tests::ServeHost;
use scraper::{ElementRef, Html, Selector};

/// A page of the dashboard.
#[derive(Debug)]
pub(super) struct Page {
    path: String,
    tables: Vec<Table>,
    facts: Vec<(String, String)>,
    /// What was read of the tables and the facts.
    read: RefCell<BTreeSet<String>>,
}

/// A table, in the texts that a reader sees.
#[derive(Clone, Debug)]
pub(super) struct Table {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Page {
    pub(super) async fn open(host: &ServeHost, path: &str) -> Self {
        let answer = reqwest::get(format!("{}{path}", host.admin())).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        Self::read(path, &answer.text().await.expect("a page"))
    }

    fn read(path: &str, page: &str) -> Self {
        let page = Html::parse_document(page);
        let tables = select(&page, "div[role=region]").map(|region| Table::of(region)).collect();
        // A figure stands below its title, a fact beside its term.
        let figures = select(&page, "article.panel").flat_map(|panel| {
            let title = text_of(panel, "h3");
            let axis = (format!("{title}, on the axis"), text_of(panel, "div.axis span:nth-of-type(2)"));
            [(title, text_of(panel, "p.figure")), axis]
        });
        let facts = select(&page, "dl > div").map(|fact| (text_of(fact, "dt"), text_of(fact, "dd")));
        let payments = select(&page, "[data-payments]").map(|span| {
            let state = span.value().attr("data-payments").unwrap_or_default();
            (format!("payments {state}"), squeezed(span.text()))
        });
        Self {
            path: path.to_owned(),
            tables,
            facts: figures.chain(facts).chain(payments).collect(),
            read: RefCell::default(),
        }
    }

    /// The only table of this name.
    pub(super) fn table(&self, name: &str) -> Table {
        let found: Vec<&Table> = self.tables.iter().filter(|table| table.name == name).collect();
        let [table] = found[..] else { panic!("{} tables are called {name:?} in {self:#?}", found.len()) };
        self.read.borrow_mut().insert(name.to_owned());
        table.clone()
    }

    /// The text of the figure or fact with this title.
    pub(super) fn fact(&self, title: &str) -> String {
        let found: Vec<&String> = self.facts.iter().filter(|(one, _)| one == title).map(|(_, text)| text).collect();
        let [text] = found[..] else { panic!("{} facts are called {title:?} in {self:#?}", found.len()) };
        self.read.borrow_mut().insert(title.to_owned());
        text.clone()
    }

    /// Asserts that all numbers of the page were read, but for these tables and facts, which name the reason.
    pub(super) fn is_read_but_for(&self, others: &[(&str, &str)]) {
        let has_number = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
        let tables = self.tables.iter().filter(|table| table.rows.iter().flatten().any(|cell| has_number(cell)));
        let facts = self.facts.iter().filter(|(_, text)| has_number(text)).map(|(title, _)| title);
        let read = self.read.borrow();
        let left: Vec<&String> = tables
            .map(|table| &table.name)
            .chain(facts)
            .filter(|name| !read.contains(*name) && !others.iter().any(|(other, _)| name.starts_with(other)))
            .collect();
        assert!(left.is_empty(), "of {} nobody compares {left:#?}", self.path);
    }
}

impl Table {
    fn of(region: ElementRef<'_>) -> Self {
        let cells =
            |row: ElementRef<'_>| -> Vec<String> { row.child_elements().map(|cell| squeezed(cell.text())).collect() };
        Self {
            name: region.value().attr("aria-label").unwrap_or_default().to_owned(),
            columns: within(region, "thead tr").flat_map(cells).collect(),
            rows: within(region, "tbody tr").map(cells).collect(),
        }
    }

    /// These columns of each row, in the order of the page.
    pub(super) fn of_columns(&self, columns: &[&str]) -> Vec<Vec<String>> {
        let index = |column: &&str| {
            let found = self.columns.iter().position(|one| one == column);
            found.unwrap_or_else(|| panic!("there is no column {column:?} in {self:#?}"))
        };
        let indices: Vec<usize> = columns.iter().map(index).collect();
        self.rows.iter().map(|row| indices.iter().map(|index| row[*index].clone()).collect()).collect()
    }

    /// One column of each row.
    pub(super) fn column(&self, column: &str) -> Vec<String> {
        self.of_columns(&[column]).into_iter().flatten().collect()
    }

    /// The cell of a column in the row whose first cell begins so. None without such a row.
    pub(super) fn cell(&self, row: &str, column: &str) -> Option<String> {
        let index = self.rows.iter().position(|cells| cells[0].starts_with(row))?;
        Some(self.column(column).swap_remove(index))
    }
}

/// A whole number as pages write it.
pub(super) fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn select<'p>(page: &'p Html, selector: &str) -> impl Iterator<Item = ElementRef<'p>> {
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector).collect::<Vec<_>>().into_iter()
}

fn within<'p>(element: ElementRef<'p>, selector: &str) -> impl Iterator<Item = ElementRef<'p>> {
    let selector = Selector::parse(selector).expect("a selector");
    element.select(&selector).collect::<Vec<_>>().into_iter()
}

fn text_of(element: ElementRef<'_>, selector: &str) -> String {
    within(element, selector).next().map(|found| squeezed(found.text())).unwrap_or_default()
}

fn squeezed<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
