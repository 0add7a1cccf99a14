"""HTML as a test sees it: elements and text, and what must hold for every page."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"br", "hr", "img", "input", "link", "meta", "path", "circle", "rect"}
CARRY_ADDRESSES = {"href", "src", "action", "formaction", "data-stream"}
OUR_SCRIPT = re.compile(r"/static/live\.js\?v=[0-9a-f]{12}")
OUR_STYLE = re.compile(r"/static/style\.css\?v=[0-9a-f]{12}")
FIELDS = {"input", "select", "textarea"}


class Element(NamedTuple):
    name: str
    attributes: dict[str, str]
    parents: tuple[str, ...]


class Markup(HTMLParser):
    """A page, parsed; whatever is not balanced fails."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = text
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.elements.append(Element(tag, {name: text or "" for name, text in attrs}, tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: text or "" for name, text in attrs}, tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def words(self) -> str:
        """The text with every space as one."""
        return " ".join(self.text.split())

    def all(self, name: str) -> list[Element]:
        return [element for element in self.elements if element.name == name]

    def links(self) -> set[str]:
        """Where the page leads: paths of pages."""
        found = {element.attributes.get("href", "") for element in self.all("a")}
        return {one for one in found if one.startswith("/") and not one.startswith("/api/")}


def check(text: str) -> Markup:
    """Parse a page, or a part of one, and hold it to the rules of every page."""
    page = Markup(text)
    for element in page.elements:
        _check_element(element)
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids)), "an id stands twice"
    _check_letters(text)
    labelled = {element.attributes.get("for") for element in page.all("label")}
    for element in page.elements:
        if element.name in FIELDS and element.attributes.get("type") != "hidden":
            assert "label" in element.parents or element.attributes.get("id") in labelled, element
    for element in page.all("th"):
        assert element.attributes.get("scope") in ("col", "row"), element
    return page


def check_page(text: str) -> Markup:
    """Do the same with a whole page."""
    page = check(text)
    assert text.startswith("<!doctype html>")
    assert page.all("html")[0].attributes["lang"] == "en"
    assert [one.name for one in page.elements].count("main") == 1
    assert len(page.all("h1")) == 1
    assert len(page.all("script")) == 1
    return page


def _check_element(element: Element) -> None:
    assert element.name not in ("style", "iframe", "object", "embed", "base"), element
    for name, value in element.attributes.items():
        assert not name.startswith("on"), f"a handler: {element}"
        assert name not in ("style", "srcdoc"), f"a style: {element}"
        if name in CARRY_ADDRESSES:
            assert value.startswith(("/", "#")) and not value.startswith("//"), f"leads away: {element}"
    if element.name == "script":
        assert OUR_SCRIPT.fullmatch(element.attributes["src"]), element
    if element.name == "link" and element.attributes["rel"] == "stylesheet":
        assert OUR_STYLE.fullmatch(element.attributes["href"]), element
    if element.name == "img":
        assert element.attributes["src"].startswith("/static/"), element


def _check_letters(text: str) -> None:
    """Nothing on a page may hide, turn the direction of writing, or be half a letter."""
    odd = {letter for letter in set(text) if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn")}
    assert not odd - {"\n", "\t"}, {hex(ord(letter)) for letter in odd}
