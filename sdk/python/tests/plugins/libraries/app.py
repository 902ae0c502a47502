"""Sells what libraries do: Markdown, Jinja, slugs, and a model of pydantic 1."""

from jinja2 import Environment
from markdown import Markdown
from pydantic import BaseModel, Field
from slugify import slugify

from coinslot import Html, get, post

PAGE = Environment(autoescape=True).from_string(
    "<h1>{{ title }}</h1>{% for item in items %}<p>{{ item }}</p>{% endfor %}"
)
MARKDOWN = Markdown(extensions=["tables", "fenced_code"])


class Document(BaseModel):
    title: str = Field(min_length=1, max_length=80)
    items: list[str] = []
    text: str = ""


@post("/markdown", price="0.001")
def markdown(document: Document) -> Html:
    """Markdown as HTML"""
    return Html(MARKDOWN.reset().convert(document.text))


@post("/page", price="0.002")
def page(document: Document) -> Html:
    """A page of a title and items"""
    return Html(PAGE.render(title=document.title, items=document.items))


@post("/document", price="0.001")
def document(document: Document) -> Document:
    """The document with its defaults"""
    return document


@get("/slug", price="0.001")
def slug(text: str) -> str:
    """Text as a slug"""
    return slugify(text)
